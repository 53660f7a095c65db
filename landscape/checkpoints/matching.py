"""Runs at equal training loss: of each, the two checkpoints between which it passes one that most runs reach."""

from __future__ import annotations

import filecmp
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from landscape.checkpoints.files import TEMPORARY, remove_temporaries
from landscape.checkpoints.losses import MEASURE, LossMeter, LossPath
from landscape.checkpoints.runs import CheckpointDir, checkpoint_files, find_runs
from landscape.checks import check_choice, check_count, check_not_negative
from landscape.crossing import WIDE, Bracket, bracket, levels_upwards, lowest_level
from landscape.errors import CheckpointError, UsageError
from landscape.files import placing, reason, replacing
from landscape.problems import Problem


@dataclass(frozen=True)
class Matching:
    """Between which two checkpoints each run passes a training loss.

    Attributes
    ----------
    level : float
        The training loss that was asked for, or the lowest that most runs reach.
    steps, losses : dict
        Run → the step of its first checkpoint with a training loss of at most ``level``, and that loss.
    left_out : dict
        Run → why it cannot be used at that level.
    saved : dict
        Run → why its loss is as training saved it; runs that are not here were measured.
    wrong : dict
        Run → where a loss that training saved was proved wrong; all of that run's were then measured.
    levels : list of float
        ``level`` and those above it, lowest first.
    brackets : dict
        Run → a dict for each level that it passes: ``level``, ``step_above``, ``loss_above``, ``step_below``,
        ``loss_below``.
    """

    level: float
    steps: dict[str, int]
    losses: dict[str, float]
    left_out: dict[str, str]
    saved: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    levels: list[float] = field(default_factory=list)
    brackets: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    @property
    def spread(self) -> float:
        """The highest of the losses over the lowest: 1 is a perfect match of these checkpoints by themselves."""
        low = min(self.losses.values())
        return max(self.losses.values()) / low if low > 0 else math.inf

    @property
    def wide(self) -> dict[str, float]:
        """Run → how many times its upper loss is the lower one, where more than a factor of ``WIDE``."""
        return {run: ratio for run, found in self.brackets.items() if (ratio := _ratio(found[0])) > WIDE}

    def __str__(self) -> str:
        above = [found[0]["loss_above"] for found in self.brackets.values()]
        below = list(self.losses.values())
        return (
            f"{len(self.steps)} runs around the training loss of level {self.level:.3g}, between "
            f"checkpoints at {min(above):.3g} … {max(above):.3g} and {min(below):.3g} … {max(below):.3g}"
        )


def match_losses(
    root: str | Path,
    out: str | Path,
    *,
    level: float | None = None,
    levels: int = 1,
    problem: Problem | str | None = None,
    data_dir: str | Path | None = None,
    problem_config: Mapping[str, Any] | None = None,
    losses: str = "checked",
) -> Matching:
    """Put into ``out``, of each run below ``root``, the two checkpoints between which it passes a training loss.

    Runs that end at different training losses differ in curvature for that reason alone. Analysed, ``out`` holds what
    :func:`landscape.comparison.at_equal_loss` needs to read every run at one loss: its first checkpoint with a loss of
    at most ``level``, and the one before it. The closer they are saved, the less is left to interpolation.

    Parameters
    ----------
    root : path
        A folder of runs whose checkpoints have the metric ``train_loss``, or name a problem.
    out : path
        A folder for the runs, outside ``root``; checkpoints of an earlier matching there are replaced, its results
        stay and are reused where they still hold.
    level : float, optional
        Left out: the lowest that four fifths of the groups (by label, or optimizer) reach, each with four fifths of
        its runs and at least two. Runs that do not reach it, or begin below, are left out and named.
    levels : int
        That many levels, evenly spaced in logarithms from the one above upwards: two checkpoints of each run for each.
    problem, data_dir, problem_config : optional
        As :meth:`Checkpoint.find_problem` takes them, for measuring.
    losses : {"checked", "measured", "saved"}
        ``"checked"`` measures the losses that decide, three or four in a run: the lowest, and those around each level.
        Where a saved one is wrong, or missing, all of that run are measured. ``"measured"`` measures all, ``"saved"``
        none. A loss costs one forward pass over the training data. Where the problem cannot be found, saved ones are
        used and ``saved`` says so.

    Raises
    ------
    UsageError
        If ``out`` lies within ``root``, or ``losses`` is none of the three.
    CheckpointError
        If no run passes the level, none has a training loss, or there is no level that most runs pass.
    """
    check_choice("losses", losses, ("checked", "measured", "saved"))
    level = None if level is None else check_not_negative("level", level, hint="it is a training loss")
    check_count("levels", levels)
    root, out = Path(root), Path(out)
    above, inside = (Path(os.path.realpath(folder)) for folder in (root, out))  # which links in a circle do not stop
    if inside == above or above in inside.parents:
        raise UsageError(f"{out} lies within {root}, whose runs would then be found twice; name a folder beside it")
    meter = LossMeter(problem, data_dir=data_dir, problem_config=problem_config)
    paths, left_out = _paths(root, None if losses == "saved" else meter)
    if losses == "measured":
        for path in paths.values():
            path.measure_all()
    found = _choose(paths, level, levels, root, left_out)
    matching = _matching(paths, found, left_out, "no loss was to be measured" if losses == "saved" else "")
    is_ours = (out / "matching.json").exists()
    try:
        for run, brackets in matching.brackets.items():
            files = {checkpoint.step: checkpoint.path for checkpoint in paths[run].checkpoints}
            _place([files[step] for step in _steps_of(brackets)], out / run)
        if is_ours:
            _withdraw(set(paths) - set(matching.brackets), out)
        with replacing(out / "matching.json", out / f".matching.json.{os.getpid()}{TEMPORARY}") as stream:
            stream.write(json.dumps(asdict(matching), indent=1).encode())
    except OSError as error:
        raise CheckpointError(f"cannot write into {out}: {reason(error)}. {root} is untouched") from error
    return matching


