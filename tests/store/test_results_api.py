"""Results in a notebook: runs, checkpoints and records by name and position, and what a wrong name is told."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest

import landscape as ls
from landscape.errors import ResultsError, UsageError
from landscape.store import CheckpointResults, Results, ResultStore
from tests.support.processes import run_python
from tests.support.stores import identical
from tests.support.synthetic_results import make_results

STEPS = (10, 20, 30)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return ls.load_results(make_results(tmp_path_factory.mktemp("results"), seeds=(0, 1), steps=STEPS, vectors=False))


@pytest.fixture
def last(results) -> CheckpointResults:
    return results["adam-s0"][-1]


def test_results_are_a_sequence_of_runs(results):
    assert len(results) == 6
    assert list(results) == list(results.runs)
    assert results[0] is results.runs[0]
    assert results[-1] is results.runs[-1]
    assert results[1:3] == results.runs[1:3]
    assert results["sgd-s1"] is results.runs[-1]
    assert "sgd-s1" in results
    assert "sgd" not in results
    assert results[0] in results
    assert len(results.pairs) == 5


def test_a_run_is_a_sequence_of_checkpoints(results):
    run = results["adam-s1"]
    assert len(run) == 3
    assert run.steps == STEPS
    assert [checkpoint.step for checkpoint in run] == list(STEPS)
    assert run[-1] is run.last
    assert run.at(step=20) is run[1]
    assert run[:2] == run.checkpoints[:2]


def test_a_record_is_had_by_attribute_and_by_name(last):
    assert last.trace is last.records["trace"]
    assert last["trace"] is last.trace
    assert last.sharpness_keskar.measure == "keskar"
    assert "density" in last
    assert "hessian" not in last
    assert list(last) == list(last.records)
    assert {"trace", "eigenpairs", "plot", "value", "step"} <= set(dir(last))


def test_a_run_that_is_not_there_is_a_key_error_that_names_those_close_to_it(results):
    with pytest.raises(KeyError, match=r"no run 'adam0' in .*did you mean adam-s") as caught:
        results["adam0"]
    assert isinstance(caught.value, ResultsError)
    assert not str(caught.value).startswith('"'), "a KeyError would print the repr of its message"
    with pytest.raises(ResultsError, match="there are adam-s0, adam-s1, momentum-s0"):
        results.run("x")


def test_a_position_that_is_not_there_is_an_index_error_with_the_length(results):
    with pytest.raises(IndexError, match="no run at position 6 in .*, which has 6") as caught:
        results[6]
    assert isinstance(caught.value, ResultsError)
    with pytest.raises(IndexError, match="no checkpoint at position -4 in run 'adam-s0', which has 3"):
        results[0][-4]
    with pytest.raises(KeyError, match="no checkpoint of step 11 in run 'adam-s0'; there are 10, 20, 30"):
        results[0].at(step=11)


def test_a_record_that_is_not_there_is_an_attribute_error_that_lists_what_is(results, last):
    with pytest.raises(AttributeError, match=r"no attribute or record 'trase'; there are density, .*you mean trace"):
        _ = last.trase
    with pytest.raises(KeyError, match="no record 'trace' in step 10; there are eigenpairs, gap, point, test"):
        results[0][0]["trace"]
    assert not hasattr(last, "__array__")
    assert getattr(results[0][0], "trace", None) is None


def test_a_measure_is_read_with_its_error_and_interval(last):
    trace = last.value("trace")
    assert (trace.value, trace.error, trace.error_kind) == (last.trace.value, last.trace.sem, "standard error")
    assert (trace.low, trace.high) == last.trace.interval(0.95)
    assert float(trace) == last.trace.value
    assert str(trace) == str(last.trace)
    assert last.measures["trace"] == trace
    largest = last.value("lambda_max")
    assert (largest.error_kind, largest.error) == ("bound", last.eigenpairs.residuals[0])
    assert str(last.value("sharpness_worst")).startswith("≥ ")


def test_a_measure_that_was_not_measured_and_one_that_does_not_exist_are_told_apart(results):
    with pytest.raises(KeyError, match="trace was not measured at step 10; there are train_loss"):
        results[0][0].value("trace")
    with pytest.raises(KeyError, match=r"no measure 'lamda_max' in step 10; .*did you mean lambda_max"):
        results[0][0].value("lamda_max")


def test_results_stay_frozen(results, last):
    with pytest.raises(FrozenInstanceError):
        last.trace = 3
    with pytest.raises(TypeError):
        last.records["trace"] = 3
    with pytest.raises(FrozenInstanceError):
        results.runs = ()


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_is_the_same_and_as_frozen(results, through):
    """A checkpoint looks up unknown attributes among its records, also while a copy of it has none yet."""
    twin = through(results)
    assert [run.name for run in twin] == [run.name for run in results]
    other = through(results[0][-1])
    for name, record in results[0][-1].records.items():
        assert identical(other[name], record)
    assert other.provenance == results[0][-1].provenance
    with pytest.raises(TypeError):
        other.records["trace"] = 3


def test_a_checkpoint_without_fields_yet_has_no_records():
    """As whatever takes an object apart and puts it together again meets it."""
    assert not hasattr(CheckpointResults.__new__(CheckpointResults), "trace")


def test_results_without_runs_are_empty_and_say_so(tmp_path):
    with ResultStore(tmp_path) as store:
        store.describe({})
    empty = ls.load_results(tmp_path)
    assert len(empty) == 0
    assert "0 runs" in repr(empty)
    assert empty.to_dataframe().empty
    assert empty.pairs_to_dataframe().empty
    with pytest.raises(KeyError, match="there is none"):
        empty["a"]
    with pytest.raises(UsageError, match="nothing was measured there"):
        empty.plot()


def test_everything_draws_itself(results, last):
    assert r"\lambda_{\mathrm{max}}" in results.plot().get_xlabel()
    assert "tr H" in results.plot(measure="trace").get_xlabel()
    history = results["adam-s0"].plot(measure="lambda_max")
    values = [checkpoint.eigenpairs.values.max() for checkpoint in results["adam-s0"]]
    assert history.lines[0].get_xdata().tolist() == list(STEPS)
    assert history.lines[0].get_ydata().tolist() == values
    assert history.get_xlabel() == "step"
    assert r"\lambda_{\mathrm{max}}$ (loss/parameter²)" in history.get_ylabel()
    assert "eigenvalue" in last.plot().get_xlabel()
    assert results.pairs[0].plot().get_title(loc="left") == "adam-s0 to adam-s1"


def test_what_was_not_measured_is_not_drawn(results):
    with pytest.raises(UsageError, match="measure='lamda' is not one of"):
        results.plot(measure="lamda")
    with pytest.raises(UsageError, match="trace was not measured there; there is train_loss"):
        type(results[0])("early", {}, results[0][:1]).plot(measure="trace")


def test_numbers_of_a_checkpoint_without_a_spectrum_are_drawn_as_rows(results):
    point = CheckpointResults(3, {}, {"point": results[0][0].point}, {})
    ax = point.plot()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["training loss", "gradient norm (loss/parameter)"]


def test_all_of_it_needs_no_torch(results):
    code = f"""
        import sys
        import landscape as ls
        results = ls.load_results({str(results.path)!r})
        results.to_dataframe(), results.pairs_to_dataframe(), results.plot(), results[0][-1].plot()
        repr(results), results._repr_html_(), ls.citations(results), results[0][-1].value("trace")
        print("torch" in sys.modules)
    """
    assert run_python(code).stdout.strip() == "False"
