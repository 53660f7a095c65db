"""Two checkpoints around one training loss get every number, so that each can be read between them."""

from __future__ import annotations

import shutil

import landscape as ls
from landscape.store import load_results
from tests.support.runs import SMALL, make_runs

NUMBERS = {"point", "test", "eigenpairs", "gap", "trace", "second_order_gain", "sharpness_worst", "sharpness_average",
           "sharpness_adaptive_worst", "sharpness_adaptive_average", "sharpness_keskar", "sharpness_normalized_worst",
           "sharpness_normalized_average"}  # fmt: skip


def test_the_last_two_get_every_number_and_pictures_are_of_the_last_alone(tmp_path):
    folder = make_runs(tmp_path)
    for name in ("adam-s1", "sgd-s0", "sgd-s1"):
        shutil.rmtree(folder / name)
    fields = {**SMALL.fields(), "last": 3, "full": 2, "barriers": 0, "subsets": 0, "workers": 1}
    (run,) = load_results(ls.analyze(folder, ls.Plan(**fields))).runs
    first, second, last = (set(checkpoint.records) for checkpoint in run.checkpoints)
    assert first == {"point", "test", "eigenpairs", "gap"}
    assert second == NUMBERS
    assert second < last
    assert {"density", "plane", "line_eigenvector_1"} <= last - second
    pairs = run.checkpoints[1].records["eigenpairs"]
    assert pairs.smallest is not None
    assert pairs.which == "both"
