"""Runs at equal training loss: of each, the first checkpoint as low as the highest final loss."""

from __future__ import annotations

import filecmp
import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from landscape.checkpoints.files import TEMPORARY, remove_temporaries
from landscape.checkpoints.losses import MEASURE, LossMeter, LossPath
from landscape.checkpoints.runs import CheckpointDir, checkpoint_files, find_runs
from landscape.checks import check_choice, check_not_negative
from landscape.errors import CheckpointError, UsageError
from landscape.files import placing, reason, replacing
from landscape.problems import Problem


@dataclass(frozen=True)
class Matching:
    """Which checkpoint of each run stands for it.

    Attributes
    ----------
    level : float
        The training loss that was asked for, or the lowest that all runs reach.
    steps, losses : dict
        Run → the step of its checkpoint, and the training loss there, at most ``level``.
    left_out : dict
        Run → why none of its checkpoints can be used.
    saved : dict
        Run → why its loss is as training saved it; runs that are not here were measured.
    wrong : dict
        Run → where a loss that training saved was proved wrong; all of that run's were then measured.
    """

    level: float
    steps: dict[str, int]
    losses: dict[str, float]
    left_out: dict[str, str]
    saved: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def spread(self) -> float:
        """The highest of the losses over the lowest: 1 is a perfect match."""
        low = min(self.losses.values())
        return max(self.losses.values()) / low if low > 0 else math.inf

    def __str__(self) -> str:
        low, high = min(self.losses.values()), max(self.losses.values())
        return f"{len(self.steps)} runs at training loss {low:.3g} … {high:.3g} (level {self.level:.3g})"


def match_losses(
    root: str | Path,
    out: str | Path,
    *,
    level: float | None = None,
    problem: Problem | str | None = None,
    data_dir: str | Path | None = None,
    losses: str = "checked",
) -> Matching:
    """Put into ``out``, for each run below ``root``, its first checkpoint with a training loss of at most ``level``.

    Runs that end at different training losses differ in curvature for that reason alone. Analysed, ``out`` compares
    them at equal loss, as closely as their checkpoints are spaced: save one per epoch or more often.

    Parameters
    ----------
    root : path
        A folder of runs whose checkpoints have the metric ``train_loss``, or name a problem.
    out : path
        A folder for the runs, outside ``root``; checkpoints of an earlier matching there are replaced, its results
        stay and are reused where they still hold.
    level : float, optional
        Left out: the highest of the runs' lowest losses, so that every run has a checkpoint.
    problem, data_dir : optional
        As :meth:`Checkpoint.find_problem` takes them, for measuring.
    losses : {"checked", "measured", "saved"}
        ``"checked"`` measures the losses that decide, three or four in a run: the lowest, the one chosen and the one
        before it. Where a saved one is wrong, or missing, all of that run are measured. ``"measured"`` measures all,
        ``"saved"`` none. A loss costs one forward pass over the training data. Where the problem cannot be found, saved
        ones are used and ``saved`` says so.

    Raises
    ------
    UsageError
        If ``out`` lies within ``root``, or ``losses`` is none of the three.
    CheckpointError
        If no run reaches the level, or none has a training loss.
    """
    check_choice("losses", losses, ("checked", "measured", "saved"))
    level = None if level is None else check_not_negative("level", level, hint="it is a training loss")
    root, out = Path(root), Path(out)
    above, inside = (Path(os.path.realpath(folder)) for folder in (root, out))  # which links in a circle do not stop
    if inside == above or above in inside.parents:
        raise UsageError(f"{out} lies within {root}, whose runs would then be found twice; name a folder beside it")
    paths, left_out = _paths(root, None if losses == "saved" else LossMeter(problem, data_dir=data_dir))
    if losses == "measured":
        for path in paths.values():
            path.measure_all()
    level, chosen = _choose(paths, level, root, left_out)
    not_asked = "no loss was to be measured" if losses == "saved" else ""
    matching = Matching(
        level,
        {run: paths[run].checkpoints[index].step for run, index in chosen.items()},
        {run: paths[run].losses[index] for run, index in chosen.items()},
        left_out,
        {run: paths[run].unmeasured or not_asked for run, index in chosen.items() if not paths[run].is_measured(index)},
        {run: path.wrong for run, path in paths.items() if path.wrong},
    )
    try:
        for run, index in chosen.items():
            _place(paths[run].checkpoints[index].path, out / run)
        with replacing(out / "matching.json", out / f".matching.json.{os.getpid()}{TEMPORARY}") as stream:
            stream.write(json.dumps(asdict(matching), indent=1).encode())
    except OSError as error:
        raise CheckpointError(f"cannot write into {out}: {reason(error)}. {root} is untouched") from error
    return matching


