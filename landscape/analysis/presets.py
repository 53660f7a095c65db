"""The named plans: what each asks for, what is measured by a count there, and how few there can be of anything."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "accuracy": 0.2, "last": 3, "levels": 1, "eigs": 2, "points": 31, "plane_points": 21, "directions": 3,
        "restarts": 1, "subsets": 0, "barriers": 4, "max_matvecs": 300, "planes": "random", "along": False,
    },
    "standard": {
        "accuracy": 0.04, "last": 5, "levels": 1, "eigs": 5, "points": 41, "plane_points": 31, "directions": 5,
        "restarts": 3, "subsets": 4, "barriers": 10, "max_matvecs": 500, "planes": "random,eigen,pca",
        "along": True,
    },
    "thorough": {
        "accuracy": 0.01, "last": 20, "levels": 4, "eigs": 20, "points": 101, "plane_points": 51, "directions": 10,
        "restarts": 5, "subsets": 8, "barriers": 50, "max_matvecs": 3000, "planes": "random,eigen,pca",
        "along": True,
    },
}  # fmt: skip

#: What is measured by a count where nobody sets one, by the accuracy down to which it serves: the probes on parts of
#: the data, and whatever has an estimator that cannot be asked for an accuracy.
COUNTS: dict[float, dict[str, int]] = {
    0.2: {"trace_probes": 8, "density_probes": 2, "steps": 20, "samples": 6},
    0.04: {"trace_probes": 32, "density_probes": 8, "steps": 64, "samples": 16},
    0.01: {"trace_probes": 128, "density_probes": 16, "steps": 100, "samples": 64},
}
#: Checkpoints of a run that are measured along its training, at most, where ``every`` does not say which.
SPREAD = {"quick": 8, "standard": 8, "thorough": 20}
PLANES = ("random", "eigen", "pca")

#: One probe has no standard error, so estimates that print one need two.
LEAST = {
    "every": 1, "levels": 0, "eigs": 2, "trace_probes": 2, "density_probes": 1, "steps": 2, "points": 3,
    "plane_points": 3, "directions": 0, "subsets": 0, "samples": 2, "restarts": 1, "barriers": 0, "max_matvecs": 10,
}  # fmt: skip
