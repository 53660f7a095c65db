"""Minima compared in pairs: of objectives, or at the ends of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from landscape.analysis.survey import run_names
from landscape.checkpoints import Checkpoint, CheckpointDir, find_runs
from landscape.checks import check_count, check_seed
from landscape.errors import UsageError
from landscape.estimators import principal_angles, top_eigenpairs
from landscape.geometry.alignment import align, permuted_copy
from landscape.geometry.connecting.matrix import WHAT, Aligner, compare_minima
from landscape.objective import Objective, Vector
from landscape.operators import HessianOperator
from landscape.problems import Problem
from landscape.progress import Progress
from landscape.results import Eigenpairs, MinimaMatrix

Run = Objective | CheckpointDir | Checkpoint | str | Path


def minima_matrix(
    minima: Mapping[str, Run] | Sequence[Run] | str | Path,
    *,
    what: Sequence[str] = WHAT,
    test: Objective | None = None,
    starts: Sequence[Vector] | None = None,
    eigs: int | Sequence[Eigenpairs] | None = None,
    aligned: Aligner | bool = False,
    points: int = 25,
    batch_statistics: str | None = None,
    problem: Problem | str | None = None,
    data_dir: str | Path | None = None,
    problem_config: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> MinimaMatrix:
    """Every pair of several minima: barrier, distance, cosine, disagreement, overlap of top eigenspaces.

    Parameters
    ----------
    minima : objectives or runs
        A folder of runs; or a sequence, or mapping from name, of objectives, each of a model of its own, of
        ``CheckpointDir`` or folders, of which the last checkpoint counts, or of checkpoints. All of one architecture,
        loss and data.
    what : sequence of {"barrier", "distance", "cosine", "disagreement", "overlap"}
        What is measured. The barrier is that of :func:`interpolate`; the disagreement that of predicted classes, or of
        outputs that are no scores of classes.
    test : Objective, optional
        The same model and loss on test data: barrier and disagreement are measured there, too. Left out, runs take the
        test data of their problem, where it has any.
    starts : k vectors (P,), optional
        θ₀ of each minimum: then cosines are of ``θ − θ₀``, else of θ. Left out, runs take their checkpoint of step 0,
        where each has one.
    eigs : int, or Eigenpairs of each minimum, optional
        For overlaps: how many of the largest eigenpairs to compute at each, or those that are known. Left out, there
        are no overlaps.
    aligned : bool or callable
        Whether the neurons of each pair's second minimum are brought into the order of the first's, by weights
        (:func:`align`); for barrier, distance and cosine. A function ``aligned(objective_a, objective_b)`` gives θ (P,)
        or an objective of its own.
    points, batch_statistics
        Of the lines, as for :func:`interpolate`.
    problem, data_dir, problem_config
        Of the runs, as for :meth:`Checkpoint.objective`.
    seed : int
        Of the eigenpairs.
    progress : callable, optional
        Called as ``progress(done, pairs)`` after each pair.

    Returns
    -------
    MinimaMatrix
        One symmetric (k, k) array for each quantity. Barriers are lower bounds, with an estimate of what the points may
        have missed; all else is exact.

    Raises
    ------
    UsageError
        For fewer than two minima, or those that are no answers to one question, with their names.
    CheckpointError
        If a run cannot be read.

    Notes
    -----
    Costs ``points`` losses for each of the k(k − 1)/2 pairs, as many on test data, and the matvecs of k searches for
    eigenpairs. All models are in memory at once.

    References
    ----------
    Frankle et al. (2020), Linear mode connectivity and the lottery ticket hypothesis, ICML. Fort, Hu & Lakshminarayanan
    (2019), Deep ensembles: a loss landscape perspective, arXiv:1912.02757, for cosine and disagreement.
    Gur-Ari, Roberts & Dyer (2018), arXiv:1812.04754, for the overlap.

    Examples
    --------
    >>> import torch
    >>> data, mse = (torch.ones(4, 1), torch.ones(4, 1)), torch.nn.functional.mse_loss
    >>> a, b = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    >>> a.weight.data, b.weight.data = torch.zeros(1, 1), torch.full((1, 1), 2.0)
    >>> found = minima_matrix({"a": Objective(a, mse, data), "b": Objective(b, mse, data)})
    >>> found.distance.tolist(), found.measured
    ([[0.0, 2.0], [2.0, 0.0]], ('barrier', 'distance', 'disagreement'))
    """
    seed = check_seed(seed)
    if not (eigs is None or (isinstance(eigs, Sequence) and not isinstance(eigs, str))):
        eigs = check_count("eigs", eigs, hint="or Eigenpairs of each minimum")
    source = _Opened(problem, data_dir, problem_config)
    objectives = {name: source.objective(one) for name, one in _named(minima).items()}
    if starts is None and len(source.starts) == len(objectives):
        starts = source.starts
    found = compare_minima(
        objectives, what=what, test=source.test if test is None else test, starts=starts,
        aligned=_by_weights if aligned is True else aligned,
        points=points, batch_statistics=batch_statistics, progress=progress,
    )  # fmt: skip
    if eigs is None or "overlap" not in ([what] if isinstance(what, str) else what):
        return found
    pairs = _eigenpairs(list(objectives.values()), eigs, seed)
    return replace(found, overlap=_overlaps(pairs), overlap_dim=min(one.vectors.shape[1] for one in pairs))


def _by_weights(a: Objective, b: Objective) -> Objective:
    return permuted_copy(b, align(a, a, b))


@dataclass
class _Opened:
    """Objectives of runs; each problem is built once.

    Attributes
    ----------
    test : Objective or None
        On the test data of the first problem that has any.
    starts : list of (P,) tensors
        θ at step 0, of the runs that have it.
    """

    problem: Problem | str | None
    data_dir: str | Path | None
    problem_config: Mapping[str, Any] | None
    test: Objective | None = None
    starts: list[Tensor] = field(default_factory=list)
    _problems: dict[str, Problem] = field(default_factory=dict)
    _is_checked: bool = False

    def objective(self, given: Run) -> Objective:
        if isinstance(given, Objective):
            return given
        run = given if isinstance(given, (Checkpoint, CheckpointDir)) else CheckpointDir(given)
        checkpoint = run if isinstance(run, Checkpoint) else run[-1]
        problem = self._problem_of(checkpoint)
        model = checkpoint.model(problem)
        if self.test is None and problem.test is not None:
            self.test = problem.objective(model, split="test", check=False)
        if isinstance(run, CheckpointDir) and run.steps[0] == 0:
            self.starts.append(run[0].theta())
        # What is wrong with loss or data is wrong for all.
        check, self._is_checked = not self._is_checked, True
        return problem.objective(model, check=check)

    def _problem_of(self, checkpoint: Checkpoint) -> Problem:
        if isinstance(self.problem, Problem):
            return self.problem
        key = checkpoint.problem_key(self.problem, self.data_dir, self.problem_config)
        if key not in self._problems:
            self._problems[key] = checkpoint.find_problem(
                self.problem, data_dir=self.data_dir, problem_config=self.problem_config
            )
        return self._problems[key]


def _named(minima: Mapping[str, Run] | Sequence[Run] | str | Path) -> dict[str, Run]:
    """By name: as given, by where runs lie below a folder, or by their folders."""
    if isinstance(minima, Mapping):
        return {str(name): one for name, one in minima.items()}
    if isinstance(minima, (str, Path)):
        root = Path(minima)
        runs = find_runs(root)
        return dict(zip(run_names(runs, root), runs, strict=True))
    given = list(minima)
    for names in ([_short(i, one) for i, one in enumerate(given)], [_long(i, one) for i, one in enumerate(given)]):
        if len(set(names)) == len(names):
            return dict(zip(names, given, strict=True))
    raise UsageError("two of the minima are the same run; give them names by a mapping")


def _short(index: int, one: Run) -> str:
    if isinstance(one, Objective):
        return str(index)
    if isinstance(one, Checkpoint):
        return f"{one.path.parent.name} step {one.step}"
    return (one.path if isinstance(one, CheckpointDir) else Path(one)).resolve().name


def _long(index: int, one: Run) -> str:
    return str(index) if isinstance(one, Objective) else str(getattr(one, "path", one))


def _eigenpairs(objectives: Sequence[Objective], eigs: int | Sequence[Eigenpairs], seed: int) -> Sequence[Eigenpairs]:
    if not isinstance(eigs, int):
        if len(eigs) != len(objectives) or any(not isinstance(one, Eigenpairs) for one in eigs):
            raise UsageError(f"eigs must be a number, or Eigenpairs of each of the {len(objectives)} minima")
        return eigs
    return [top_eigenpairs(HessianOperator(one), eigs, seed=seed) for one in objectives]


def _overlaps(pairs: Sequence[Eigenpairs]) -> np.ndarray:
    matrix = np.eye(len(pairs))
    for i, a in enumerate(pairs):
        for j, b in enumerate(pairs[:i]):
            matrix[i, j] = matrix[j, i] = principal_angles(a, b).overlap
    return matrix
