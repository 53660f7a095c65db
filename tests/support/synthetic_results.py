"""A folder of results as an analysis of LeNet-5 on digits would leave it, made in a second and without torch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from landscape.results import (
    Eigenpairs,
    Estimate,
    Evaluation,
    LineSlice,
    PlaneSlice,
    PointValue,
    Record,
    SecondOrderGain,
    Sharpness,
    SpectralGap,
    SpectralMeasure,
)
from landscape.store import ResultStore

P = 61_706  # parameters of LeNet-5 on 32 × 32 images, ten classes
SHARPEST = {"gd": 90.0, "adam": 61.0, "momentum": 27.0, "sgd": 9.0, "rmsprop": 110.0, "adagrad": 14.0}


def make_results(
    folder: Path,
    *,
    optimizers: tuple[str, ...] = ("adam", "momentum", "sgd"),
    seeds: tuple[int, ...] = (0, 1),
    steps: tuple[int, ...] = (1320, 1328, 1336, 1344),
    vectors: bool = True,
    all_converged: bool = False,
    skipped: bool = True,
    consolidate: bool = True,
    configs: Mapping[str, dict[str, Any]] | None = None,
) -> Path:
    """Write ``results.h5`` into a folder and return its path.

    ``all_converged=False`` leaves one eigenvalue of the last run, and its worst-case sharpness, not converged;
    ``consolidate=False`` leaves everything in the journal; ``vectors=False`` stores eigenvectors as (P, 0).
    ``configs`` adds to the training config of an optimizer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = [(o, s) for o in optimizers for s in seeds]
    # Syncing to the disk is nearly all of the time, and no test pulls the plug on these.
    with mock.patch("os.fsync"), ResultStore(folder / "results.h5") as store:
        store.describe(_results_info(skipped))
        for index, (optimizer, seed) in enumerate(runs):
            run = f"{optimizer}-s{seed}"
            rng = np.random.default_rng(1000 + index)
            converged = all_converged or index + 1 < len(runs)
            store.describe_run(run, run_info(optimizer, seed, (configs or {}).get(optimizer, {})))
            for position, step in enumerate(steps):
                final = position + 1 == len(steps)
                metrics = _metrics(rng, optimizer, step)
                store.describe_checkpoint(run, step, metrics)
                top = SHARPEST.get(optimizer, 40.0) * (1 + 0.15 * rng.standard_normal()) * (1 + 0.02 * position)
                records = as_measured(tail_records(rng, top), metrics)
                if final:
                    records |= final_records(rng, top, vectors=vectors, converged=converged)
                for name, record in records.items():
                    store.write(run, step, name, record, provenance(name, record))
        for (opt_a, seed_a), (opt_b, seed_b) in itertools.pairwise(runs):
            line = interpolation(np.random.default_rng(seed_a + 10 * seed_b), 0.0 if opt_a == opt_b else 1.0)
            store.write_pair(f"{opt_a}-s{seed_a}", f"{opt_b}-s{seed_b}", line, provenance("interpolation", line))
        if consolidate:
            store.consolidate()
    return folder / "results.h5"


