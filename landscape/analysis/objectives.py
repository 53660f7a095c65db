"""The losses that are asked about at a checkpoint: on the training data as the plan takes them, and on test data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from landscape.analysis.plan import Plan
from landscape.checkpoints import Checkpoint
from landscape.objective import Objective
from landscape.problems import Problem


def objective_of(checkpoint: Checkpoint, plan: Plan, *, check: bool, problem: Problem | None = None) -> Objective:
    """The question that is asked at a checkpoint: on all examples, or on as many as the plan draws from them."""
    whole = checkpoint.objective(problem or plan.problem, data_dir=plan.data, check=check, **_options(plan))
    if plan.examples is None or plan.examples >= whole.num_examples:
        return whole
    drawn = np.random.default_rng(plan.seed).choice(whole.num_examples, plan.examples, replace=False)
    return whole.subset(np.sort(drawn))


def on_test_data(checkpoint: Checkpoint, plan: Plan, problem: Problem) -> Objective | None:
    """The same loss on all test data; None where there are none."""
    if problem.test is None:
        return None
    return checkpoint.objective(problem, split="test", data_dir=plan.data, check=False, **_options(plan))


def _options(plan: Plan) -> dict[str, Any]:
    return plan.objective_options() | ({"dtype": getattr(torch, plan.dtype)} if plan.dtype else {})