def _matching(
    paths: dict[str, LossPath], levels: tuple[float, ...], left_out: dict[str, str], not_asked: str
) -> Matching:
    """What was chosen, as plain data."""
    brackets: dict[str, list[dict[str, float]]] = {}
    ends: dict[str, Bracket] = {}
    for run, path in paths.items():
        found = [(level, ends_) for level in levels if (ends_ := bracket(path.losses, level)) is not None]
        if found and found[0][0] == levels[0]:
            ends[run] = found[0][1]
            brackets[run] = [_as_dict(level, ends_, path) for level, ends_ in found]
    not_measured = {run for run, b in ends.items() if not all(paths[run].is_measured(i) for i in (b.above, b.below))}
    return Matching(
        levels[0],
        {run: paths[run].checkpoints[b.below].step for run, b in ends.items()},
        {run: b.loss_below for run, b in ends.items()},
        left_out,
        {run: paths[run].unmeasured or not_asked for run in ends if run in not_measured},
        {run: path.wrong for run, path in paths.items() if path.wrong},
        list(levels),
        brackets,
    )


def _choose(
    paths: dict[str, LossPath], level: float | None, count: int, root: Path, left_out: dict[str, str]
) -> tuple[float, ...]:
    """The levels, when every loss that decides has been proved; runs that do not pass the lowest go to ``left_out``.

    Proving one can move the level, and with it what decides; each is measured at most once, so this ends.
    """
    while True:
        reach = {run: found for run, path in paths.items() if (found := path.reach) is not None}
        if not reach:
            left_out |= {run: _no_loss(path) for run, path in paths.items()}
            raise CheckpointError(f"no checkpoint below {root} has the metric {MEASURE!r}; {_first(left_out)}")
        groups: dict[str, list[tuple[float, float]]] = {}
        for run, ends in reach.items():
            groups.setdefault(paths[run].group, []).append(ends)
        lowest = lowest_level(groups) if level is None else level
        levels = () if lowest is None else levels_upwards(groups, lowest, count=count)
        # All are verified, not as many as it takes to find one that is wrong.
        if not sum(paths[run].verify(i) for run, i in _deciding(paths, reach, levels, level)):
            break
    left_out |= {run: _no_loss(path) for run, path in paths.items() if run not in reach}
    if not levels:
        ranges = "; ".join(f"{run}: {low:.3g} to {high:.3g}" for run, (low, high) in list(reach.items())[:4])
        raise CheckpointError(f"no training loss lies between checkpoints of most runs below {root} ({ranges})")
    left_out |= {
        run: f"its lowest loss is {low:.3g}" if low > levels[0] else f"its first loss, {high:.3g}, is lower already"
        for run, (low, high) in reach.items()
        if bracket(paths[run].losses, levels[0]) is None
    }
    if set(left_out) >= set(reach):
        raise CheckpointError(f"no run below {root} reaches a training loss of {levels[0]:g}; {_first(left_out)}")
    return levels


def _deciding(
    paths: dict[str, LossPath],
    reach: dict[str, tuple[float, float]],
    levels: tuple[float, ...],
    asked: float | None,
) -> list[tuple[str, int]]:
    """The losses on which the choice rests: those around each level; the lowest, where it sets or misses the level."""
    found = []
    for run in reach:
        path = paths[run]
        ends = [b for level in levels if (b := bracket(path.losses, level)) is not None]
        found += [(run, i) for b in ends for i in (b.below, b.above)]
        lowest = path.lowest
        if lowest is not None and (asked is None or not ends):
            found.append((run, lowest))
        if not ends:
            found.append((run, path.first))
    return found


def _as_dict(level: float, found: Bracket, path: LossPath) -> dict[str, float]:
    above, below = (path.checkpoints[i].step for i in (found.above, found.below))
    return {
        "level": level, "step_above": above, "loss_above": found.loss_above,
        "step_below": below, "loss_below": found.loss_below,
    }  # fmt: skip


def _steps_of(brackets: list[dict[str, float]]) -> list[int]:
    return sorted({int(found[key]) for found in brackets for key in ("step_above", "step_below")})


def _ratio(found: dict[str, float]) -> float:
    if found["step_above"] == found["step_below"]:
        return 1.0
    return found["loss_above"] / found["loss_below"] if found["loss_below"] > 0 else math.inf


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


def _place(files: list[Path], folder: Path) -> None:
    """These files alone in the folder, as links where the disk allows, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(folder)
    for file in files:
        target = folder / file.name
        if not target.exists() or not filecmp.cmp(file, target, shallow=False):
            placing(file, target, folder / f".{file.name}.{os.getpid()}{TEMPORARY}")
    names = {file.name for file in files}
    for other in checkpoint_files(folder).values():
        if other.name not in names:
            other.unlink()


def _withdraw(runs: set[str], out: Path) -> None:
    """Checkpoints that an earlier matching put there, of runs that are left out now."""
    for run in runs:
        for file in checkpoint_files(out / run).values():
            file.unlink()


def _first(left_out: dict[str, str]) -> str:
    return "; ".join(f"{run}: {why}" for run, why in list(left_out.items())[:1])
