"""Runs on disk to pictures: what is on each, what is stored, and what a second call does not do again."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import landscape as ls
from landscape.errors import CheckpointError, UsageError
from landscape.pictures import eigenvectors, subjects
from landscape.results import PathSlice, PlaneSlice
from landscape.store import ResultStore
from tests.support.command_line import call
from tests.support.runs import make_runs

SMALL = {"points": 5, "tol": "5%"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_runs(tmp_path_factory.mktemp("draw") / "runs")


def last(folder, name):
    return ls.CheckpointDir(folder / name)[-1]


def stored(picture):
    return ls.load_results(picture.results)[picture.run].at(step=picture.step)[picture.name]


def test_each_run_has_a_picture_of_its_last_checkpoint_and_its_record(runs, tmp_path):
    pictures = ls.draw([runs / "adam-s0", runs / "sgd-s1"], out=tmp_path, **SMALL)
    assert [picture.run for picture in pictures] == ["adam-s0", "sgd-s1"]
    for picture in pictures:
        assert picture.pdf.read_bytes().startswith(b"%PDF")
        assert picture.png.stat().st_size > 5000
        record = stored(picture)
        assert isinstance(record, PlaneSlice)
        checkpoint = last(runs, picture.run)
        assert record.loss[2, 2] == checkpoint.objective().loss()
        edges = record.loss[[0, -1, 2, 2], [2, 2, 0, -1]]
        assert edges.max() >= 2 * record.loss[2, 2]
        assert "‖θ‖" in picture.sentence
    assert len({picture.pdf for picture in pictures}) == 2


def test_several_checkpoints_are_chosen_by_number_or_by_step(runs, tmp_path):
    steps = [picture.step for picture in ls.draw(runs / "adam-s0", last=2, out=tmp_path / "a", **SMALL)]
    assert sorted(steps) == [2, 3]
    assert [p.step for p in ls.draw(runs / "adam-s0", steps=[1], out=tmp_path / "b", **SMALL)] == [1]
    with pytest.raises(UsageError, match="adam-s0 has no checkpoint of step 7; it has 1, 2, 3"):
        ls.draw(runs / "adam-s0", steps=[7], out=tmp_path, **SMALL)
    with pytest.raises(UsageError, match="give one of the two"):
        ls.draw(runs / "adam-s0", steps=[1], last=1, out=tmp_path, **SMALL)


def test_both_splits_stand_side_by_side(runs, tmp_path):
    (picture,) = ls.draw(runs / "sgd-s0", on="both", metric="accuracy", out=tmp_path, **SMALL)
    record, checkpoint = stored(picture), last(runs, "sgd-s0")
    assert record.metric("test loss")[2, 2] == pytest.approx(checkpoint.metrics["test_loss"], rel=1e-5)
    assert record.metric("test accuracy")[2, 2] == pytest.approx(checkpoint.metrics["test_accuracy"])
    (alone,) = ls.draw(runs / "sgd-s0", on="test", out=tmp_path, **SMALL)
    assert stored(alone).loss[2, 2] == record.metric("test loss")[2, 2]
    assert stored(alone).split == "test"


def test_a_function_that_a_person_names_is_drawn_and_evaluated_again_when_it_changes(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def first(outputs, targets):\n    return outputs[:, 0].mean()\n")
    (picture,) = ls.draw(runs / "adam-s1", metric="mine.py:first", out=tmp_path / "out", **SMALL)
    before = stored(picture).metric("first")
    (tmp_path / "mine.py").write_text("def first(outputs, targets):\n    return 2 * outputs[:, 0].mean()\n")
    (picture,) = ls.draw(runs / "adam-s1", metric="mine.py:first", out=tmp_path / "out", **SMALL)
    assert stored(picture).metric("first") == pytest.approx(2 * before, rel=1e-5)
    with pytest.raises(UsageError, match="metric 'mine.py:second': .* has no function 'second'"):
        ls.draw(runs / "adam-s1", metric="mine.py:second", out=tmp_path / "out", **SMALL)
    with pytest.raises(UsageError, match="metric='recall' is not one of loss, accuracy, gradient_norm"):
        ls.draw(runs / "adam-s1", metric="recall", out=tmp_path / "out", **SMALL)


def test_stored_eigenvectors_are_taken_where_they_are_of_this_question(runs, tmp_path, monkeypatch):
    folder = shutil.copytree(runs / "adam-s0", tmp_path / "adam-s0")
    checkpoint = last(tmp_path, "adam-s0")
    objective = checkpoint.objective()
    computed = ls.draw(folder, plane="eigen", out=tmp_path / "a", **SMALL)[0].record
    values, vectors = np.linalg.eigh(ls.HessianOperator(objective).dense().double().numpy())
    assert computed.curvature.diagonal() == pytest.approx(values[-2:][::-1], rel=2e-2)
    eigs = ls.top_eigenpairs(ls.HessianOperator(objective), 2, tol=1e-4)
    key = {"params": checkpoint.params_sha256, "objective": objective.digest(),
           "constants": objective.constants_digest()}  # fmt: skip

    def refused(*args, **kwargs):
        raise AssertionError("computed again")

    with ResultStore(tmp_path) as store:
        store.write("adam-s0", checkpoint.step, "eigenpairs", eigs, {"key": key})
    monkeypatch.setattr(eigenvectors, "top_eigenpairs", refused)
    taken = ls.draw(folder, plane="eigen", out=tmp_path / "b", **SMALL)[0].record
    assert taken.curvature.diagonal() == pytest.approx(values[-2:][::-1], rel=1e-3)
    with ResultStore(tmp_path) as store:
        store.write("adam-s0", checkpoint.step, "eigenpairs", eigs, {"key": {**key, "objective": "another"}})
    with pytest.raises(AssertionError, match="computed again"):
        ls.draw(folder, plane="eigen", out=tmp_path / "c", **SMALL)


def test_paths_of_all_runs_lie_on_their_principal_components(runs, tmp_path):
    (picture,) = ls.draw(runs, plane="pca", on="both", out=tmp_path, **SMALL)
    record = stored(picture)
    assert isinstance(record, PathSlice)
    assert record.names == ("adam-s0", "adam-s1", "sgd-s0", "sgd-s1")
    assert record.lengths.tolist() == [3, 3, 3, 3]
    assert record.only(["sgd-s1"]).losses[-1] == last(runs, "sgd-s1").objective().loss()
    assert "test loss" in record.metric_losses
    assert "% of the variance of 12 positions, and of random walks" in picture.sentence
    with pytest.raises(UsageError, match="reaches as far as its paths"):
        ls.draw(runs, plane="pca", radius=1.0, out=tmp_path, **SMALL)


def test_three_models_have_their_own_losses_on_their_plane(runs, tmp_path):
    names = ["adam-s0", "adam-s1", "sgd-s0"]
    (picture,) = ls.draw([runs / name for name in names], plane="models", out=tmp_path, **SMALL)
    record = stored(picture)
    assert record.mark_names == tuple(names)
    assert record.mark_losses.tolist() == [last(runs, name).objective().loss() for name in names]
    (steps,) = ls.draw(runs / "adam-s0", plane="models", last=3, out=tmp_path, **SMALL)
    assert stored(steps).mark_names == ("step 1", "step 2", "step 3")
    with pytest.raises(UsageError, match=r"three models, and 4 were chosen \(adam-s0, adam-s1, sgd-s0, sgd-s1\)"):
        ls.draw(runs, plane="models", out=tmp_path, **SMALL)


def test_what_is_stored_is_not_evaluated_again_and_an_interrupt_loses_one_picture(runs, tmp_path, monkeypatch):
    both, evaluate = [runs / "adam-s0", runs / "adam-s1"], subjects.geometry.evaluate_plane
    done = []

    def interrupted(*args, **kwargs):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(subjects.geometry, "evaluate_plane", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ls.draw(both, out=tmp_path, **SMALL)
    monkeypatch.setattr(subjects.geometry, "evaluate_plane", lambda *a, **k: done.append(2) or evaluate(*a, **k))
    assert len(ls.draw(both, out=tmp_path, **SMALL)) == 2
    assert len(ls.draw(both, out=tmp_path, **SMALL)) == 2
    assert done == [1, 2]
    ls.draw(both[:1], out=tmp_path, seed=1, **SMALL)
    assert done == [1, 2, 2]


def test_runs_that_go_on_no_plane_together_are_refused(runs, tmp_path):
    other = ls.get_problem("mlp-digits", {"hidden": [3], "num_train": 120})
    ls.save_checkpoint(tmp_path / "other", other.make_model(0), step=1, problem=other)
    with pytest.raises(UsageError, match="different problems"):
        ls.draw([runs / "adam-s0", tmp_path / "other"], plane="pca", out=tmp_path / "out", **SMALL)
    with pytest.raises(CheckpointError, match="no such folder"):
        ls.draw(tmp_path / "nowhere", out=tmp_path / "out")
    with pytest.raises(UsageError, match="plane='tangent' is not one of 'eigen', 'random', 'pca', 'models'"):
        ls.draw(runs, plane="tangent")
    with pytest.raises(UsageError, match="tol='7' must lie between 0 and 1"):
        ls.draw(runs, tol="7")


def test_the_command_says_where_the_picture_is_and_what_it_shows(runs, tmp_path, capsys, monkeypatch):
    status, out, err = call(capsys, monkeypatch, "draw", runs / "sgd-s0", "--points", "5", "--out", tmp_path)
    assert status == 0, err
    assert "sgd-s0, step 3: two random directions" in out
    assert str(tmp_path / "random_train_loss_sgd-s0_3.pdf") in out
    assert (tmp_path / "random_train_loss_sgd-s0_3.png").is_file()
    assert str(tmp_path / "results.h5") in out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--radius", "far"], "--radius 'far' is neither 'auto' nor a number"),
        (["--radius", "-1"], "radius=-1.0 must be a positive number"),
        (["--plane", "models"], "three models, and 1 were chosen"),
        (["--points", "6"], "points=6 is even"),
        (["--tol", "0"], "tol='0' must lie between 0 and 1"),
        (["--step", "9"], "no checkpoint of step 9"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_status_2(runs, tmp_path, capsys, monkeypatch, flags, said):
    status, out, err = call(capsys, monkeypatch, "draw", runs / "sgd-s0", "--out", tmp_path, *flags)
    assert status == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not out


def test_numbers_are_checked_before_anything_is_read(tmp_path):
    for given, said in (
        ({"points": 2}, "points=2 must be a whole number of at least 3"),
        ({"last": 0}, "last=0 must be a whole number of at least 1"),
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
    ):
        with pytest.raises(UsageError, match=said):
            ls.draw(tmp_path / "nowhere", **given)
    with pytest.raises(UsageError, match="no run was named"):
        ls.draw([])
