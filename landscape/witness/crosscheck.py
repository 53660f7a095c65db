"""Ask all witnesses about one objective, and gather what they say."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from landscape.checks import check_choice, check_count, check_seed
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.progress import Progress
from landscape.results import Crosscheck
from landscape.results.crosscheck import NOT_RUN, WitnessRow
from landscape.witness import (
    arpack,
    curvlinops,
    dense,
    differences,
    eigenthings,
    loss_landscapes,
    power,
    probes,
    pyhessian,
)
from landscape.witness.ours import Ours, Settings
from landscape.witness.verdicts import not_run, version

if TYPE_CHECKING:
    from landscape.checkpoints import Checkpoint

_MODULES: dict[str, ModuleType] = {
    "float64": dense,
    "differences": differences,
    "probes": probes,
    "arpack": arpack,
    "power": power,
    "pyhessian": pyhessian,
    "loss-landscapes": loss_landscapes,
    "curvlinops": curvlinops,
    "hessian-eigenthings": eigenthings,
}
#: Those whom ``crosscheck`` asks, in the order of the table.
WITNESSES = tuple(_MODULES)


def crosscheck(
    question: Objective | Checkpoint,
    *,
    witnesses: Sequence[str] | None = None,
    k: int = 2,
    num_probes: int = 32,
    density_probes: int = 4,
    num_steps: int = 30,
    points: int = 11,
    plane_points: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> Crosscheck:
    """Measure an objective with our functions, and with other tools, and say where they differ and why.

    Each quantity is held against what both sides state as their error. Where that does not cover the difference, the
    known causes for it are computed, such as that a tool averages batches unweighted: one counts only if it gives the
    very number that the tool gave. What is left disagrees. Tools work on copies; what they must be lent is in the
    table.

    Parameters
    ----------
    question : Objective or Checkpoint
        A checkpoint of a registered problem stands for its training loss.
    witnesses : sequence of str, optional
        Of ``landscape.witness.WITNESSES``; left out, all. Those that are not installed, or do not take such an
        objective, say so in the table.
    k : int
        Eigenvalues from each end.
    num_probes, density_probes, num_steps : int
        Of our trace and our density; at least 2, 2 and 3.
    points, plane_points : int
        Along our line, and along each side of our plane; odd.
    seed : int
    progress : callable, optional
        Called as ``progress(witnesses heard, witnesses)``.

    Returns
    -------
    Crosscheck
        ``table.stands`` is False where something disagrees without a known cause. Of up to 2,000 parameters the dense
        float64 Hessian is among the witnesses.

    Raises
    ------
    UsageError
        For an unknown witness, or numbers outside the ranges above.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(12.0).reshape(6, 2).sin()
    >>> objective = Objective(torch.nn.Linear(2, 1), torch.nn.functional.mse_loss, (x, x.sum(1, keepdim=True)))
    >>> crosscheck(objective, witnesses=["float64", "arpack"]).stands
    True
    """
    chosen = list(WITNESSES) if witnesses is None else list(witnesses)
    for name in chosen:
        check_choice("witnesses", name, WITNESSES)
    settings = Settings(
        check_count("k", k), check_count("num_probes", num_probes, least=2),
        check_count("density_probes", density_probes, least=2), check_count("num_steps", num_steps, least=3),
        check_count("points", points, least=3), check_count("plane_points", plane_points, least=3), check_seed(seed),
    )  # fmt: skip
    objective = question if isinstance(question, Objective) else question.objective()
    if objective.layout.size < 2:
        raise UsageError("there is nothing to compare with one parameter alone; crosscheck needs at least two")
    ours = Ours(objective, settings)
    rows: list[WitnessRow] = []
    for heard, name in enumerate(chosen):
        if progress is not None:
            progress(heard, len(chosen))
        rows += _heard(_MODULES[name], ours)
    return _as_record(rows, ours, chosen)


def _heard(module: ModuleType, ours: Ours) -> list[WitnessRow]:
    """What a witness says; an error of its own ends its list and stands in it."""
    found: list[WitnessRow] = []
    try:
        for row in module.rows(ours):
            found.append(row)
    except Exception as error:
        found.append(not_run(module.NAME, error))
    return found


def _as_record(rows: list[WitnessRow], ours: Ours, chosen: Sequence[str]) -> Crosscheck:
    def column(name: str) -> np.ndarray:
        return np.array([getattr(row, name) for row in rows], dtype=float)

    ran = {row.witness for row in rows if row.verdict != NOT_RUN}
    asked = [_MODULES[name] for name in chosen if _MODULES[name].NAME in ran]
    return Crosscheck(
        quantities=tuple(row.quantity for row in rows),
        witnesses=tuple(row.witness for row in rows),
        ours=column("ours"),
        ours_error=column("ours_error"),
        theirs=column("theirs"),
        theirs_error=column("theirs_error"),
        difference=column("difference"),
        allowed=column("allowed"),
        verdicts=tuple(row.verdict for row in rows),
        causes=tuple(row.cause for row in rows),
        versions=tuple(dict.fromkeys(version(module.DISTRIBUTION) for module in asked)),
        num_parameters=ours.dim,
        num_examples=ours.objective.num_examples,
        num_matvecs=ours.hessian.num_matvecs,
        seed=ours.settings.seed,
        route=ours.route,
    )