def run_info(optimizer: str, seed: int, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the pipeline tells of a run."""
    lr = {"adam": 1e-3, "rmsprop": 1e-3}.get(optimizer, 0.05)
    config = {"optimizer": optimizer, "lr": lr, "seed": seed, "batch_size": 32, "epochs": 30, "momentum": 0.9}
    config |= more or {}
    return {
        "optimizer": optimizer,
        "seed": seed,
        "lr": lr,
        "config": config,
        "problem": "lenet-digits",
        "num_parameters": P,
        "num_examples": 1437,
        "num_test_examples": 360,
        "fingerprint": "5f1c" * 16,
        "loss": "cross_entropy",
        "mode": "eval",
        "dtype": "float32",
        "num_classes": 10,
        "frozen": [],
    }


def provenance(name: str, record: Record) -> dict[str, Any]:
    """What the pipeline tells of a record."""
    matvecs = getattr(record, "num_matvecs", getattr(record, "num_evaluations", 51))
    return {
        "key": {"name": name, "tol": 1e-3, "seed": 0, "fingerprint": "5f1c" * 16, "theta": "ab12" * 16},
        "seconds": 0.02 * matvecs,
        "matvecs": matvecs,
        "converged": bool(np.all(getattr(record, "converged", True))),
        "route": "reverse-over-reverse, retained",
        "chunk": 256,
        "device": "cpu",
        "dtype": "float32",
        "created": "2025-11-22T09:00:00+00:00",
    }


def tail_records(rng: np.random.Generator, top: float) -> dict[str, Record]:
    """The records of every analysed checkpoint."""
    eigs = eigenpairs(rng, top, which="largest", k=2)
    gap = Estimate(eigs.values[0] - eigs.values[1], bound=float(eigs.residuals[:2].sum()), method="residual bound")
    ratio = Estimate(eigs.values[0] / eigs.values[1], bound=float(2e-3 * eigs.values[0] / eigs.values[1]))
    point = PointValue(loss=float(abs(rng.normal(0.004, 0.001))), grad_norm=float(rng.gamma(4, 0.01)), param_norm=17.3)
    return {"point": point, "eigenpairs": eigs, "gap": SpectralGap(gap, ratio)}


def as_measured(records: dict[str, Record], metrics: Mapping[str, Any]) -> dict[str, Record]:
    """Training saved right numbers: what was measured is the same."""
    records["point"] = replace(records["point"], loss=metrics["train_loss"])
    per_class = np.array(metrics["accuracy_per_class"])
    records["test"] = Evaluation(metrics["test_loss"], 360, metrics["test_accuracy"], per_class)
    return records


def final_records(
    rng: np.random.Generator, top: float, *, vectors: bool = True, converged: bool = True
) -> dict[str, Record]:
    """The records that only the last checkpoint of a run has, and its larger set of eigenpairs."""
    samples = rng.normal(6.5 * top, 0.9 * top, 32)
    sem = float(samples.std(ddof=1) / np.sqrt(32))
    records: dict[str, Record] = {
        "eigenpairs": eigenpairs(rng, top, which="both", k=5, vectors=vectors, converged=converged),
        "trace": Estimate(float(samples.mean()), sem=sem, samples=samples, num_matvecs=32, seed=0, method="hutchinson"),
        "second_order_gain": gain(float(rng.uniform(3, 12))),
        "density": density(rng, top),
        "plane": plane(top, ("random 0, filter-normalised", "random 1, filter-normalised")),
        "line_eigenvector_1": line(rng, top, "eigenvector 1"),
        "line_eigenvector_2": line(rng, 0.8 * top, "eigenvector 2"),
    }
    records |= {f"line_random_{i}": line(rng, 0.01 * top, f"random {i}, filter-normalised") for i in range(3)}
    return records | sharpness(rng, top, converged)


def gain(value: float) -> SecondOrderGain:
    """Twice as much with a tenth of the damping, half with ten times; conjugate gradients are twice as good."""
    each, bounds = value * np.array([2.0, 1.0, 0.5]), np.full(3, 0.02)
    return SecondOrderGain(
        value, bound=0.02, num_matvecs=20, method="damped Newton", dampings=np.array([1e-3, 1e-2, 1e-1]),
        over_descent=each, over_descent_bound=bounds, over_conjugate=each / 2, over_conjugate_bound=bounds,
        over_one_step=20 * value, num_steps=20,
    )  # fmt: skip


def eigenpairs(
    rng: np.random.Generator, top: float, *, which: str, k: int, vectors: bool = False, converged: bool = True
) -> Eigenpairs:
    """Outliers that fall off like those of a ten-class classifier, and for ``"both"`` a small negative end."""
    values = top * np.array([1.0, rng.uniform(0.75, 0.9), 0.61, 0.55, 0.43])[:k]
    if which == "both":
        values = np.concatenate([values, -top * np.array([0.002, 0.004, 0.007, 0.011, 0.021])[:k]])
    columns = np.empty((P, 0), np.float32)
    if vectors:
        columns = np.linalg.qr(rng.standard_normal((P, len(values)), dtype=np.float32))[0]
    good = np.ones(len(values), bool)
    good[-1] = converged
    residuals = np.where(good, 4e-4, 3e-2) * np.abs(values) * rng.uniform(0.5, 1, len(values))
    reason = "all residuals within tolerance" if converged else "max_matvecs=500 reached"
    return Eigenpairs(
        values, columns, residuals, good, 90 if which == "both" else 34, reason, which, "lanczos", 1e-3, 0, P
    )


def density(rng: np.random.Generator, top: float, *, probes: int = 8, steps: int = 64) -> SpectralMeasure:
    """A bulk at zero with ten outliers of weight 1/P."""
    bulk = np.sort(0.02 * top * rng.standard_normal((probes, steps - 10)), axis=1)
    outliers = np.tile(top * np.linspace(0.1, 1, 10), (probes, 1))
    weights = np.concatenate([rng.dirichlet(np.full(steps - 10, 3.0), probes), np.full((probes, 10), 1 / P)], axis=1)
    return SpectralMeasure(
        np.concatenate([bulk, outliers], axis=1), weights / weights.sum(1, keepdims=True), P, probes * steps, 0
    )


def line(rng: np.random.Generator, curvature: float, direction: str) -> LineSlice:
    """A slightly lopsided parabola."""
    t = np.linspace(-1, 1, 51)
    loss = 0.004 + curvature * (t**2 / 2 + 0.1 * rng.standard_normal() * t**3 + 0.05 * t**4)
    return LineSlice(t, loss, direction, 1.0, "direction", curvature, curvature * 1.0001, 1e-3 * curvature)


def interpolation(rng: np.random.Generator, height: float) -> LineSlice:
    """The line between two minima, with a hill in the middle."""
    t = np.linspace(0, 1, 25)
    loss = 0.004 + (1.2 + height + 0.1 * rng.random()) * np.sin(np.pi * t) ** 2
    return LineSlice(t, loss, "between two minima", 14.2, "interpolation")


def plane(top: float, directions: tuple[str, str]) -> PlaneSlice:
    """A valley, with one point where the loss overflowed."""
    x, y = np.linspace(-1, 1, 25), np.linspace(-1, 1, 21)
    curvature = top * np.array([[0.02, 0.003], [0.003, 0.01]])
    at = np.stack(np.meshgrid(x, y), -1)
    loss = 0.004 + 0.5 * np.einsum("yxi,ij,yxj->yx", at, curvature, at) + 0.3 * np.abs(at).sum(-1) ** 3
    loss[0, 0] = np.nan
    return PlaneSlice(x, y, loss, directions, np.array([17.3, 17.3]), curvature, curvature * 1.0005, curvature * 2e-3)


def wells() -> PlaneSlice:
    """Himmelblau's four minima, noisy, and one point where the loss overflowed."""
    x = y = np.linspace(-5, 5, 31)
    at_x, at_y = np.meshgrid(x, y)
    loss = (at_x**2 + at_y - 11) ** 2 + (at_x + at_y**2 - 7) ** 2 + np.random.default_rng(0).uniform(0.1, 10, (31, 31))
    loss[0, 0] = np.nan
    unknown = np.full((2, 2), np.nan)
    return PlaneSlice(x, y, loss, ("x", "y"), np.ones(2), unknown, unknown, unknown)


def sharpness(rng: np.random.Generator, top: float, converged: bool) -> dict[str, Record]:
    """The measures in a ball; the worst cases and Keskar's are lower bounds."""
    records: dict[str, Record] = {}
    sizes = {
        "worst": (0.05, 0.00125),
        "average": (0.05, 0.008),
        "adaptive_worst": (0.5, 0.02),
        "adaptive_average": (0.1, 0.01),
        "normalized_worst": (0.5, 0.002),
        "normalized_average": (0.1, 0.001),
        "keskar": (0.001, 0.05),
    }
    for measure, (rho, size) in sizes.items():
        worst = measure.endswith("worst") or measure == "keskar"
        samples = size * top * rng.uniform(0.9, 1.0, 4 if worst else 16)
        value = float(samples.max() if worst else samples.mean())
        error = None if worst else float(samples.std(ddof=1) / 4)
        kind = "lower bound" if worst else "estimate"
        done = converged or measure != "worst"
        records[f"sharpness_{measure}"] = Sharpness(
            measure, value, error, kind, rho, 2.0, samples, done, 80, 0, "Andriushchenko et al. 2023"
        )
    return records | without_a_ball(rng, top)


def without_a_ball(rng: np.random.Generator, top: float) -> dict[str, Record]:
    """Of the last layer, of all parameters at once, and how much noise they bear."""
    exact, none = np.empty(0), float("nan")
    noise = (2 * 0.1 / (6.5 * top)) ** 0.5
    sizes = {
        "relative_flatness": (0.4 * top, rng.normal(0.4 * top, 0.05 * top, 32), "Petzka et al. 2021"),
        "fisher_rao": (0.02 * top, exact, "Liang et al. 2019"),
        "flatness_radius": (noise, rng.normal(noise, 0.1 * noise, 8), "Jiang et al. 2020"),
        "flatness_radius_magnitude": (10 * noise, rng.normal(10 * noise, noise, 8), "Jiang et al. 2020"),
    }
    records: dict[str, Record] = {}
    for measure, (value, samples, reference) in sizes.items():
        error = float(samples.std(ddof=1) / samples.size**0.5) if samples.size else 1e-6 * value
        kind = "estimate" if samples.size else "exact"
        value = float(samples.mean()) if samples.size else value
        records[f"sharpness_{measure}"] = Sharpness(
            measure, value, error, kind, none, none, samples, True, 64, 0, reference, method="made by hand"
        )
    return records


def _metrics(rng: np.random.Generator, optimizer: str, step: int) -> dict[str, Any]:
    per_class = np.clip(rng.normal(0.972, 0.015, 10), 0, 1)
    return {
        "train_loss": float(abs(rng.normal(0.004, 0.001))),
        "test_loss": float(rng.normal(0.09, 0.01)),
        "test_accuracy": float(per_class.mean()),
        "train_accuracy": 1.0,
        "accuracy_per_class": per_class.tolist(),
        "grad_norm": float(rng.gamma(4, 0.01)),
        "param_norm": 17.3,
        "distance": 9.1,
        "epoch": step / 45,
        "lr": 1e-3 if optimizer == "adam" else 0.05,
    }


def _results_info(skipped: bool) -> dict[str, Any]:
    return {
        "plan": {"eigs": 5, "trace_probes": 32, "density_probes": 8, "steps": 64, "points": 51, "tol": 1e-3, "seed": 0},
        "plan_name": "standard",
        "versions": {"landscape": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6", "python": "3.11.7"},
        "skipped": [{"file": "sgd-s1/step_00001312.h5", "reason": "truncated: 1024 of 250000 bytes"}]
        if skipped
        else [],
        "created": "2025-11-22T09:00:00+00:00",
        "seconds": 151.0,
        "command": "landscape analyze checkpoints/demo",
        "platform": "Linux x86_64",
        "threads": 2,
    }
