"""Public model families, built from their configs: accepted, right to the accuracy stated, analyzed to the end."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import landscape as ls
from tests.support.families import FAMILIES, problem

pytest.importorskip("transformers")
COLUMNS = 4
IN_MAKE_TEST = ("Llama", "BERT")  # the others are a campaign
VARIANTS = [(masked, scale) for masked in (False, True) for scale in (1.0, 10.0)]


def families():
    return [pytest.param(f, marks=[] if f in IN_MAKE_TEST else pytest.mark.campaign) for f in FAMILIES]


def exact_products(task, model, V):
    """Double backward of a plain float64 copy: the model's own casts stay. (P, K)."""
    twin = copy.deepcopy(model).double()
    if hasattr(twin.inner, "set_experts_implementation"):
        twin.inner.set_experts_implementation("eager")  # the grouped product has no float64
    tensors = [p for p in twin.parameters() if p.requires_grad]
    x, y = task.train
    with sdpa_kernel(SDPBackend.MATH):
        loss = task.loss_fn(twin(x.double() if x.is_floating_point() else x), y)
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, tensors, create_graph=True)])
        rows = [torch.autograd.grad(gradient @ v, tensors, retain_graph=True) for v in V.T]
    return torch.stack([torch.cat([r.reshape(-1) for r in row]) for row in rows], dim=1)


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize(("masked", "scale"), VARIANTS)
def test_products_agree_with_float64_to_the_accuracy_stated(family, masked, scale):
    task = problem(family, masked, scale)
    model = task.make_model(0)
    objective = task.objective(model)
    V = torch.randn(objective.layout.size, COLUMNS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    truth = exact_products(task, model, V)
    found = (ls.HessianOperator(objective) @ V.float()).double()
    error = float((found - truth).norm() / truth.norm())
    # Ten times the weights make attention so steep that float32 itself leaves T5 three digits.
    limit = (
        5e-3 if family == "T5" and scale > 1 else 200 * objective.resolution if scale > 1 else 16 * objective.resolution
    )
    assert error < limit, (error, objective.resolution)


@pytest.mark.campaign
@pytest.mark.parametrize("family", FAMILIES)
def test_dense_hessians_agree_with_float64(family):
    """All P columns; where a float64 copy casts to float32 by itself, to float32, as the objective says."""
    task = problem(family)
    model = task.make_model(0)
    objective = task.objective(model)
    truth = exact_products(task, model, torch.eye(objective.layout.size, dtype=torch.float64))
    error = float((ls.HessianOperator(objective).dense().double() - truth).norm() / truth.norm())
    assert error < 16 * objective.resolution


#: The loss in the ball bends a thousand times more in places than at its centre; no ascent settles in 94 gradients.
STEEP = {("ConvNeXt", 1.0), ("Mamba2", 10.0), ("T5", 10.0)}


@pytest.mark.campaign
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("masked", "scale"), [(False, 1.0), (True, 10.0)])
def test_analyze_measures_all_and_ends_with_status_0(tmp_path, family, masked, scale):
    settings = {"family": family, "masked": masked, "scale": scale}
    task = problem(**settings)
    ls.save_checkpoint(tmp_path, task.make_model(0), step=0, config={"problem_config": settings})
    factory = tmp_path / "task.py"
    factory.write_text(
        f"from tests.support.families import problem\ndef factory():\n    return problem(**{settings!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "landscape", "analyze", str(tmp_path), "--problem", "task:factory", "--plan", "quick",
         "--max-matvecs", "2000", "--json"],
        capture_output=True, text=True, cwd=tmp_path, env=_environment(),
    )  # fmt: skip
    (row,) = json.loads(done.stdout)
    assert row["lambda_max"] > 0
    unsettled = set(ls.load_results(tmp_path).runs[0].last.not_converged)
    assert done.returncode == bool(unsettled), done.stderr[-2000:]
    ascents = {f"sharpness_{name}" for name in ("worst", "adaptive_worst", "keskar", "normalized_worst")}
    assert unsettled <= (ascents if (family, scale) in STEEP else set())


def _environment():
    import os
    from pathlib import Path

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
