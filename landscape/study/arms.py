"""What a study compares, and how the settings of each are chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from landscape.checks import check_choice, check_positive, check_seed
from landscape.errors import UsageError
from landscape.study.grids import Grids, checked_grids

_LABEL = re.compile(r"[\w.+=-]+")
CRITERIA = ("train_loss", "test_loss", "test_accuracy", "grad_norm")


@dataclass(frozen=True)
class Arm:
    """One way to train; its runs with different seeds are replicates.

    Attributes
    ----------
    label : str
        Letters, digits and ``. _ + = -``: it names folders and groups.
    settings : dict
        What :func:`landscape.training.training_settings` takes, and differs from the study's own. ``problem_config``
        may be among them, for a factor of the problem.
    over : dict
        Grids of its own, setting → values, which a :class:`Tuning` tries one after another: such as
        ``{"options": ({"momentum": 0.9}, {"momentum": 0.95})}``, beside the other options of the arm, or
        ``{"lr": (0.5, 2.0)}``, factors on the learning rate that was best so far.
    """

    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    over: Grids = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.label):
            raise UsageError(f"the label {self.label!r} must be letters, digits and . _ + = - alone; it names a folder")
        object.__setattr__(self, "over", checked_grids(f"arm {self.label}", self.over, rate=True))

    def run(self, seed: int) -> str:
        """The name of its run with this seed, which is that of its folder."""
        return f"{self.label}-s{seed}"


@dataclass(frozen=True)
class Tuning:
    """How learning rates, and what else a study likes, are chosen by trials on seeds that are not evaluated.

    First every arm is trained at every combination of the rates of ``grid`` and the values of ``over``, as many for
    each. Then its own grids (:attr:`Arm.over`) follow, one after another, each at the best so far. What an arm has
    tried already is not tried again. The methods name all grids and the number of trials; where arms differ in that,
    each one's.

    Attributes
    ----------
    grid : tuple of float
        Factors on the arm's own learning rate.
    seeds : tuple of int
    by : {"train_loss", "test_loss", "test_accuracy", "grad_norm"}
        The best mean over the seeds at the last checkpoint wins; a run that diverged loses against all others. By the
        training loss the test data stay unseen; the gradient norm is for games, whose losses say nothing.
    settings : dict
        In what these trainings differ from those that are evaluated: fewer epochs, or fewer examples by a
        ``problem_config``. The methods say so.
    over : dict
        Further grids for every arm, setting → values: such as ``{"batch_size": (16, 32, 64, 128)}``. At equal epochs
        another batch size is another number of steps, and the methods say so.
    """

    grid: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    seeds: tuple[int, ...] = (1000, 1001)
    by: str = "train_loss"
    settings: Mapping[str, Any] = field(default_factory=dict)
    over: Grids = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "over", checked_grids("tuning", self.over))
        if both := set(self.over) & set(self.settings):
            raise UsageError(f"tuning tries {', '.join(sorted(both))}, so settings must leave it alone")
        if not self.grid or not self.seeds:
            raise UsageError(f"tuning needs at least one factor and one seed: grid={self.grid!r}, seeds={self.seeds!r}")
        check_choice("by", self.by, CRITERIA)
        for factor in self.grid:
            check_positive("a factor of grid", factor)
        for seed in self.seeds:
            check_seed(seed)
