#!/usr/bin/env python
"""What goes in: 24 kinds of models, losses and data, each measured and held against its dense float64 Hessian.

    python scripts/inputs.py              # all, one after another
    python scripts/inputs.py gcn moe      # these
    python scripts/inputs.py --docs       # and write docs/inputs.md

Each kind is a file of ``tests/kinds``: the user's own code, the lines for landscape, and the loss over all the data
written out once more, of which the dense Hessian is made without landscape.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

import landscape as ls
from landscape.rounding import format_measured, format_value
from landscape.store.outputs import write_whole

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "kinds"
PAGE = ROOT / "docs" / "inputs.md"
KINDS = (
    "mlp", "lenet", "resnet", "vit", "swin", "convnext", "mixer", "unet", "gpt2", "bert", "t5", "mamba", "pinn", "vae",
    "infonce", "gcn", "seq2seq", "heads", "lora", "gru", "batchnorm", "moe", "siren", "table",
)  # fmt: skip
BEGIN, END = "# For landscape\n", "# To check it\n"
STEPS, LEARNING_RATE = 150, 0.01

INTRODUCTION = """# What goes in

Models, losses and data of 24 kinds, as people have them, and the lines that they add for landscape. The import counts
as one of them; lines have 100 characters at most. Then comes the command

```
landscape analyze runs --problem mine.py:problem
```

Each kind is a file of [tests/kinds](../tests/kinds), small enough for its dense Hessian. Two seeds are trained by a
plain loop, saved with `ls.save_checkpoint`, and analyzed by that command with `--plan quick`. What it stored of the
first run's last checkpoint stands beside the Hessian that torch's double backward gives row by row in float64, of the
loss over all the data written out once more. `python scripts/inputs.py --docs` makes this page.

All is measured in float32, as the models are: λ_max and λ_min differ by its rounding, which is measured and part of
their ± (a bound). *Hv in float64* is the relative difference of one product where the objective is asked in float64,
too: what rounding does not explain, but for models that compute in float32 inside. ± of the trace is its 95 % interval;
of most of these small models the Hessian is formed, and rounding is all of it. Status 1: something did not converge, or
not to the 20 % of the plan, and is called so.
"""
EXAMPLES = """## The lines

