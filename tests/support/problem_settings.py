"""Settings of the problems that read no files, with what each must be, and which of them is their seed."""

from __future__ import annotations

PROBLEM_SETTINGS = {
    "quadratic": {"dim": "count", "condition": "positive", "num_examples": "count", "noise": "not negative"},
    "two-well": {"narrow": "positive", "wide": "positive", "separation": "positive", "noise": "not negative",
                 "num_points": "count", "temperature": "positive"},
    "poly-regression": {"num_examples": "count", "noise": "not negative"},
    "noisy-linear": {"sigma": "not negative", "dim": "count", "num_examples": "count"},
    "constrained": {"penalty": "positive", "noise": "not negative", "num_examples": "count", "start": "positive"},
    "half-plane": {"penalty": "positive", "noise": "not negative", "num_examples": "count"},
    "matrix-factorization": {"rows": "count", "columns": "count", "rank": "count", "model_rank": "count",
                             "observed": "share", "noise": "not negative", "scale": "positive",
                             "imbalance": "positive"},
    "deep-linear": {"dim": "count", "depth": "count", "width": "count", "num_examples": "count",
                    "noise": "not negative", "scale": "positive"},
    "logistic-digits": {"l2": "not negative", "test_fraction": "share"},
    "gan": {"width": "count", "modes": "count", "spread": "positive", "penalty": "not negative",
            "num_examples": "count"},
    "mlp-digits": {"num_train": "count", "attack": "not negative"},
    "lazy-digits": {"scale": "positive", "num_train": "count"},
    "transfer-digits": {"hidden": "count", "num_train": "count", "noise": "not negative"},
    "rotated-digits": {"tasks": "count", "num_train": "count"},
    "resnet-digits": {"blocks": "count", "channels": "count"},
    "char-transformer-small": {"characters": "count", "context": "count", "width": "count", "layers": "count",
                               "heads": "count", "test_fraction": "share", "dropout": "not negative"},
}  # fmt: skip
SEEDS = {"logistic-digits": "split_seed", "mlp-digits": None, "lazy-digits": "split_seed",
         "transfer-digits": "split_seed", "rotated-digits": "split_seed", "resnet-digits": "split_seed",
         "char-transformer-small": "corpus_seed"}  # fmt: skip
