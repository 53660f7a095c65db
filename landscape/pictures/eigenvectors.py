"""The two top eigenvectors at a checkpoint: those that an analysis has stored, or computed now."""

from __future__ import annotations

import time

from landscape.analysis.recording import provenance
from landscape.checkpoints import Checkpoint
from landscape.errors import ResultsError, UsageError
from landscape.estimators import top_eigenpairs
from landscape.objective import Objective
from landscape.operators import HessianOperator
from landscape.pictures.chosen import Run
from landscape.results import Eigenpairs
from landscape.store import ResultStore
from landscape.store.files import FILE_NAME, journal_parts

#: Folders above a run in which the results of a folder of runs may lie.
_ABOVE = 4
#: Relative residual: a picture does not see more of an eigenvector.
_TOL = 0.02
#: Under which they are stored beside the picture.
_NAME = "drawn_eigenpairs"


def top_two(
    run: Run, checkpoint: Checkpoint, objective: Objective, own: ResultStore, *, seed: int
) -> tuple[Eigenpairs, HessianOperator]:
    """Two eigenpairs from the upper end, and the operator whose they are.

    Stored ones count where they are of these parameters, data and loss, and both have converged to 5 %. Computed ones
    are put into the store of the picture: a plane that is broken off must go on as the same plane.

    Raises
    ------
    UsageError
        For a model of one parameter.
    """
    H = HessianOperator(objective, expected_matvecs=60)
    if H.dim < 2:
        raise UsageError("one parameter makes a line, not a plane")
    question = {
        "params": checkpoint.params_sha256, "objective": objective.digest(), "constants": objective.constants_digest(),
    }  # fmt: skip
    key = {**question, "seed": seed, "tol": _TOL}
    found = own.find(run.name, checkpoint.step, _NAME, key) or _stored(run, checkpoint.step, question)
    if isinstance(found, Eigenpairs):
        return found, H
    started = time.perf_counter()
    eigs = top_eigenpairs(H, 2, which="largest", tol=_TOL, max_matvecs=1000, seed=seed, strict=False)
    how = provenance(key, eigs, time.perf_counter() - started, objective, route=H.route)
    own.write(run.name, checkpoint.step, _NAME, eigs, how)
    return eigs, H


def _stored(run: Run, step: int, question: dict[str, str]) -> Eigenpairs | None:
    """Of an analysis of the run, or of a folder that it is in."""
    folder = run.folder.resolve()
    for root in [folder, *folder.parents[:_ABOVE]]:
        if not (root / FILE_NAME).is_file() and not journal_parts(root / FILE_NAME):
            continue
        try:
            store = ResultStore(root, lock=False)
            for name, steps in store.steps().items():
                key = (store.provenance(name, step, "eigenpairs") or {}).get("key") if step in steps else None
                if isinstance(key, dict) and all(key.get(what) == value for what, value in question.items()):
                    record = store.find(name, step, "eigenpairs", key)
                    if isinstance(record, Eigenpairs) and _does(record):
                        return record
        except ResultsError:  # what cannot be read is computed
            continue
    return None


def _does(eigs: Eigenpairs) -> bool:
    places = eigs.top[:2]
    if len(places) < 2 or not eigs.vectors.shape[1]:
        return False
    return bool((eigs.residuals[places] <= 0.05 * abs(eigs.values[places])).all())
