"""What the mean of a loss runs over in a batch: its examples, or what the caller's ``weight`` counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from landscape.errors import ObjectiveError
from landscape.objective.batches.containers import unpack
from landscape.objective.batches.examples import count_examples

Weight = Callable[[Any], "float | Tensor"]


def weigh(batch: Any, weight: Weight | None) -> float:
    """The weight of a batch as a number; tensors of one entry are numbers, too.

    Raises
    ------
    ObjectiveError
        If ``weight`` gives something else, or no finite number.
    """
    if weight is None:
        return float(count_examples(batch) or 0)
    found: Any = weight(unpack(batch))
    if isinstance(found, (Tensor, np.ndarray)) and math.prod(found.shape) == 1:
        found = found.item()
    try:
        number = float(found)
    except (TypeError, ValueError, RuntimeError):
        shape = getattr(found, "shape", None)
        seen = f"a {type(found).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")
        raise ObjectiveError(
            f"weight(batch) gave {seen}; it must give one number, what the mean of the loss runs over in a batch, such "
            'as (batch["labels"] != -100).sum()'
        ) from None
    if not math.isfinite(number):
        raise ObjectiveError(f"weight(batch) gave {number}; it must count what the mean of the loss runs over")
    return number
