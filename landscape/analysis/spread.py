"""Which checkpoints of a run are measured along its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from landscape.analysis.plan import Plan
from landscape.analysis.presets import SPREAD
from landscape.checkpoints import Checkpoint, CheckpointDir, Skipped
from landscape.errors import CheckpointError


def along_run(
    folder: CheckpointDir, end: Checkpoint, plan: Plan, load: Callable[[Path], Checkpoint]
) -> tuple[list[Checkpoint], list[Skipped]]:
    """The checkpoints along a run, first and last among them; for one that cannot be read, the nearest that can."""
    if not plan.along:
        return [], []
    files = {step: file for step, file in zip(folder.steps, folder.files, strict=True) if step < end.step}
    found, unread = {end.step: end}, dict[int, Skipped]()
    for target in targets((*files, end.step), every=plan.every, most=SPREAD[plan.plan]):
        for step in sorted({*files, end.step} - {*unread}, key=lambda step: abs(step - target)):
            if step in found:
                break
            try:
                found[step] = load(files[step])
                break
            except CheckpointError as error:
                unread[step] = Skipped(files[step], str(error))
    return [found[step] for step in sorted(found)], list(unread.values())


def targets(steps: Sequence[int], *, every: int | None, most: int) -> list[float]:
    """Where checkpoints along a training are wanted, the last first: every so many, or ``most`` at steps like squares.

    A training changes most at its beginning. At even steps most of that lies between two of them; at even logarithms
    half of them lie in the first hundredth of the way. Squares are between the two.

    >>> targets(range(0, 700, 100), every=4, most=8)
    [600, 200, 0]
    >>> targets(range(0, 1000, 10), every=None, most=4)
    [990.0, 440.0, 110.0, 0.0]
    """
    steps = sorted(steps)
    if every is not None or len(steps) <= most:
        return list(dict.fromkeys([*steps[:: -(every or 1)], steps[0]]))
    way = steps[-1] - steps[0]
    return [steps[0] + way * (i / (most - 1)) ** 2 for i in reversed(range(most))]
