"""An analysis that was interrupted within a plane goes on in it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import landscape as ls
from landscape import geometry
from landscape.files import ledger
from landscape.objective.functional import Parts
from tests.support.runs import SMALL, make_runs


@pytest.mark.slow
def test_a_plane_that_was_interrupted_is_not_begun_again(tmp_path, monkeypatch):
    runs = make_runs(tmp_path / "all")
    one = shutil.copytree(runs / "adam-s0", tmp_path / "one")
    two = shutil.copytree(runs / "adam-s0", tmp_path / "two")
    plan = SMALL.__class__(**SMALL.fields() | {"last": 1})
    evaluate, value = geometry.evaluate_plane, Parts.value
    inside: list[int] = []
    last = [10**9]

    def counted(self, *args):
        if inside:
            if inside[-1] == last[0]:
                raise KeyboardInterrupt
            inside[-1] += 1
        return value(self, *args)

    def evaluated(*args, **how):
        inside.append(0)
        return evaluate(*args, **how)

    monkeypatch.setattr(ledger, "EVERY", 0.0)
    monkeypatch.setattr(Parts, "value", counted)
    monkeypatch.setattr(geometry, "evaluate_plane", evaluated)

    def analysed(folder, interrupted_at: int) -> int:
        inside.clear()
        last[0] = interrupted_at
        ls.analyze(folder, plan)
        return inside[0]

    whole = analysed(one, 10**9)
    with pytest.raises(KeyboardInterrupt):
        analysed(two, 15)
    assert list((two / "results.h5.parts").glob("*.unfinished/*.points"))
    assert analysed(two, 10**9) <= whole - 14
    planes = [ls.load_results(folder)[folder.name][-1].plane for folder in (one, two)]
    np.testing.assert_array_equal(planes[0].loss, planes[1].loss)
    assert not (two / "results.h5.parts").exists()
