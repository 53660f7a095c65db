"""Results of runs that were measured along their whole training, each seed at steps of its own, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from landscape.results import Distances, Estimate, Evaluation, PointValue, Record, Stability, StepHistory
from landscape.store import ALONG, AROUND, ResultStore, load_results
from landscape.store.view import Results
from tests.support.synthetic_results import line, provenance, run_info, tail_records

#: Seed → the steps at which its checkpoints were saved; they share the first and the last two.
STEPS = {0: (0, 20, 70, 150, 310, 600, 601), 1: (0, 35, 70, 200, 420, 600, 601)}
LAST = 2
#: Optimizer → its curvature at the end, and its threshold.
CURVATURE = {"sgd": (18.0, 40.0), "adam": (60.0, 38000.0), "momentum": (25.0, 76.0)}


def make(
    folder: Path, *, optimizers: tuple[str, ...] = ("adam", "sgd"), steps: Mapping[int, tuple[int, ...]] = STEPS
) -> Results:
    """Loss falls as ``exp(−step/200)``, distances are ``√step`` and what is left of it, everything else is near."""
    with mock.patch("os.fsync"), ResultStore(folder) as store:
        for optimizer in optimizers:
            for seed, own in steps.items():
                run, rng = f"{optimizer}-s{seed}", np.random.default_rng(seed)
                chosen = {AROUND: list(own[:-LAST]), ALONG: list(own)}
                store.describe_run(run, run_info(optimizer, seed) | chosen)
                store.write(run, own[-1], "history", history(seed, own[-1]), {"key": {}})
                for step in own:
                    store.describe_checkpoint(run, step, {})
                    for name, record in records(rng, optimizer, seed, step, own).items():
                        store.write(run, step, name, record, provenance(name, record))
    return load_results(folder)


def history(seed: int, last: int) -> StepHistory:
    """Gradient norms ``exp(−step/200)``, of the second seed four times as much; steps of 0.1; no losses."""
    steps = np.arange(1, last + 1)
    norms = (4.0 if seed else 1.0) * np.exp(-steps / 200)
    return StepHistory(("gradient_norm", "step_size"), steps, np.stack([norms, np.full(last, 0.1)]))


def records(
    rng: np.random.Generator, optimizer: str, seed: int, step: int, steps: tuple[int, ...]
) -> dict[str, Record]:
    """What is measured on the way; at the end a line besides."""
    top, threshold = CURVATURE[optimizer]
    rising = top * (1 - 0.9 * np.exp(-step / 100)) * (1 + 0.2 * seed)
    loss, last = 2.3 * np.exp(-step / 200) + 0.004, steps[-1]
    found = tail_records(rng, rising) | {
        "point": PointValue(loss, 0.1 + loss * rng.uniform(0.8, 1.2), 17.0 + 0.01 * step),
        "train": Evaluation(loss, 1437, 1 - 0.3 * loss),
        "test": Evaluation(1.1 * loss + 0.05, 360, 0.97 - 0.3 * loss),
        "trace": Estimate(5 * rising, sem=0.1 * rising, method="Hutchinson, 8 probes", num_matvecs=8),
        "distances": Distances(
            ("fc.weight", "fc.bias"), np.array([100, 10]), np.sqrt([0.75 * step, 0.25 * step]),
            np.sqrt([0.75 * (last - step), 0.25 * (last - step)]), np.array([5.0, 0.0]), step, steps[0], last,
        ),
        "noise_scale": Estimate(20.0 + 0.3 * step, sem=3.0, method="tr Σ/‖g‖², 64 batches of 20"),
        "gradient_share": Estimate(0.2 + 0.5 * (1 - np.exp(-step / 100)), method="share of the gradient"),
        "update_share": Estimate(0.1 + 0.2 * (1 - np.exp(-step / 100)), method="share of the update"),
        "stability": stability(optimizer, rising, threshold, step),
    }  # fmt: skip
    return found | ({"line_eigenvector_1": line(rng, rising, "eigenvector 1")} if step == last else {})


def stability(optimizer: str, top: float, threshold: float, step: int) -> Stability:
    """The curvature that decides beside its threshold, and critical sharpness beside 2/η."""
    measure, factor = ("preconditioned_sharpness", 300.0) if optimizer == "adam" else ("lambda_max", 1.0)
    table = Stability(
        (measure, "critical_sharpness", "batch_sharpness"), np.array([factor * top, 0.8 * top, 1.3 * top]),
        np.array([0.01 * top, 0.01 * top, 0.1 * top]), ("bound", "bound", "standard error"),
        np.array([threshold, 40.0, 40.0 if optimizer == "sgd" else np.nan]), ("2/η", "2/η", "2/η"), np.full(3, True),
        (), (), optimizer, 0.05, step, 0.1, 32, 0, 6.0,
    )  # fmt: skip
    return replace(table, step=step)