def _choose(
    paths: dict[str, LossPath], level: float | None, root: Path, left_out: dict[str, str]
) -> tuple[float, dict[str, int]]:
    """The level and the index of each run's checkpoint, when every loss that decides has been proved.

    Proving one can move the level, and with it what decides; each is measured at most once, so this ends.
    """
    while True:
        lowest = {run: (i, path.losses[i]) for run, path in paths.items() if (i := path.lowest) is not None}
        if not lowest:
            left_out |= {run: _no_loss(path) for run, path in paths.items()}
            raise CheckpointError(f"no checkpoint below {root} has the metric {MEASURE!r}; {_first(left_out)}")
        reached = max(loss for _, loss in lowest.values()) if level is None else level
        chosen = {run: i for run, path in paths.items() if (i := path.first_below(reached)) is not None}
        # All are verified, not as many as it takes to find one that is wrong.
        news = sum(paths[run].verify(i) for run, i in _deciding(lowest, chosen, level))
        if not news:
            break
    left_out |= {run: _no_loss(path) for run, path in paths.items() if run not in lowest}
    left_out |= {run: f"its lowest loss is {low:.3g}" for run, (_, low) in lowest.items() if run not in chosen}
    if not chosen:
        raise CheckpointError(f"no run below {root} reaches a training loss of {reached:g}; {_first(left_out)}")
    return reached, chosen


def _deciding(
    lowest: dict[str, tuple[int, float]], chosen: dict[str, int], level: float | None
) -> list[tuple[str, int]]:
    """The losses on which the choice rests: the chosen, the one before it, and the lowest where it sets the level."""
    found = [(run, i) for run, (i, _) in lowest.items() if level is None or run not in chosen]
    return [*found, *((run, i) for run, last in chosen.items() for i in (last, last - 1) if i >= 0)]


def _paths(root: Path, meter: LossMeter | None) -> tuple[dict[str, LossPath], dict[str, str]]:
    """Run → its checkpoints with their training losses; and the runs without a checkpoint that can be used."""
    found, left_out = {}, {}
    for folder in find_runs(root):
        run = "." if folder.resolve() == root.resolve() else folder.relative_to(root).as_posix()
        usable, unusable = CheckpointDir(folder).usable()
        if usable:
            found[run] = LossPath(usable, meter)
        else:
            left_out[run] = unusable[0].reason
    return found, left_out


def _no_loss(path: LossPath) -> str:
    why = f", nor can it be measured: {path.unmeasured}" if path.unmeasured else ""
    return f"none of its checkpoints has the metric {MEASURE!r}{why}"


def _place(file: Path, folder: Path) -> None:
    """The file alone in the folder, as a link where the disk allows, and whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(folder)
    target = folder / file.name
    if not target.exists() or not filecmp.cmp(file, target, shallow=False):
        placing(file, target, folder / f".{file.name}.{os.getpid()}{TEMPORARY}")
    for other in checkpoint_files(folder).values():
        if other != target:
            other.unlink()


def _first(left_out: dict[str, str]) -> str:
    return "; ".join(f"{run}: {why}" for run, why in list(left_out.items())[:1])
