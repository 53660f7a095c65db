"""What a picture is of: the plane, the question, and how it is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from landscape import geometry
from landscape.checkpoints import Checkpoint
from landscape.errors import UsageError
from landscape.geometry.batch_statistics import layers
from landscape.geometry.planes import Direction, direction
from landscape.jobs import Executor
from landscape.objective import Objective
from landscape.pictures.chosen import Asked, Problems, Run
from landscape.pictures.eigenvectors import top_two
from landscape.pictures.measured import Drawn, metric_named
from landscape.progress import Progress
from landscape.results import PathSlice, PlaneSlice
from landscape.store import ResultStore

#: Raised where a picture means something else than before, so that stored ones are evaluated again.
_VERSION = 1
#: Points along a side; where running statistics are recomputed at each of them, which nothing interpolates.
_POINTS, _FEW_POINTS = 51, 25
#: Around paths, so that no picture is a strip.
_MARGIN = 0.35


@dataclass(frozen=True)
class Settings:
    """What every picture of one call has in common."""

    plane: str
    on: str
    metric: str
    radius: float | str
    points: int | None
    tol: float
    seed: int

    @property
    def name(self) -> str:
        """Of a record."""
        return f"drawn_{self.plane}_{self.on}_{self.metric.rpartition(':')[2]}"

    def points_for(self, objective: Objective, *, recomputed: bool) -> int:
        """Along a side, or the longer one."""
        if self.points is not None:
            return self.points
        gathers = recomputed and objective.mode == "eval" and bool(layers(objective.parts().model))
        return _FEW_POINTS if gathers else _POINTS


@dataclass(frozen=True)
class Subject:
    """One picture, not yet evaluated.

    Attributes
    ----------
    run, step, name : str, int, str
        Under which its record is stored.
    title : str
    key : dict
        What must agree for a stored record to be this picture.
    panels : list
        Names of the metrics that are drawn; None is the loss of the record.
    measure : callable
        ``measure(store, executor, progress) -> PlaneSlice | PathSlice``.
    objective : Objective
    """

    run: str
    step: int
    title: str
    key: dict[str, Any]
    panels: list[str | None]
    measure: Callable[[ResultStore, Executor | None, Progress | None], PlaneSlice | PathSlice]
    objective: Objective
    name: str


def subjects(settings: Settings, runs: Sequence[Run], problems: Problems) -> Iterator[Subject]:
    """One after the other, so that one model and its data are in memory at a time."""
    if settings.plane in ("random", "eigen"):
        checked = set[int]()
        for run in runs:
            for checkpoint in reversed(run.checkpoints):
                asked = problems.of(checkpoint)
                objective = asked.unchecked if id(asked.problem) in checked else asked.train
                checked.add(id(asked.problem))
                yield _at_checkpoint(settings, run, checkpoint, asked, objective)
    else:
        yield (_of_paths if settings.plane == "pca" else _of_models)(settings, runs, problems.of_all(runs))


def _at_checkpoint(settings: Settings, run: Run, checkpoint: Checkpoint, asked: Asked, objective: Objective) -> Subject:
    drawn = metric_named(settings.metric, asked.problem, checkpoint.path)
    how = _how(settings, drawn, asked, settings.points_for(objective, recomputed=False))

    def measure(store: ResultStore, executor: Executor | None, progress: Progress | None) -> PlaneSlice:
        kept: dict[str, Any] = {
            "resume": store.unfinished(run.name, checkpoint.step, settings.name), "executor": executor,
        }  # fmt: skip
        if settings.plane == "eigen":
            eigs, H = top_two(run, checkpoint, objective, store, seed=settings.seed)
            both = [direction(objective, "top", eigs=eigs, index=index) for index in (0, 1)]
            return geometry.evaluate_plane(objective, both, hessian=H, progress=progress, **kept, **how)
        return geometry.evaluate_plane(objective, _random(objective, settings.seed), progress=progress, **kept, **how)

    words = "two top eigenvectors" if settings.plane == "eigen" else "two random directions"
    return Subject(
        run.name, checkpoint.step, f"{run.name}, step {checkpoint.step}: {words}",
        _key(settings, drawn, asked, objective, [checkpoint]), drawn.panels(settings.on), measure, objective,
        settings.name,
    )  # fmt: skip


def _random(objective: Objective, seed: int) -> Any:
    """Filter-normalised; where that leaves fewer than two dimensions, as of one weight and a bias, of all of θ."""
    both = [geometry.direction(objective, "random", index=index, seed=seed) for index in (0, 1)]
    columns = np.stack([one.vector.cpu().double().numpy() for one in both], axis=1)
    if np.linalg.matrix_rank(columns) == 2:
        return both
    whole = geometry.random_plane(objective, normalize="model", ignore=None, seed=seed)
    return [Direction(whole[:, index], f"random ({index})") for index in (0, 1)]


def _of_paths(settings: Settings, runs: Sequence[Run], asked: Asked) -> Subject:
    if settings.radius != "auto":
        raise UsageError("a plane of principal components reaches as far as its paths; leave radius='auto'")
    objective, drawn = asked.train, metric_named(settings.metric, asked.problem, asked.checkpoint.path)
    paths = {run.name: run.checkpoints for run in runs}
    metrics: dict[str, Any] = dict(drawn.metrics)
    if settings.on != "train":
        metrics |= {f"test {drawn.name}": asked.test if drawn.function is None else (drawn.function, asked.test)}
    own, *others = drawn.panels("both")
    joined, step = _joined(runs)

    def measure(store: ResultStore, executor: Executor | None, progress: Progress | None) -> PathSlice:
        return geometry.evaluate_paths(
            objective, paths, points=settings.points_for(objective, recomputed=True), margin=_MARGIN, tol=settings.tol,
            metrics=metrics, seed=settings.seed, resume=store.unfinished(joined, step, settings.name),
            executor=executor, progress=progress,
        )  # fmt: skip

    return Subject(
        joined, step, f"{joined}: principal components",
        _key(settings, drawn, asked, objective, [c for run in runs for c in run.checkpoints]),
        {"train": [own], "test": others, "both": [own, *others]}[settings.on], measure, objective,
        settings.name,
    )  # fmt: skip


def _of_models(settings: Settings, runs: Sequence[Run], asked: Asked) -> Subject:
    of_one = len(runs) == 1
    named = {_name(run, c, of_one=of_one): c for run in runs for c in run.checkpoints}
    if len(named) != 3:
        raise UsageError(
            f"a plane goes through three models, and {len(named)} were chosen ({', '.join(named)}): name three runs, "
            "or three steps of one (--step 10 --step 20 --step 30)"
        )
    objective, drawn = asked.train, metric_named(settings.metric, asked.problem, asked.checkpoint.path)
    how = _how(settings, drawn, asked, settings.points_for(objective, recomputed=True))

    joined, step = _joined(runs)

    def measure(store: ResultStore, executor: Executor | None, progress: Progress | None) -> PlaneSlice:
        vectors = [objective.layout.flatten(checkpoint.params()) for checkpoint in named.values()]
        plane = geometry.model_plane(*vectors, names=list(named))
        resume = store.unfinished(joined, step, settings.name)
        return geometry.evaluate_plane(
            objective, plane, marks=named, resume=resume, executor=executor, progress=progress, **how
        )

    return Subject(
        joined, step, f"{joined}: the plane through three models",
        _key(settings, drawn, asked, objective, list(named.values())), drawn.panels(settings.on), measure, objective,
        settings.name,
    )  # fmt: skip


def _name(run: Run, checkpoint: Checkpoint, *, of_one: bool) -> str:
    if of_one:
        return f"step {checkpoint.step}"
    return run.name if len(run.checkpoints) == 1 else f"{run.name} {checkpoint.step}"


def _how(settings: Settings, drawn: Drawn, asked: Asked, points: int) -> dict[str, Any]:
    """Options of a plane."""
    return {
        "radius": settings.radius, "points": points, "tol": settings.tol, "metrics": drawn.metrics, "on": settings.on,
        "test": None if settings.on == "train" else asked.test,
    }  # fmt: skip


def _joined(runs: Sequence[Run]) -> tuple[str, int]:
    return ", ".join(run.name for run in runs), max(run.checkpoints[-1].step for run in runs)


def _key(
    settings: Settings, drawn: Drawn, asked: Asked, objective: Objective, checkpoints: Sequence[Checkpoint]
) -> dict[str, Any]:
    return {
        "fields": asdict(settings) | {"metric": drawn.identity}, "objective": objective.digest(),
        "constants": objective.constants_digest(), "params": [c.params_sha256 for c in checkpoints],
        "test": None if settings.on == "train" else asked.test.digest(), "version": _VERSION,
    }  # fmt: skip
