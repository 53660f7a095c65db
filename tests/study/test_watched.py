"""What a study watches is told as it stands in the histories of its runs, and step sizes beside the curvature."""

from __future__ import annotations

import re

import numpy as np
import pytest

from landscape.checkpoints import CheckpointDir
from landscape.results import Eigenpairs
from landscape.store import ResultStore
from landscape.study import Arm
from landscape.study.findings import Material
from landscape.study.histories import draw_histories
from landscape.study.watched import watched_at_end, watched_sentences
from tests.support.studies import trained


def material_of(folder, **changes):
    """A study on a line, trained, and its runs with eigenvalues of 1.5 as if measured."""
    study = trained(
        folder, problem="noisy-linear", problem_config={"num_examples": 40}, paths=False, histories=True,
        settings={"epochs": 5, "batch_size": 4, "save_every": 10}, **changes,
    )  # fmt: skip
    with ResultStore(folder) as store:
        for arm, seed, run in study.runs_in(folder):
            name, last = arm.run(seed), CheckpointDir(run)[-1]
            store.describe_run(name, {"config": {"label": arm.label, "seed": seed}})
            top = np.array([1.5]), np.zeros((2, 0)), np.array([0.0]), np.array([True])
            pairs = Eigenpairs(*top, 10, "converged", "largest", "lanczos", 1e-3, 0, 2)
            store.write(name, last.step, "eigenpairs", pairs, {})
    return Material(study, [], [], folder / "results.h5"), study


def test_the_distance_to_consensus_is_that_of_the_last_steps_of_each_run(tmp_path):
    arms = tuple(
        Arm(graph, {"optimizer": "decentralized-sgd", "options": {"clients": 4, "graph": graph}, "lr": 0.1})
        for graph in ("complete", "ring")
    )
    material, study = material_of(tmp_path, arms=arms, watched="distance_to_consensus")
    found = watched_at_end(material)
    for seed in study.seeds:
        history = CheckpointDir(tmp_path / f"ring-s{seed}").history()
        assert len(history["distance_to_consensus"]) == 15
        # More than 90 % of 15 steps are the 14th and the 15th.
        assert found["ring", seed] == pytest.approx(history["distance_to_consensus"][-2:].mean())
        assert found["complete", seed] == 0
    (said,) = watched_sentences(material)
    mean = np.mean([found["ring", seed] for seed in study.seeds])
    told = re.fullmatch(
        r"the distance to consensus over the last tenth of the steps: complete 0, ring ([\d.]+) ± [\d.]+\.", said
    )
    assert float(told[1]) == pytest.approx(mean, rel=0.05)
    below = draw_histories(study, tmp_path).figure.axes[1]
    assert below.get_ylabel() == "distance to consensus"


def test_step_sizes_are_told_in_units_of_two_over_the_curvature_where_that_is_the_limit(tmp_path):
    arms = (
        Arm("fixed", {"optimizer": "sgd", "lr": 0.2}),
        Arm("moving", {"optimizer": "momentum", "lr": 0.1}),
    )
    material, _ = material_of(tmp_path, arms=arms, watched="step_size")
    sizes, ratios = watched_sentences(material)
    assert sizes == "the step size over the last tenth of the steps: moving 0.1, fixed 0.2."
    assert ratios.startswith("step sizes there times λ_max where training stopped, over 2")
    assert ratios.endswith(": fixed 0.15.")


def test_nothing_is_told_where_nothing_is_watched_and_what_no_run_has_is_named(tmp_path):
    arms = (Arm("sgd", {"optimizer": "sgd"}),)
    material, _ = material_of(tmp_path / "a", arms=arms)
    assert watched_sentences(material) == []
    material, _ = material_of(tmp_path / "b", arms=arms, watched="distance_to_consensus")
    assert watched_sentences(material) == ["no run has a history of its distance to consensus."]
