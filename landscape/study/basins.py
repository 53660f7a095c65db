"""Which minimum each run begins near and which it ends near: what the noise of training decided."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from landscape.checkpoints import CheckpointDir
from landscape.geometry import basins
from landscape.results import Basins
from landscape.rounding import format_value
from landscape.study.design import Study

#: Beyond this a gradient flow for both ends of every run takes too long.
MOST_PARAMETERS = 50


@dataclass(frozen=True)
class Wells:
    """The minimum, by gradient flow, of the beginning and the end of each run.

    Attributes
    ----------
    basins : Basins
        Of all beginnings and ends.
    starts, ends : dict
        Label of the arm → index of the minimum, one for each seed; -1 for none.
    """

    basins: Basins
    starts: dict[str, list[int]]
    ends: dict[str, list[int]]


def wells(study: Study, runs: Path) -> Wells | None:
    """The wells of a study that draws paths; None without those, or where arms differ in the loss or it is large.

    Costs a gradient flow for the two ends of every run.
    """
    if not study.paths or not study.same_problem():
        return None
    objective = study.objective_of(study.arms[0])
    if objective.layout.size > MOST_PARAMETERS:
        return None
    there = [(arm.label, CheckpointDir(folder)) for arm, _, folder in study.runs_in(runs)]
    found = basins(objective, [run[i].theta() for i in (0, -1) for _, run in there])
    starts: dict[str, list[int]] = {}
    ends: dict[str, list[int]] = {}
    for i, (label, _) in enumerate(there):
        starts.setdefault(label, []).append(int(found.index[i]))
        ends.setdefault(label, []).append(int(found.index[len(there) + i]))
    return Wells(found, starts, ends)


def wells_sentences(found: Wells | None) -> list[str]:
    """Where runs end and how many left the basin they began in, by arm; nothing where there is but one minimum."""
    if found is None or len(found.basins) < 2:
        return []
    names = [f"λ₁ = {format_value(value)}" for value in found.basins.lambda_max.tolist()]
    losses = [format_value(value) for value in found.basins.losses.tolist()]
    listed = " and ".join(f"{name} (loss {loss})" for name, loss in zip(names, losses, strict=True))
    sharpest = int(found.basins.lambda_max.argmax())
    begun, ended, left = [], [], []
    for label, ends in found.ends.items():
        starts = found.starts[label]
        begun.append(_share(starts.count(sharpest), len(starts)))
        ended.append(f"{label} {_share(ends.count(sharpest), len(ends))}")
        moved = sum(a != b for a, b in zip(starts, ends, strict=True))
        left.append(f"{label} {_share(moved, len(ends))}")
    beginnings = begun[0] if len(set(begun)) == 1 else ", ".join(begun)
    return [
        f"By gradient flow the runs' beginnings and ends belong to {len(names)} minima, of {listed}. In the basin of "
        f"the sharpest begin {beginnings} and end {', '.join(ended)} (shares with Wilson's 95 % interval).",
        f"The basin they began in is left by {', '.join(left)}.",
    ]


def _share(count: int, total: int) -> str:
    """``7 of 20 [18, 57] %``."""
    ends = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    return f"{count} of {total} [{100 * ends.low:.0f}, {100 * ends.high:.0f}] %"
