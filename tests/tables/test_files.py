"""CSV files hold every number to the last bit, and a table that cannot be written leaves the old one."""

from __future__ import annotations

import math

import pytest

from landscape.errors import ResultsError
from landscape.store import load_results
from landscape.tables import rows, write_tables
from tests.support.synthetic_results import make_results
from tests.support.tables import PROMISED, read_csv


def test_the_summary_csv_holds_every_row_to_the_last_bit(results, written):
    read = read_csv(written["summary.csv"])
    assert list(read[0]) == PROMISED
    for line, row in zip(read, rows(results), strict=True):
        for name, value in row.items():
            said = line[name]
            if value is None:
                assert said == ""
            elif isinstance(value, bool):
                assert said == str(value)
            else:
                assert type(value)(said) == value


def test_the_eigenvalue_csv_holds_every_eigenvalue_with_its_residual(results, written):
    read = read_csv(written["eigenvalues.csv"])
    assert len(read) == 6 * (3 * 2 + 10)
    last = results.runs[-1].last.records["eigenpairs"]
    lines = [line for line in read if line["run"] == "sgd-s1" and line["step"] == "1344"]
    assert [float(line["value"]) for line in lines] == last.values.tolist()
    assert [float(line["residual"]) for line in lines] == last.residuals.tolist()
    assert [line["converged"] == "True" for line in lines] == last.converged.tolist()
    assert [int(line["index"]) for line in lines] == list(range(1, 11))


def test_a_comparison_is_written_only_where_there_are_two_groups(results, tmp_path):
    single = load_results(make_results(tmp_path, optimizers=("gd",), steps=(1,), vectors=False))
    stale = write_tables(results, tmp_path)
    assert {"comparison.csv", "comparison.tex"} < {path.name for path in stale}
    names = {path.name for path in write_tables(single, tmp_path)}
    assert names == {"summary.csv", "summary.tex", "eigenvalues.csv", "classes.csv"}
    assert {path.name for path in (tmp_path / "tables").iterdir()} == names


def test_the_comparison_csv_keeps_means_to_the_last_bit(results, written):
    from landscape.comparison import compare

    frame = compare(results)
    for line, row in zip(read_csv(written["comparison.csv"]), frame.itertuples(), strict=True):
        assert (line["group"], line["measure"], int(line["n"])) == (row.group, row.measure, row.n)
        assert float(line["mean"]) == row.mean
        assert math.isclose(float(line["low"]), row.low, rel_tol=0)


def test_a_table_that_cannot_be_written_is_one_clear_error_and_the_old_one_stays(results, tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    with pytest.raises(ResultsError, match="cannot write"):
        write_tables(results, blocked)
    write_tables(results, tmp_path)
    before = (tmp_path / "tables" / "summary.csv").read_text()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("landscape.store.outputs.os.replace", full)
        with pytest.raises(ResultsError, match="No space left"):
            write_tables(results, tmp_path)
    assert (tmp_path / "tables" / "summary.csv").read_text() == before
    assert not list((tmp_path / "tables").glob("*.tmp"))
