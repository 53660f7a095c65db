"""One small record of every class, made by hand, with numbers that look like what is measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from landscape import results, topology
from landscape.results import Record
from tests.support import synthetic_results as synthetic

TOP = 20.0


def examples() -> dict[str, Record]:
    """Class and variant → record; a class may have several."""
    rng = np.random.default_rng(3)
    samples = rng.normal(8.0, 1.0, 24)
    estimate = results.Estimate(
        float(samples.mean()), sem=float(samples.std(ddof=1) / np.sqrt(24)), samples=samples, num_matvecs=24, seed=0,
        method="Hutchinson, 24 probes",
    )  # fmt: skip
    gap = results.Estimate(3.2, bound=0.04, method="λ1 - λ2")
    balls = synthetic.sharpness(rng, TOP, converged=False)
    return {
        **_of_the_spectrum(rng, estimate),
        **_of_vectors(rng),
        **_of_the_surface(rng),
        **_of_stability(rng),
        "Crosscheck": results.Crosscheck(
            ("λ1", "λ2", "trace", "line, value i at i/10", "plane", "density"),
            ("ARPACK", "PyHessian", "PyHessian", "loss-landscapes", "loss-landscapes", "curvlinops"),
            np.array([7.15, 4.8, 28.0, 3.1, 2.1, np.nan]),
            np.array([0.01, 0.01, 12.0, 1e-6, 1e-6, np.nan]),
            np.array([7.15, 4.6, 20.0, 1.7, 2.5, np.nan]),
            np.array([1e-6, 0.1, 12.0, np.nan, np.nan, np.nan]),
            np.array([0.0, 0.2, 8.0, 1.4, 0.4, np.nan]),
            np.array([0.01, 0.11, 24.0, 1e-6, 1e-6, np.nan]),
            ("agrees", "explained", "agrees", "explained", "DISAGREES", "not run"),
            ("", "it stopped early", "", "its start is never evaluated", "no known cause", "not installed"),
            ("PyHessian 0.1", "loss-landscapes 3.0.6"),
            61706,
            1257,
            150,
            0,
            "linearized",
        ),
        "Distances": results.Distances(
            ("features.0.weight", "features.0.bias", "fc1.weight", "fc1.bias"),
            np.array([150, 6, 48000, 120]),
            np.array([1.2, 0.2, 6.1, 0.4]),
            np.array([0.3, 0.0, 2.2, 0.1]),
            np.array([2.1, 0.3, 12.0, 0.0]),
            400,
            0,
            600,
        ),
        "StepHistory": results.StepHistory(
            ("gradient_norm", "loss", "step_size"),
            np.arange(1, 401),
            np.exp(-np.arange(400) / 200) * np.exp(rng.normal(0, 0.3, (3, 400))),
        ),
        "Estimate": estimate,
        "Estimate bound": results.Estimate(7.15, bound=0.02, method="λ_max, bound from its residual"),
        "Estimate alone": results.Estimate(7.15, method="one probe", converged=False),
        "Evaluation": results.Evaluation(0.09, 360, 0.97, np.clip(rng.normal(0.97, 0.02, 10), 0, 1)),
        "Evaluation regression": results.Evaluation(0.09, 360),
        "LearningCoefficient": learning_coefficient(rng),
        "LearningCoefficient lost": replace(
            learning_coefficient(rng),
            error=None,
            rhat=float("nan"),
            effective_size=float("nan"),
            converged=False,
            reason="chain 2 left the finite numbers at step 600",
        ),
        "PointValue of one decade": results.PointValue(0.77, 0.24, 5.8),
        "PointValue": results.PointValue(0.0042, 0.05, 17.3),
        "SamplingSpread": results.SamplingSpread(
            rng.normal(8.4, 0.5, 6), np.full(6, 0.1), 200, 1200, 8.0, 0.05, fresh_probes=True, seed=0
        ),
        "SecondOrderGain": synthetic.gain(4.0),
        "Sharpness worst": balls["sharpness_worst"],
        "Sharpness": balls["sharpness_average"],
        "Sharpness keskar": balls["sharpness_keskar"],
        "Sharpness exact": balls["sharpness_fisher_rao"],
        "Sharpness radius": balls["sharpness_flatness_radius"],
        "Sharpness of logits": replace(balls["sharpness_worst"], measure="adaptive_worst of normalised logits"),
        "Sharpness in no table": replace(balls["sharpness_average"], measure="a measure with a rather long name"),
        "SpectralGap": results.SpectralGap(gap, results.Estimate(1.19, bound=0.003)),
        "StepReport": results.StepReport(0.50, 0.47, 1e-7, 0.9, 0.1, -0.08, 7.0, 9.0, 9.5, 11.0),
    }


def learning_coefficient(rng: np.random.Generator) -> results.LearningCoefficient:
    """Four chains that climb to their level within a hundred steps."""
    rises = 0.08 * (1 - np.exp(-np.arange(600) / 30)) + 0.02 * rng.standard_normal((4, 600))
    strength = 300 / np.log(300)
    return results.LearningCoefficient(
        strength * float(rises[:, 180:].mean()), strength * 0.02 / np.sqrt(1680), rises, 420, 0.01, 300,
        1 / np.log(300), 100.0, 1e-4, 0.9, 300, 1.004, 1680.0, True, "the chains have mixed", 2400.0, 0,
        "Langevin dynamics, all data",
    )  # fmt: skip


def _of_the_spectrum(rng: np.random.Generator, estimate: results.Estimate) -> dict[str, Record]:
    names = (*(f"features.{i}.weight" for i in range(4)), "classifier.weight", "classifier.bias")
    per_probe = rng.normal(1.0, 0.1, (6, 8)) * np.array([6.0, 2.0, 1.0, 0.6, 2.5, 0.3])[:, None]
    means, sems = per_probe.mean(1), per_probe.std(1, ddof=1) / np.sqrt(8)
    largest = np.array([3.1, 1.0, 0.6, 0.4, 2.2, np.nan])
    pairs = synthetic.eigenpairs(rng, TOP, which="both", k=3, converged=False)
    density = synthetic.density(rng, TOP, probes=3, steps=32)
    powers = np.array([[8.0, 90.0, -310.0, 5200.0]]).T * rng.normal(1, 0.05, (4, 8))
    return {
        "Eigenpairs": pairs,
        "SpectralMeasure": density,
        "Spectrum": results.Spectrum(pairs, estimate, estimate, density),
        "BlockTable": results.BlockTable(
            names, np.array([150, 2400, 3000, 900, 850, 10]), means, sems, per_probe, largest, 1e-2 * largest,
            np.array([True, True, False, True, True, True]), float(means.sum()), 0.3, 8, 60, 0, "8 probes",
        ),
        "Diagonal": results.Diagonal(rng.exponential(0.02, 4000) - 0.002, np.full(4000, 4e-3), 16, 16, 0, "probes"),
        "SpectralMoments": results.SpectralMoments(
            (1, 2, 3, 4), powers.mean(1), powers.std(1, ddof=1) / np.sqrt(8), powers, 16, 0, "Hutchinson, 8 probes"
        ),
        "MissedSearch": results.MissedSearch(7.1, 0.01, 5.2, 6.8, 0.999, False, True, "largest", 40, 0),
        "OutlierCount": results.OutlierCount(
            9, results.Estimate(9.6, sem=0.4, samples=rng.normal(9.6, 1, 8)), -0.3, 2.0
        ),
    }  # fmt: skip


def _of_vectors(rng: np.random.Generator) -> dict[str, Record]:
    shares = rng.dirichlet(np.full(15, 0.3), 5)
    basins = results.Basins(
        rng.normal(size=(3, 4)), np.array([0.10, 0.12, 0.31]), np.array([40.0, 9.0, 3.0]), np.array([2.0, 1.5, 0.4]),
        np.array([0, 0, 1, 2, 1, 1, 0, -1]), 1e-3,
    )  # fmt: skip
    names = tuple(f"block.{i}" for i in range(15))
    return {
        "Attribution": results.Attribution(names, shares, np.ones(5), "module"),
        "Basins": basins,
        "Alignment": _alignment(),
        "PrincipalAngles": results.PrincipalAngles(np.radians([4.0, 20.0, 55.0, 89.0]), (4, 6), 61_706),
    }


def _alignment() -> results.Alignment:
    rng = np.random.default_rng(7)
    orders = [rng.permutation(6), np.stack([rng.permutation(4) for _ in range(3)]), rng.permutation(3)]
    return results.Alignment(
        rng.normal(size=12), rng.permutation(12), ("fc1.weight",), 9.1, 4.2, 3e-16,
        ("blocks.0.up", "blocks.0.qkv, in each", "blocks.0.qkv"), np.array([6, 4, 3]), np.array([1, 3, 1]),
        np.array([0.02, -0.05, 0.1]), np.array([0.6, 0.45, 0.4]), ("up.weight[0], down.weight[1]", "qkv.weight[0]",
        "qkv.weight[0]"), np.concatenate([one.ravel() for one in orders]), ("norm.running_mean",), np.array([6]),
        rng.permutation(6), ("gate: its permutations change the outputs",), 40.0, 2.0, "weights",
        "no group can be improved by itself", 3, 24, 4, 0,
    )  # fmt: skip


def _repaired() -> results.Repaired:
    return results.Repaired(
        np.linspace(-1, 1, 12), 0.5, 0.4, 2.1, 0.05, 0.06, ("conv1", "conv2", "fc1"), np.array([0.9, 0.6, 0.3]),
        np.array([1.0, 1.0, 0.97]), ("conv2",), ("head: called 2 times",), "recompute", ("norm.running_mean",),
        np.array([2]), np.array([0.1, 0.2]),
    )  # fmt: skip


def _of_the_surface(rng: np.random.Generator) -> dict[str, Record]:
    t, line = np.linspace(0, 1, 25), synthetic.interpolation(rng, 1.0).loss
    plane = synthetic.plane(TOP, ("random 0", "random 1"))
    wells = topology.persistence(synthetic.wells(), error=8.0)
    turn = np.linspace(0, 2.5, 20)
    spiral = np.stack([0.9 * np.exp(-turn) * np.cos(2 * turn), 0.9 * np.exp(-turn) * np.sin(2 * turn)], axis=1)
    return {
        "Repaired": _repaired(),
        "LineSlice": synthetic.line(rng, TOP, "eigenvector 1"),
        "LineSlice between": synthetic.interpolation(rng, 1.0),
        "LineSlice with metrics": _with_metrics(synthetic.line(rng, TOP, "eigenvector 1")),
        "Connection": results.Connection(
            t, 0.004 + 0.05 * np.sin(np.pi * t) ** 2, line, rng.normal(size=(3, 40)), "bezier", line[[0, -1]],
            0.1 + rng.exponential(0.1, 30), 4.5, 50, "adam at 0.01, batches of 128",
            batch_statistics="recompute", metric_names=("test loss",),
            metric_values=0.09 + 0.08 * np.sin(np.pi * t)[None], metric_losses=("test loss",),
        ),
        "Merged": results.Merged(
            ("sgd-s0", "sgd-s1", "adam-s0", "average", "greedy soup"), np.array([0.010, 0.011, 0.014, 0.9, 0.009]),
            np.concatenate([np.eye(3), [[1 / 3] * 3, [0.5, 0.5, 0]]]), rng.normal(size=(2, 40)),
        ),
        "MinimaMatrix": _matrix(rng, 4, with_test=False),
        "MinimaMatrix large": _matrix(rng, 14, with_test=True),
        "PlaneSlice": plane,
        "PlaneSlice marked": replace(
            plane, directions=("from a to b", "towards c"), param_norm=21.0, radius_words="chosen so that all are seen",
            mark_names=("adam-s0", "sgd-s0", "sgd-s1"), mark_points=np.array([[-0.6, -0.5], [0.6, -0.5], [0.5, -0.4]]),
            mark_outside=np.zeros(3), mark_losses=np.array([0.021, 0.34, 0.0052]), mark_metric_values=np.empty((0, 3)),
        ),
        "PcaPlane": results.PcaPlane(
            np.zeros(30), np.eye(30, 2), np.concatenate([spiral, -spiral]), np.full(40, 0.02), np.array([0.71, 0.22]),
            ("sgd", "adam"), np.array([20, 20]), np.tile([0.6, 0.15], (20, 1)) + 0.01 * rng.standard_normal((20, 2)),
        ),
        "ModelPlane": results.ModelPlane(
            np.zeros(9), np.eye(9, 2), np.array([[-2.0, -1.5], [2.0, -1.5], [0.4, 1.5]]), np.eye(3, 9), ("a", "b", "c")
        ),
        "Persistence": wells,
        "Persistence on logarithms": topology.persistence(synthetic.wells(), scale="log10", error=0.1),
        "Persistence with rings": replace(
            wells, rings=np.array([[178.3, 181.6], [170.0, np.inf]]),
            ring_at=np.array([[[7, 12], [10, 12]], [[7, 12], [0, 0]]]), has_rings=True,
        ),
        "PathSlice": results.PathSlice(
            plane.x, plane.y, plane.loss, ("principal 1", "principal 2"), ("sgd", "adam"), np.array([20, 20]),
            np.concatenate([spiral, -spiral]), np.full(40, 0.02), 0.93, walks=np.full((20, 2), (0.6, 0.15)),
            losses=np.geomspace(2.0, 0.02, 40), plane_losses=np.geomspace(1.5, 0.018, 40),
        ),
    }  # fmt: skip


def _matrix(rng: np.random.Generator, count: int, *, with_test: bool) -> results.MinimaMatrix:
    """Of runs in two basins: within one low barriers, between them high ones."""
    side = np.arange(count) % 2
    same = np.where(side[:, None] == side, 0.2, 1.0)
    noise = rng.uniform(0.8, 1.2, (count, count))
    near = same * (noise + noise.T) / 2 * (1 - np.eye(count))
    unknown = np.full((count, count), np.nan)
    return results.MinimaMatrix(
        tuple(f"{'adam' if s else 'sgd'}-s{i}" for i, s in enumerate(side)), rng.exponential(0.01, count),
        rng.exponential(0.1, count), 2 * near, 0.01 * near, 1.5 * near if with_test else unknown, 20 * near,
        1 - 0.9 * near, 0.04 * near, unknown, unknown, "θ − θ₀", "predicted classes", 0, 25,
    )  # fmt: skip


def _of_stability(rng: np.random.Generator) -> dict[str, Record]:
    names = ("conv.weight", "conv.bias", "fc.weight", "fc.bias")
    sizes = np.array([40, 4, 30, 3])
    vector = rng.normal(size=77) * np.repeat([0.02, 0.1, 0.6, 1.1], sizes)
    parts = np.outer([2.0, 0.3, 1.5, -0.2], [2.0, 0.3, 1.5, -0.2])
    rows = ("lambda_max", "preconditioned_sharpness", "generalized_sharpness", "critical_sharpness", "batch_sharpness")
    return {
        "OptimizerUpdate": results.OptimizerUpdate(
            vector, 0.01 * vector, names, sizes, "AdamW", 1e-3, 2.1, 0.9
        ),
        "DirectionalSharpness": results.DirectionalSharpness(
            float(parts.sum()), 1e-3, names, parts, np.array([0.1, 0.2, 0.6, 0.1]), 0.8, 5
        ),
        "DirectionalSharpness whole": results.DirectionalSharpness(
            12.5, 1e-3, (), np.empty((0, 0)), np.empty(0), 0.8, 1
        ),
        "GeneralizedSharpness": results.GeneralizedSharpness(
            "linf", 2310.0, 2650.0, 0.998, np.array([2310.0, 2250.0, 2308.0, 1990.0]), 41.0, True, 180, 0
        ),
        "Stability": results.Stability(
            rows, np.array([7.2, 36_500.0, 2310.0, 1850.0, 2100.0]), np.array([0.01, 120.0, np.nan, 15.0, 60.0]),
            ("bound", "bound", "lower bound", "bound", "standard error"),
            np.array([np.nan, 38_000.0, 4000.0, 2000.0, np.nan]),
            ("AdamW measures its steps in other units", "(2 + 2β₁)/((1 − β₁)η)", "2‖g‖*/η", "2/η", "known for SGD"),
            np.array([True, True, False, True, True]), ("directional_sharpness",), ("the learning rate is 0",),
            "AdamW", 1e-3, 4000, 0.12, 64, 0,
        ),
    }  # fmt: skip


def _with_metrics(line: results.LineSlice) -> results.LineSlice:
    """Of few evaluations, whose errors are stated."""
    return replace(
        line, error=0.004, num_evaluations=9, metric_names=("test loss",), metric_losses=("test loss",),
        metric_values=1.2 * line.loss[None], metric_error_values=np.array([0.005]),
    )  # fmt: skip
