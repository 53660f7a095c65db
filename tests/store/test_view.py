"""Results as they are read: in order, with what did not converge, printed and inspected without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from landscape.errors import ResultsError
from landscape.results import Estimate
from landscape.store import ResultStore, describe_results, load_results
from tests.support.processes import run_python
from tests.support.synthetic_results import make_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_results(tmp_path_factory.mktemp("results"), seeds=(0,), steps=(10, 20)).parent


def test_runs_come_in_the_order_people_count(tmp_path):
    with ResultStore(tmp_path) as store:
        for run in ("sgd-s10", "sgd-s2", "adam-s1"):
            store.describe_run(run, {})
    assert [run.name for run in load_results(tmp_path).runs] == ["adam-s1", "sgd-s2", "sgd-s10"]


def test_what_did_not_converge_is_listed_by_record_and_by_provenance(folder, tmp_path):
    assert load_results(folder).runs[-1].last.not_converged == ("eigenpairs", "sharpness_worst")
    assert load_results(folder).runs[0].last.not_converged == ()
    with ResultStore(tmp_path) as store:
        store.write("a", 1, "trace", Estimate(1.0), {"converged": False})
    assert load_results(tmp_path).runs[0].last.not_converged == ("trace",)


def test_reading_and_writing_results_loads_no_torch():
    code = """
        import sys
        import landscape.store, landscape.tables, landscape.comparison
        print(sorted(m for m in sys.modules if m.split(".")[0] in ("torch", "matplotlib")))
    """
    assert run_python(code).stdout.strip() == "[]"


def test_inspecting_names_runs_steps_what_failed_and_what_was_skipped(folder):
    sections = dict(describe_results(folder))
    assert list(sections) == ["results", "run adam-s0", "run momentum-s0", "run sgd-s0", "lines between minima"]
    text = "\n".join(f"{label} {what}" for lines in sections.values() for label, what in lines)
    for expected in ("standard", "step_00001312.h5: truncated", "NOT CONVERGED: eigenpairs", "step 20", "61706"):
        assert expected in text


def test_results_print_a_line_per_run_and_name_the_runs_there_are(folder):
    read = load_results(folder)
    assert [line.split()[0] for line in str(read).splitlines()[2:]] == ["adam-s0", "momentum-s0", "sgd-s0"]
    assert "adam-s0" in read._repr_html_()
    with pytest.raises(ResultsError, match="there are adam-s0, momentum-s0, sgd-s0"):
        read.run("adam")