`make_model`, `batches`, a loss: what is not defined here is the user's own, and stands in the file of that name.
"""


def title_of(kind: str) -> str:
    """The first line of its file."""
    return (FOLDER / f"{kind}.py").read_text().splitlines()[0].strip('".')


def code_of(kind: str) -> str:
    """What a user writes for landscape, as it stands in the file; the import is one line more."""
    return (FOLDER / f"{kind}.py").read_text().split(BEGIN)[1].split(END)[0].strip()


def lines_of(kind: str) -> int:
    """How many lines these are with the import, blank ones and comments left out; of 100 characters at most."""
    lines = [line for line in code_of(kind).splitlines() if line.strip() and not line.strip().startswith("#")]
    assert max(map(len, lines)) <= 100, kind
    return 1 + len(lines)


def loaded(file: Path) -> ModuleType:
    """A user's file as a module."""
    spec = importlib.util.spec_from_file_location(f"kind_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(module: ModuleType, run: Path, seed: int) -> nn.Module:
    """A loop as users have it: Adam on all the data, the learning rate falling, two checkpoints."""
    steps = getattr(module, "STEPS", STEPS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = module.make_model().train()
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=steps)
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            loss = module.whole(model, module.data)
            loss.backward()
            optimizer.step()
            schedule.step()
            if step in (steps // 2, steps):
                ls.save_checkpoint(run, model, step=step, config={"optimizer": "adam", "seed": seed})
    return model


def dense(module: ModuleType, model: nn.Module) -> tuple[float, Tensor]:
    """The loss over all the data and its Hessian, row by row through torch's double backward in float64."""
    twin = copy.deepcopy(model).double().train(module.problem.mode == "train")
    data = pytree.tree_map(_in_double, module.data)
    tensors = [p for p in twin.parameters() if p.requires_grad]
    with sdpa_kernel(SDPBackend.MATH):
        loss = module.whole(twin, data)
        parts = torch.autograd.grad(loss, tensors, create_graph=True, materialize_grads=True)
        gradient = torch.cat([part.reshape(-1) for part in parts])
        rows = [
            torch.cat([part.reshape(-1) for part in torch.autograd.grad(entry, tensors, retain_graph=True)])
            if entry.requires_grad
            else torch.zeros_like(gradient)
            for entry in gradient
        ]
    return float(loss.detach()), torch.stack(rows)


def _in_double(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return leaf.detach().double() if leaf.is_floating_point() else leaf
    return copy.copy(leaf).apply(_in_double) if hasattr(leaf, "apply") else leaf


def measured(kind: str, folder: Path) -> dict[str, Any]:
    """Train a kind, run ``landscape analyze`` as a user does, and hold what it stored against the dense Hessian."""
    file = shutil.copy(FOLDER / f"{kind}.py", folder)
    shutil.copy(FOLDER / "houses.csv", folder)
    module, runs = loaded(Path(file)), folder / "runs"
    models = [train(module, runs / f"adam-s{seed}", seed) for seed in (0, 1)]
    command = [sys.executable, "-m", "landscape", "analyze", "runs", "--problem", f"{kind}.py:problem"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--plan", "quick", "--workers", "1"], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if not (runs / "results.h5").exists():
        raise SystemExit(f"{kind}: analyze ended with status {done.returncode}:\n{done.stdout}\n{done.stderr}")
    lines = [line for line in done.stderr.splitlines() if line.startswith("landscape")]
    said = [line for line in lines if not line.startswith("landscape: expected: ")]
    loss, hessian = dense(module, models[0])
    return {
        "kind": kind, "lines": lines_of(kind), "status": done.returncode, "said": said, "seconds": seconds,
        "in_double": difference_in_double(module, models[0], hessian), **beside(ls.load_results(runs), loss, hessian),
    }  # fmt: skip


def difference_in_double(module: ModuleType, model: nn.Module, hessian: Tensor) -> float:
    """Of one product Hv, relative to it, where landscape computes in float64, too: what rounding does not explain."""
    objective = module.problem.objective(model, dtype=torch.float64)
    v = torch.randn(len(hessian), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    truth = hessian @ v
    return float((ls.HessianOperator(objective) @ v - truth).norm() / truth.norm())


def beside(results: Any, loss: float, hessian: Tensor) -> dict[str, Any]:
    """What was stored of the first run's last checkpoint, and what it should be."""
    eigenvalues = np.linalg.eigvalsh(((hessian + hessian.T) / 2).numpy())
    last = results["adam-s0"][-1]
    eigs, norm = last.eigenpairs, float(abs(eigenvalues).max())
    unsettled = sorted({name for run in results for checkpoint in run for name in checkpoint.not_converged})
    return {
        "P": len(eigenvalues), "norm": norm, "loss": last.point.loss, "true_loss": loss,
        "lambda_max": float(eigs.values[0]), "lambda_max_error": float(eigs.bounds[0]),
        "true_lambda_max": float(eigenvalues[-1]),
        "lambda_min": float(eigs.values[-1]), "lambda_min_error": float(eigs.bounds[-1]),
        "true_lambda_min": float(eigenvalues[0]),
        "trace": last.trace.value, "trace_error": last.trace.reach(), "true_trace": float(eigenvalues.sum()),
        "unsettled": unsettled, "skipped": [f"{e['file']}: {e['reason']}" for e in results.info["skipped"]],
    }  # fmt: skip


def apart(row: dict[str, Any], name: str) -> float:
    """How far λ_max or λ_min lies from the dense one, in units of ‖H‖."""
    return float(abs(row[name] - row[f"true_{name}"]) / row["norm"])


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown, a row for each kind."""
    head = (
        "what goes in", "lines", "P", "λ_max", "dense", "difference ÷ ‖H‖", "λ_min: the same", "trace", "dense",
        "Hv in float64", "status",
    )  # fmt: skip
    cells = [
        (
            f"[{title_of(row['kind']).partition(':')[0]}](#{row['kind']})", row["lines"], f"{row['P']:,}",
            format_measured(row["lambda_max"], row["lambda_max_error"]), format_value(row["true_lambda_max"], digits=8),
            f"{apart(row, 'lambda_max'):.0e}", f"{apart(row, 'lambda_min'):.0e}",
            format_measured(row["trace"], row["trace_error"]), format_value(row["true_trace"]),
            f"{row['in_double']:.0e}", row["status"],
        )
        for row in rows
    ]  # fmt: skip
    rule = ("---", *["--:"] * (len(head) - 1))
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in (head, rule, *cells))


def count_line(rows: list[dict[str, Any]]) -> str:
    """Lines, statuses, and what did not converge.

    >>> count_line([{"kind": "mlp", "lines": 4, "status": 0, "unsettled": []},
    ...             {"kind": "moe", "lines": 2, "status": 1, "unsettled": ["sharpness_worst"]}])
    '2 kinds; lines: median 3, at most 4; status 0 for 1, 1 for moe (not converged: sharpness_worst).'
    """
    lines = [row["lines"] for row in rows]
    said = f"{len(rows)} kinds; lines: median {statistics.median(lines):g}, at most {max(lines)}; "
    others = [
        f"{r['status']} for {r['kind']} (not converged: {', '.join(r['unsettled'])})" for r in rows if r["status"]
    ]
    return said + ", ".join([f"status 0 for {len(rows) - len(others)}", *others]) + "."


def page(rows: list[dict[str, Any]]) -> str:
    """``docs/inputs.md``."""
    examples = [f"### {kind}\n\n{title_of(kind)}\n\n```python\n{code_of(kind)}\n```\n" for kind in KINDS]
    return "\n".join([INTRODUCTION, table(rows), "", count_line(rows), "", EXAMPLES, *examples])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="all, if left out")
    parser.add_argument("--docs", action="store_true", help="write docs/inputs.md, of all kinds")
    parser.add_argument("--out", type=Path, default=ROOT / "checkpoints" / "inputs", help="where rows are kept as JSON")
    chosen = parser.parse_args()
    rows = []
    for kind in KINDS if chosen.docs else chosen.kinds or KINDS:
        kept = chosen.out / f"{kind}.json"
        if not kept.exists():
            with tempfile.TemporaryDirectory() as folder:
                row = measured(kind, Path(folder))
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, json.dumps(row, indent=1))
        rows.append(json.loads(kept.read_text()))
        print(f"{kind}: status {rows[-1]['status']}, {rows[-1]['seconds']:.0f} s", flush=True)
    print(table(rows), count_line(rows), sep="\n\n")
    if chosen.docs:
        write_whole(PAGE, page(rows))


if __name__ == "__main__":
    main()
