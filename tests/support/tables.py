"""Results made for tables, and what is printed and written of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rich.console import Console

from landscape.store import Results, ResultStore, load_results
from landscape.tables import text_table
from tests.support.synthetic_results import provenance, run_info


def one_run(folder: Path, records: dict, *, metrics: dict | None = None, run: str = "adam-s0") -> Results:
    with ResultStore(folder) as store:
        store.describe_run(run, run_info("adam", 0))
        store.describe_checkpoint(run, 7, metrics or {})
        for name, record in records.items():
            store.write(run, 7, name, record, provenance(name, record))
    return load_results(folder)


# As the design promises them to whoever reads --json.
PROMISED = [
    "run", "optimizer", "seed", "step", "train_loss", "test_loss", "test_accuracy", "grad_norm", "lambda_max",
    "lambda_max_residual", "lambda_min", "spectral_gap", "spectral_ratio", "trace", "trace_sem", "sharpness_worst",
    "sharpness_average", "sharpness_adaptive_worst", "sharpness_adaptive_average", "converged", "seconds", "matvecs",
    "second_order_gain", "sharpness_normalized_worst", "sharpness_normalized_average", "sharpness_keskar",
    "sharpness_relative_flatness", "sharpness_relative_flatness_sem", "sharpness_fisher_rao",
    "sharpness_flatness_radius", "sharpness_flatness_radius_sem", "sharpness_flatness_radius_magnitude",
    "sharpness_flatness_radius_magnitude_sem",
    "train_accuracy", "stability_ratio", "critical_sharpness", "batch_sharpness", "directional_sharpness",
    "noise_scale", "noise_scale_sem", "gradient_share", "update_share", "distance_from_start", "distance_from_end",
    "num_examples", "of_examples", "num_test_examples", "train_loss_source", "test_loss_source",
    "test_accuracy_source", "train_accuracy_source", "warning",
]  # fmt: skip


def printed(results: Results, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(text_table(results))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))
