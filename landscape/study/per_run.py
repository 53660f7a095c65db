"""What a study measures of each run besides its analysis: a file for each, kept where nothing has changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from landscape.jobs import Executor, Job, Outcome
from landscape.store.outputs import write_whole
from landscape.study.design import Study
from landscape.study.trainings import do_all


def measure_runs(
    study: Study,
    out: Path,
    target: str,
    what: str,
    *,
    workers: int,
    executor: Executor | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """A job for every run that is there, whose file is ``out/NAME/RUN.json``.

    Parameters
    ----------
    target : str
        ``"module:function"``, called as ``function(study as JSON, data, number of the arm, run, file)``.
    what : str
        Two or three words, such as ``"curvature by blocks"``.
    """
    folder, data = Path(os.path.abspath(out)), study.data and os.path.abspath(study.data)
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        Job(
            run.name,
            target,
            (study.to_json(), data, study.arms.index(arm), os.path.abspath(run), str(folder / f"{run.name}.json")),
            threads=1,
        )
        for arm, _, run in study.runs_in(out.parent / "runs")
    ]

    def finished(outcome: Outcome) -> None:
        if say is not None:
            say(f"  {outcome.name}: {what if outcome.failure is None else outcome.failure.reason}")

    do_all(jobs, doing=f"measuring {what} of", workers=workers, executor=executor, finished=finished)


def kept_or_measured(file: str, asked: Mapping[str, Any], measure: Callable[[], Any]) -> str:
    """The file, whose ``rows`` are those of the same question or measured now."""
    path, plain = Path(file), json.loads(json.dumps(asked))
    if path.exists() and json.loads(path.read_text())["asked"] == plain:
        return file
    return str(write_whole(path, json.dumps({"asked": plain, "rows": measure()})))


def rows_of(file: Path) -> Any:
    """What was measured; None where there is no file."""
    return json.loads(file.read_text())["rows"] if file.exists() else None
