"""What all ways to make an objective take by keyword."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch

from landscape.objective.batches import Weight


class Options(TypedDict, total=False):
    """As :class:`~landscape.objective.objective.Objective` has them."""

    params: str | Sequence[str]
    weight: Weight | None
    interacting: bool
    likelihood: str | None
    mode: str
    chunk: int | str | None
    dtype: torch.dtype | None
    device: torch.device | str | None
    check: bool
