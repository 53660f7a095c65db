"""Which checkpoints are measured: the last ones of each run, those along its training, and those around losses at which
runs are compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from landscape.analysis.costs import Cost
from landscape.analysis.plan import Plan
from landscape.analysis.quantities import quantities
from landscape.analysis.spread import along_run
from landscape.checkpoints import IMPORTED, Checkpoint, CheckpointDir, LossPath, Skipped, find_runs, load_checkpoint
from landscape.crossing import bracket, levels_upwards, lowest_level
from landscape.errors import CheckpointError, LandscapeError
from landscape.store.levels import matched_levels

#: To know the losses along the runs, all their checkpoints are read; where these are larger, nobody waits for that.
MOST_BYTES = 8 << 30


@dataclass(frozen=True)
class RunFiles:
    """A run to be measured.

    Attributes
    ----------
    run : str
        Its name.
    files : tuple of str
        The checkpoints to measure, oldest first.
    compared : tuple of int
        Which of them lie around the lowest level, where trace and sharpness are measured too.
    around : tuple of int
        Steps that are none of the last ones: they are measured because a level lies beside them, or on the way.
    along : tuple of int
        Steps that are measured along the training, the first and the last among them; empty where nobody asked.
    only : tuple of int or None
        Which of the files are measured now; of the last one, where it is not among them, what is stored is taken. None:
        all.
    """

    run: str
    files: tuple[str, ...]
    compared: tuple[int, ...] = ()
    around: tuple[int, ...] = ()
    along: tuple[int, ...] = ()
    only: tuple[int, ...] | None = None

    def is_wanted(self, index: int) -> bool:
        """Whether a file is measured now."""
        return self.only is None or index in self.only

    @property
    def ends(self) -> tuple[str, ...]:
        """Files of the first and the last checkpoint; one where they are the same."""
        return self.files[:1] + self.files[1:][-1:]

    def expected(self, plan: Plan, num_examples: int = 0) -> list[Cost]:
        """What its quantities should cost on so many examples."""
        return replace(self, only=None).wanted(plan, num_examples)

    def wanted(self, plan: Plan, num_examples: int = 0) -> list[Cost]:
        """The same of those that are measured now."""
        return [
            q.cost
            for i in filter(self.is_wanted, range(len(self.files)))
            for q in quantities(
                plan, is_last=i == len(self.files) - 1, is_around=i in self.compared, num_examples=num_examples
            )
        ]


@dataclass(frozen=True)
class Survey:
    """What an analysis is going to measure.

    Attributes
    ----------
    runs : dict
        Each run with its checkpoints, as in ``RunFiles.files``, without their content.
    levels : tuple of float
        Training losses at which runs are compared, lowest first.
    left_out : list of dict
        ``file`` and ``reason`` of files and folders that cannot be read.
    """

    runs: dict[RunFiles, list[Checkpoint]]
    levels: tuple[float, ...]
    left_out: list[dict[str, str]]


def survey(root: Path, plan: Plan, *, load: Callable[[Path], Checkpoint] = load_checkpoint) -> Survey:
    """Look through a folder; of each run its last checkpoints, those along its training where the plan asks for them,
    and those around levels that most runs reach.

    Raises
    ------
    CheckpointError
        If no checkpoint can be read.
    """
    unread: list[Skipped] = []

    def without_content(file: Path) -> Checkpoint:  # of all that are chosen, it may not fit into memory
        return replace(load(file), content=None)

    last: dict[str, list[Checkpoint]] = {}
    along: dict[str, list[Checkpoint]] = {}
    folders: dict[str, CheckpointDir] = {}
    runs = find_runs(root, unreadable=unread)
    for folder, name in zip(runs, run_names(runs, root), strict=True):
        try:
            found = CheckpointDir(folder)
            usable, unusable = found.usable(last=plan.most_last, load=without_content)
        except LandscapeError as error:  # it was there a moment ago
            unread.append(Skipped(folder, str(error)))
            continue
        unread += unusable
        if usable:
            last[name], folders[name] = usable, found
            listed = {bad.file for bad in unread}
            along[name], unusable = along_run(found, usable[-1], plan, without_content)
            unread += [bad for bad in unusable if bad.file not in listed]
    if not last:
        raise CheckpointError(f"no checkpoint in {root} can be read. First reason: {unread[0].reason}")
    paths = _loss_paths(folders, last, plan, without_content, unread)
    levels = _levels(paths, root, plan)
    chosen = dict(
        _chosen(name, checkpoints, along[name], paths.get(name, LossPath([])), levels)
        for name, checkpoints in last.items()
    )
    return Survey(chosen, levels, [{"file": os.path.relpath(bad.file, root), "reason": bad.reason} for bad in unread])


def run_names(runs: list[Path], root: Path) -> list[str]:
    """Runs are named by where they lie below the folder; converted ones by where those files lie."""
    home = root / IMPORTED
    above = home if all(home == run or home in run.parents for run in runs) else root
    whole = root.resolve().name
    return [whole if run.resolve() == above.resolve() else run.relative_to(above).as_posix() for run in runs]


def _loss_paths(
    folders: dict[str, CheckpointDir],
    last: dict[str, list[Checkpoint]],
    plan: Plan,
    load: Callable[[Path], Checkpoint],
    unread: list[Skipped],
) -> dict[str, LossPath]:
    """The saved losses along the runs; none where there is one group, or nobody asked, or they are too large."""
    ends = {name: LossPath(checkpoints) for name, checkpoints in last.items()}
    with_loss = {name: path.group for name, path in ends.items() if path.lowest is not None}
    if not plan.levels or len({*with_loss.values()}) < 2:
        return {}
    if sum(_size(file) for name in with_loss for file in folders[name].files) > MOST_BYTES:
        return {}
    known = {checkpoint.path: checkpoint for checkpoints in last.values() for checkpoint in checkpoints}
    listed, paths = {bad.file for bad in unread}, {}
    for name in with_loss:
        usable, unusable = folders[name].usable(load=lambda file: known.get(file) or load(file))
        unread += [bad for bad in unusable if bad.file not in listed]
        paths[name] = LossPath(usable)
    return paths


def _levels(paths: dict[str, LossPath], root: Path, plan: Plan) -> tuple[float, ...]:
    """Those for which the folder was made, or else as many as the plan asks for."""
    if not paths:
        return ()
    if given := matched_levels(root):
        return given
    groups: dict[str, list[tuple[float, float]]] = {}
    for path in paths.values():
        if (reach := path.reach) is not None:
            groups.setdefault(path.group, []).append(reach)
    lowest = lowest_level(groups) if len(groups) > 1 else None
    return () if lowest is None else levels_upwards(groups, lowest, count=plan.levels)


def _chosen(
    name: str, last: list[Checkpoint], along: list[Checkpoint], path: LossPath, levels: Sequence[float]
) -> tuple[RunFiles, list[Checkpoint]]:
    """The checkpoints of a run: its last ones, those along it and around levels; at the lowest, more is measured."""
    chosen, compared = {checkpoint.step: checkpoint for checkpoint in [*along, *last]}, set[int]()
    for i, level in enumerate(levels):
        if (ends := bracket(path.losses, level)) is not None:
            around = [path.checkpoints[index] for index in (ends.above, ends.below)]
            chosen |= {checkpoint.step: checkpoint for checkpoint in around}
            compared |= {checkpoint.step for checkpoint in around} if i == 0 else set()
    steps = sorted(chosen)
    between = sorted({*steps} - {checkpoint.step for checkpoint in last})
    files = RunFiles(
        name,
        tuple(str(chosen[step].path) for step in steps),
        tuple(i for i, step in enumerate(steps) if step in compared),
        tuple(between),
        tuple(checkpoint.step for checkpoint in along),
    )
    return files, [chosen[step] for step in steps]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # opening it says why
