"""Runs at equal training loss: of each, the first checkpoint as low as the highest final loss."""

from __future__ import annotations

import filecmp
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from landscape.checkpoints.files import TEMPORARY, remove_temporaries
from landscape.checkpoints.reader import Checkpoint
from landscape.checkpoints.runs import CheckpointDir, checkpoint_files, find_runs
from landscape.errors import CheckpointError, UsageError
from landscape.files import placing, reason, replacing

MEASURE = "train_loss"


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
    """

    level: float
    steps: dict[str, int]
    losses: dict[str, float]
    left_out: dict[str, str]

    @property
    def spread(self) -> float:
        """The highest of the losses over the lowest: 1 is a perfect match."""
        low = min(self.losses.values())
        return max(self.losses.values()) / low if low > 0 else math.inf

    def __str__(self) -> str:
        low, high = min(self.losses.values()), max(self.losses.values())
        return f"{len(self.steps)} runs at training loss {low:.3g} … {high:.3g} (level {self.level:.3g})"


def match_losses(root: str | Path, out: str | Path, *, level: float | None = None) -> Matching:
    """Put into ``out``, for each run below ``root``, its first checkpoint with a training loss of at most ``level``.

    Runs that end at different training losses differ in curvature for that reason alone. Analysed, ``out`` compares
    them at equal loss, as closely as their checkpoints are spaced: save one per epoch or more often.

    Parameters
    ----------
    root : path
        A folder of runs whose checkpoints have the metric ``train_loss``.
    out : path
        A folder for the runs, outside ``root``; checkpoints of an earlier matching there are replaced, its results
        stay and are reused where they still hold.
    level : float, optional
        Left out: the highest of the runs' lowest losses, so that every run has a checkpoint.

    Raises
    ------
    UsageError
        If ``out`` lies within ``root``.
    CheckpointError
        If no run reaches the level, or none has a training loss.
    """
    root, out = Path(root), Path(out)
    if out.resolve() == root.resolve() or root.resolve() in out.resolve().parents:
        raise UsageError(f"{out} lies within {root}, whose runs would then be found twice; name a folder beside it")
    found, left_out = _losses(root)
    reached = {run: min(loss for loss, _ in path) for run, path in found.items()}
    if not reached:
        raise CheckpointError(f"no checkpoint below {root} has the metric {MEASURE!r}; {_first(left_out)}")
    level = max(reached.values()) if level is None else level
    left_out |= {run: f"its lowest loss is {low:.3g}" for run, low in reached.items() if low > level}
    chosen = {
        run: next((loss, checkpoint) for loss, checkpoint in path if loss <= level)
        for run, path in found.items()
        if run not in left_out
    }
    if not chosen:
        raise CheckpointError(f"no run below {root} reaches a training loss of {level:g}; {_first(left_out)}")
    matching = Matching(
        level,
        {run: checkpoint.step for run, (_, checkpoint) in chosen.items()},
        {run: loss for run, (loss, _) in chosen.items()},
        left_out,
    )
    facts = {"level": level, "steps": matching.steps, "losses": matching.losses, "left_out": left_out}
    try:
        for run, (_, checkpoint) in chosen.items():
            _place(checkpoint.path, out / run)
        with replacing(out / "matching.json", out / f".matching.json.{os.getpid()}{TEMPORARY}") as stream:
            stream.write(json.dumps(facts, indent=1).encode())
    except OSError as error:
        raise CheckpointError(f"cannot write into {out}: {reason(error)}. {root} is untouched") from error
    return matching


def _losses(root: Path) -> tuple[dict[str, list[tuple[float, Checkpoint]]], dict[str, str]]:
    """Run → its checkpoints with their training losses, oldest first; and the runs without one."""
    found, left_out = {}, {}
    for folder in find_runs(root):
        run = "." if folder.resolve() == root.resolve() else folder.relative_to(root).as_posix()
        usable, _ = CheckpointDir(folder).usable()
        path = [(float(loss), c) for c in usable if (loss := c.metrics.get(MEASURE)) is not None and loss == loss]
        if path:
            found[run] = path
        else:
            left_out[run] = f"none of its checkpoints has the metric {MEASURE!r}"
    return found, left_out


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
