"""How a problem is trained when nothing else is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from landscape.checks import check_count


@dataclass(frozen=True)
class Recipe:
    """How to train a problem when nothing else is asked for.

    Attributes
    ----------
    optimizer : str
    batch_size, epochs : int
    full_batch_epochs : int
        Epochs of an optimizer that takes the whole data set as one batch, and so makes one step in each.
    learning_rates : mapping from optimizer name to learning rate
        Those that suit this problem; an optimizer left out takes its general default
        (``landscape.optimizers.LEARNING_RATES``).
    """

    optimizer: str = "sgd"
    batch_size: int = 64
    epochs: int = 30
    full_batch_epochs: int = 300
    learning_rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)
        check_count("epochs", self.epochs)
        check_count("full_batch_epochs", self.full_batch_epochs)
