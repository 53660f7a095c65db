"""Planes of the loss of runs on disk: evaluated, stored, drawn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from landscape import plots
from landscape.analysis.amounts import accuracy_of
from landscape.analysis.recording import provenance
from landscape.checks import check_choice, check_count, check_positive, check_seed
from landscape.errors import UsageError
from landscape.escaping.filenames import file_words
from landscape.geometry.walk import check_points
from landscape.jobs import Executor, LocalExecutor, opened_executor
from landscape.pictures.chosen import Problems, chosen_runs, common_folder
from landscape.pictures.sentences import caption, sentence
from landscape.pictures.subjects import Settings, Subject, subjects
from landscape.results import PathSlice, PlaneSlice, Record
from landscape.store import ResultStore

PLANES = ("eigen", "random", "pca", "models")
_SPLITS = ("train", "test", "both")
#: Where pictures go, in the innermost folder that all runs are in.
FOLDER = "drawings"


@dataclass(frozen=True)
class Picture:
    """A picture on disk.

    Attributes
    ----------
    title : str
    pdf, png : Path
    results : Path
        ``results.h5`` with the record, under ``run``, ``step`` and ``name``.
    record : PlaneSlice or PathSlice
    sentence : str
        What it is of, how far it goes, how exact it is.
    """

    title: str
    pdf: Path
    png: Path
    results: Path
    run: str
    step: int
    name: str
    record: Record
    sentence: str


def draw(
    runs: str | Path | Sequence[str | Path],
    *,
    plane: str = "random",
    on: str = "train",
    metric: str = "loss",
    radius: float | str = "auto",
    points: int | None = None,
    tol: float | str = 0.01,
    last: int | None = None,
    steps: Sequence[int] = (),
    out: str | Path | None = None,
    seed: int = 0,
    problem: str | None = None,
    problem_config: dict[str, Any] | None = None,
    data: str | Path | None = None,
    workers: int | None = None,
    executor: Executor | str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Picture]:
    """Draw the loss of runs on a plane: PDF, PNG, and the record in ``results.h5``, so that nothing is lost.

    Each picture is stored when it has been evaluated, and one that is stored is not evaluated again. What is evaluated
    of one is kept beside it meanwhile (``resume`` of :func:`evaluate_plane`): killed, the same call goes on where it
    was.

    Parameters
    ----------
    runs : path or sequence of paths
        Runs (``step_*.h5``) or folders of runs.
    plane : {"random", "eigen", "pca", "models"}
        - ``"random"``: two random filter-normalised directions at the last checkpoint of each run.
        - ``"eigen"``: its two top eigenvectors, those of ``results.h5`` where an analysis stored them.
        - ``"pca"``: the two principal components of all checkpoints of all runs, with the paths on them.
        - ``"models"``: through the last checkpoints of three runs, or three ``steps`` of one.
    on : {"train", "test", "both"}
        Of which data; both side by side, from the same points.
    metric : {"loss", "accuracy", "gradient_norm"} or "pkg.mod:FUNCTION"
        What is drawn. The loss is always in the record.
    radius : float or "auto"
        As :func:`evaluate_plane` takes it.
    points : int, optional
        Along each side, odd; left out 51, or 25 where running statistics are recomputed at each point.
    tol : float or str
        Largest error of what lies between the evaluations, of the range of the loss: 0.01 or ``"1%"``.
    last : int, optional
        That many checkpoints from the end of each run; left out 1, for ``"pca"`` all.
    steps : sequence of int
        These checkpoints in place of the last ones.
    out : path, optional
        Folder for figures and ``results.h5``; left out, ``drawings`` in the innermost folder that all runs are in.
    seed : int
    problem, problem_config, data : optional
        As of a :class:`Plan`.
    workers : int, optional
        Processes of this machine among which the points of each picture are divided; left out, all are evaluated here.
        Each has as many threads as torch has here, so that the picture is the same: ``OMP_NUM_THREADS=1`` leaves a core
        to each.
    executor : str or executor, optional
        The same through any executor, as of :func:`evaluate_plane`; then ``workers`` is left out.
    progress : callable, optional
        Called as ``progress(title, done, most)``.

    Returns
    -------
    list of Picture

    Raises
    ------
    UsageError
        For a choice that is none, runs that do not go on one plane, a step that is not there.
    CheckpointError
        If there is no checkpoint that can be read.
    """
    settings = _settings(plane, on, metric, radius, points, tol, seed)
    last = last if last is None else check_count("last", last)
    paths = [runs] if isinstance(runs, (str, os.PathLike)) else list(runs)
    if not paths:
        raise UsageError("no run was named; give a folder with step_*.h5, or several")
    chosen = chosen_runs(paths, plane, last=last, steps=steps)
    folder = common_folder(chosen) / FOLDER if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    with ResultStore(folder) as store, _spread(workers, executor) as spread:
        for subject in subjects(settings, chosen, Problems(problem, problem_config, data)):
            name, record = _evaluated(store, subject, spread, progress)
            pdf, png = _drawn(folder, name, subject, record)
            pictures.append(
                Picture(subject.title, pdf, png, store.path, subject.run, subject.step, name, record, sentence(record))
            )
        store.consolidate()
    return pictures


@contextmanager
def _spread(workers: int | None, executor: Executor | str | None) -> Iterator[Executor | None]:
    """Who evaluates the points; None where that is done here."""
    if workers is not None and executor not in (None, "local"):
        raise UsageError("workers= and executor= both say where points are evaluated; give one of the two")
    if workers is None or check_count("workers", workers) == 1:
        with opened_executor(executor) as opened:
            yield opened
        return
    with LocalExecutor(workers, threads=torch.get_num_threads()) as local:
        yield local


def _settings(
    plane: str, on: str, metric: str, radius: float | str, points: int | None, tol: float | str, seed: int
) -> Settings:
    check_choice("plane", plane, PLANES)
    check_choice("on", on, _SPLITS)
    if radius != "auto":
        radius = check_positive("radius", radius, hint="how far to go, or 'auto'")
    points = points if points is None else check_points(points)
    return Settings(plane, on, metric, radius, points, accuracy_of(tol, "tol"), check_seed(seed))


def _evaluated(
    store: ResultStore, subject: Subject, executor: Executor | None, progress: Callable[[str, int, int], None] | None
) -> tuple[str, PlaneSlice | PathSlice]:
    """The record and its name: the stored one, or evaluated and stored now."""
    name = subject.name
    found = store.find(subject.run, subject.step, name, subject.key)
    if isinstance(found, (PlaneSlice, PathSlice)):
        return name, found
    started = time.perf_counter()
    told = None if progress is None else lambda done, most: progress(subject.title, done, most)
    record = subject.measure(store, executor, told)
    taken = time.perf_counter() - started
    how = provenance(subject.key, record, taken, subject.objective, route=None)
    store.write(subject.run, subject.step, name, record, how)
    return name, record


def _drawn(folder: Path, name: str, subject: Subject, record: PlaneSlice | PathSlice) -> tuple[Path, Path]:
    word = f"{name.removeprefix('drawn_')}_{subject.run}_{subject.step}"
    with plots.house_style():
        make = plots.paths_figure if isinstance(record, PathSlice) else plots.plane_figure
        figure = make(record, subject.panels, title=subject.title, caption=caption(record))  # type: ignore[arg-type]
        return plots.save(figure, folder, file_words([word])[word])
