"""``scripts/inputs.py``, and what must hold of a kind of input that it has measured."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: The libraries that a kind needs besides those of the package.
NEEDS = {"gpt2": "transformers", "bert": "transformers", "t5": "transformers", "mamba": "transformers"}
NEEDS |= {"swin": "transformers", "gcn": "torch_geometric", "lora": "peft"}
#: Whose worst-case ascents may not settle in the steps they have: a loss that jumps where the experts of an example
#: change, and one of normalised embeddings.
MAY_NOT_SETTLE = {"moe": "sharpness", "infonce": "sharpness"}
#: transformers computes their loss, T5's normalisation and Mamba's scan in float32, whatever they are given.
COARSE_INSIDE = {"gpt2": 5e-6, "t5": 5e-6, "mamba": 5e-6}


def load_script():
    """``scripts/inputs.py`` as a module."""
    spec = importlib.util.spec_from_file_location("inputs_script", ROOT / "scripts" / "inputs.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def assert_right(row):
    """λ_max, λ_min and loss as in the dense Hessian, the trace within its error, and nothing but that said."""
    for name in ("lambda_max", "lambda_min"):
        assert abs(row[name] - row[f"true_{name}"]) <= 2 * row[f"{name}_error"] + 1e-7 * row["norm"], (name, row)
    assert row["in_double"] < COARSE_INSIDE.get(row["kind"], 1e-9), row
    assert abs(row["loss"] - row["true_loss"]) <= 1e-5 * abs(row["true_loss"]) + 1e-10, row
    assert abs(row["trace"] - row["true_trace"]) <= 2.5 * row["trace_error"] + 1e-7 * row["norm"], row
    assert row["said"] == []
    assert row["skipped"] == []
    kind = MAY_NOT_SETTLE.get(row["kind"])
    assert all(kind is not None and name.startswith(kind) for name in row["unsettled"]), row
    assert row["status"] == bool(row["unsettled"]), row
