"""The crosscheck of a checkpoint on disk: asked what its folder was asked, stored beside what was measured there."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from landscape.analysis.context import CheckpointContext
from landscape.analysis.objectives import objective_of
from landscape.analysis.plan import Plan
from landscape.analysis.recording import provenance, question_at
from landscape.checkpoints import IMPORTED, Checkpoint, CheckpointDir, find_runs, load_checkpoint
from landscape.errors import CheckpointError, ResultsError, UsageError
from landscape.progress import Progress
from landscape.results import Crosscheck
from landscape.store import ResultStore, load_results
from landscape.store.files import FILE_NAME
from landscape.store.records import dump
from landscape.witness.crosscheck import crosscheck

#: Name of the record.
RECORD = "crosscheck"
#: Folders above a run in which the results of a folder of runs may lie.
_ABOVE = 4


@dataclass(frozen=True)
class Checked:
    """The table of a checkpoint.

    Attributes
    ----------
    run : str
        Its name in the results, or that of its folder.
    among : int
        How many runs there are in the folder that was named.
    results : Path or None
        Where it was stored; None where nothing was, for the reason in ``remark``.
    """

    table: Crosscheck
    checkpoint: Checkpoint
    run: str
    among: int
    results: Path | None
    remark: str = ""


def crosscheck_on_disk(
    path: str | Path,
    *,
    problem: str | None = None,
    problem_config: dict[str, Any] | None = None,
    data: str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Checked:
    """Crosscheck a checkpoint file, the last of a run, or the last of the first run of a folder.

    Where the run has been analysed, the objective is that of its last analysis, and the table is stored beside its
    records, if it is of the checkpoint whose numbers are shown.

    Parameters
    ----------
    path : path
        A checkpoint, a run (``step_*.h5``), or a folder of runs.
    problem, problem_config, data : optional
        As of a :class:`~landscape.Plan`.
    settings
        Those of :func:`landscape.crosscheck`.

    Raises
    ------
    CheckpointError
        If there is no checkpoint that can be read.
    """
    checkpoint, folder, among = _chosen(Path(path))
    root, run = _analysed(folder)
    plan, remark = _plan_of(root)
    plan = replace(
        plan, problem=problem or plan.problem, problem_config=problem_config or plan.problem_config,
        data=data or plan.data,
    )  # fmt: skip
    found = checkpoint.find_problem(plan.problem, data_dir=plan.data, problem_config=plan.problem_config)
    objective = objective_of(checkpoint, plan, check=plan.check, problem=found)
    context = CheckpointContext(objective, plan, is_last=True, problem=found)
    started = time.perf_counter()
    table = crosscheck(context.objective, progress=progress, **settings)
    checked = Checked(table, checkpoint, run, among, None, remark)
    if root is None:
        return checked
    key = {"fields": dict(settings), **question_at(checkpoint, context)}
    record = provenance(key, table, time.perf_counter() - started, context.objective, route=table.route or None)
    record["versions"] = list(table.versions)
    return _stored(checked, root, record)


def _chosen(path: Path) -> tuple[Checkpoint, Path, int]:
    """The checkpoint, the folder of its run, and among how many runs it was chosen."""
    if path.is_file():
        return load_checkpoint(path), path.parent, 1
    runs = find_runs(path)
    first: CheckpointError | None = None
    for folder in runs:
        try:
            usable, unusable = CheckpointDir(folder).usable(1)
        except CheckpointError as error:
            first = first or error
            continue
        if usable:
            return usable[0], folder, len(runs)
        first = first or CheckpointError(unusable[0].reason)
    raise first or CheckpointError(f"no checkpoint in {path} can be read")


def _analysed(folder: Path) -> tuple[Path | None, str]:
    """The folder whose results hold this run, and the run's name there."""
    folder = folder.resolve()
    for root in [folder, *folder.parents[:_ABOVE]]:
        if not (root / FILE_NAME).is_file():
            continue
        there = {run.name for run in load_results(root, vectors=False).runs}
        # Runs that were converted in place are named by where their files lie.
        places = [root, root / IMPORTED] if root / IMPORTED in [folder, *folder.parents] else [root]
        for place in places:
            name = root.name if place == folder else folder.relative_to(place).as_posix()
            if name in there:
                return root, name
    return None, folder.name


def _plan_of(root: Path | None) -> tuple[Plan, str]:
    """The plan of the last analysis, for what it asked; that of a new one where there is none or it cannot be read."""
    if root is None:
        return Plan(), "not stored, for the run has not been analysed (landscape analyze)"
    fields = load_results(root, vectors=False).info.get("plan")
    try:
        return Plan(**fields) if isinstance(fields, dict) else Plan(), ""
    except (TypeError, UsageError):
        return Plan(), ""


def _stored(checked: Checked, root: Path, record: dict[str, Any]) -> Checked:
    """Beside the records of this checkpoint, unless these are of another question."""
    step = checked.checkpoint.step
    with ResultStore(root) as store:
        point = (store.provenance(checked.run, step, "point") or {}).get("key")
        if not isinstance(point, dict):
            return replace(checked, remark=f"not stored, for step {step} has not been analysed")
        asked = {name: value for name, value in record["key"].items() if name != "fields"}
        other = [name for name, value in asked.items() if dump(point.get(name)) != dump(value)]
        if other:
            what = ", ".join(other)
            return replace(checked, remark=f"not stored, for what was analysed had another question ({what})")
        try:
            store.write(checked.run, step, RECORD, checked.table, record)
            path = store.consolidate()
        except ResultsError as error:
            return replace(checked, remark=f"not stored: {error}")
    return replace(checked, results=path)
