"""safetensors: the tensors alone, written by its own library."""

from __future__ import annotations

import sys

import pytest

import landscape as ls
from tests.support.foreign import STEPS, assert_same, digits, natively, normed, train

library = pytest.importorskip("safetensors.torch")


@pytest.mark.parametrize("problem", [digits, normed])
def test_a_file_gives_what_our_own_gives_with_ties_that_the_library_leaves_out(problem, tmp_path):
    problem = problem()
    model, _ = train(problem)
    source = tmp_path / "weights.safetensors"
    library.save_model(model, str(source), metadata={"step": str(STEPS)})  # of tied tensors it saves one
    lines = []
    (path,) = ls.import_checkpoint(source, tmp_path / "out", problem=problem, say=lines.append)
    assert_same(path, natively(tmp_path / "native", problem, model), problem, adaptive=False)
    assert ("tied again: first.weight, head.weight" in lines[0]) == (problem.name == normed().name)


def test_a_file_that_is_cut_is_one_line(tmp_path):
    problem = digits()
    source = tmp_path / "w_1.safetensors"
    library.save_file(dict(train(problem)[0].state_dict()), str(source))
    whole = source.read_bytes()
    for keep in (9, 50, len(whole) - 1):
        source.write_bytes(whole[:keep])
        with pytest.raises(ls.CheckpointError) as refused:
            ls.import_checkpoint(source, tmp_path / "out", problem=problem)
        assert "\n" not in str(refused.value)


def test_without_the_library_the_extra_to_install_is_named(tmp_path, monkeypatch):
    problem = digits()
    source = tmp_path / "w_1.safetensors"
    library.save_file(dict(train(problem)[0].state_dict()), str(source))
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ls.CheckpointError, match=r"pip install 'landscape-curvature\[safetensors\]'"):
        ls.import_checkpoint(source, tmp_path / "out", problem=problem)
