"""What a study may look at besides the analysis of its ends: curvature by blocks, what is forgotten, what is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landscape.checks import check_choice, check_count, check_not_negative, check_seed
from landscape.errors import UsageError


@dataclass(frozen=True)
class Blocks:
    """The Hessian's diagonal blocks along the training, by :func:`landscape.block_table`.

    Attributes
    ----------
    groups : "module", "tensor" or mapping
        How the parameters are cut: name of a block → globs of its parameters, which together hold each once.
    looks : int
        Checkpoints of each run, first and last among them, at steps that are spread like squares.
    probes : int
        Products with the whole Hessian at each, which serve the traces of all blocks.
    lambda_max : bool
        The largest eigenvalue of each block too, which costs more than all else.
    examples : int or None
        Drawn for it; None: as many as the plan of the study.
    """

    groups: str | Mapping[str, str | Sequence[str]] = "module"
    looks: int = 6
    probes: int = 8
    lambda_max: bool = False
    examples: int | None = None

    def __post_init__(self) -> None:
        check_count("looks", self.looks, least=2)
        check_count("probes", self.probes, least=2)
        if self.examples is not None:
            check_count("examples", self.examples)
        if isinstance(self.groups, str):
            check_choice("groups", self.groups, ("module", "tensor"))
            return
        globs = {
            name: [patterns] if isinstance(patterns, str) else list(patterns)
            for name, patterns in self.groups.items()
        }  # fmt: skip
        object.__setattr__(self, "groups", globs)


@dataclass(frozen=True)
class Forgetting:
    """Of trainings in blocks (``order="blocks"``): what is lost of the first while the others are learned.

    Attributes
    ----------
    eigs : int
        Dimension of the top eigenspaces of the first and of the second block's Hessian that are compared where the
        first ends.
    """

    eigs: int = 5

    def __post_init__(self) -> None:
        check_count("eigs", self.eigs)


@dataclass(frozen=True)
class Writing:
    """What character models are let write where their training ended.

    Attributes
    ----------
    prompt : str
        What each goes on from; left out, the first 32 characters of the test text, beside which the paper shows how
        that goes on.
    length : int
        Characters that are written.
    temperature : float
        Divides the logits; 0 takes the likeliest character.
    seed : int
        Of the draws, the same for every run.
    """

    prompt: str = ""
    length: int = 200
    temperature: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("length", self.length)
        check_not_negative("temperature", self.temperature)
        check_seed(self.seed)


def extra_from(kind: type[Any], found: Mapping[str, Any] | None) -> Any:
    """One of these from JSON; None for nothing.

    Raises
    ------
    UsageError
        If it has a field that there is not.
    """
    if found is None:
        return None
    try:
        return kind(**found)
    except TypeError as error:
        raise UsageError(f"{kind.__name__}: {error}") from error
