"""What several networks predict for the same examples, and how often two of them differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape.device import widened
from landscape.objective import Objective
from landscape.objective.batches import unpack
from landscape.objective.classes import class_axes
from landscape.objective.losses import LossModule, LossOfOutputs, SupervisedLoss

#: Of what a disagreement is, in words.
CLASSES, OUTPUTS = "predicted classes", "outputs, root mean square"


def predictions(objective: Objective, theta: Tensor) -> tuple[str, np.ndarray] | None:
    """The predicted class of each target that counts, or else all outputs; None where the loss hides the outputs.

    Targets below 0, such as padding, do not count. Costs a pass over the data.
    """
    if not objective.module.is_separable:
        return None
    parts, tensors = objective.parts(), objective.layout.split(theta)
    rows, kinds = list[Tensor](), set[str]()
    with parts.borrowed(), torch.no_grad():
        for index in range(len(parts.shares)):
            chunk = parts.chunk(index)
            found = parts.outputs(chunk, tensors)
            classes = _classes(found, _targets(objective.module, unpack(chunk)))
            kinds.add(OUTPUTS if classes is None else CLASSES)
            rows.append(_flat(found) if classes is None else classes)
    return (kinds.pop(), torch.cat(rows).numpy()) if len(kinds) == 1 else None


def disagreements(found: Sequence[tuple[str, np.ndarray] | None]) -> tuple[np.ndarray, str]:
    """(k, k): for classes the share that differs, for outputs the root mean square difference; and which."""
    count = len(found)
    matrix = np.full((count, count), np.nan)
    kinds = {one[0] for one in found if one is not None}
    if len(kinds) != 1 or None in found:
        return matrix, ""
    kind = kinds.pop()
    values = [one[1] for one in found if one is not None]
    for i in range(count):
        for j in range(i, count):
            if kind == CLASSES:
                # A network whose scores are not numbers predicts nothing.
                apart = float(np.mean(values[i] != values[j])) if min(values[i].min(), values[j].min()) >= 0 else np.nan
            else:
                apart = float(np.sqrt(np.mean((values[i] - values[j]) ** 2)))
            matrix[i, j] = matrix[j, i] = apart
    return matrix, kind


def disagreement(a: Objective, b: Objective) -> tuple[float, str]:
    """Of two models on the data of their objectives, and of what; NaN and nothing where no outputs are to be had.

    Costs a pass over the data for each.
    """
    matrix, kind = disagreements([predictions(one, one.theta) for one in (a, b)])
    return float(matrix[0, 1]), kind


def _targets(module: LossModule, batch: Any) -> Any:
    """What a batch's outputs are held against, where the loss says it."""
    if isinstance(module, SupervisedLoss):
        return batch[1] if isinstance(batch, (tuple, list)) and len(batch) == 2 else None
    targets = getattr(module.loss, "targets", None) if isinstance(module, LossOfOutputs) else None
    return targets(batch) if callable(targets) else None


def _classes(outputs: Any, targets: Any) -> Tensor | None:
    """(n,) the class of the largest score of each target that counts; −1 where a score is no number."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor) or targets.is_floating_point():
        return None
    axes = class_axes(outputs.shape, targets.shape)
    if len(axes) != 1:
        return None
    (axis,) = axes
    found = outputs.argmax(axis).masked_fill(outputs.isnan().any(axis), -1)
    return found[targets >= 0].reshape(-1).cpu()


def _flat(outputs: Any) -> Tensor:
    """All numbers of a nest of outputs, float64."""
    leaves = [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]
    return torch.cat([widened(leaf.detach()).reshape(-1).cpu() for leaf in leaves])
