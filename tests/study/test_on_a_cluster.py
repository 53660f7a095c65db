"""A study on two Dask workers: the tables of the one on this machine, byte for byte."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from landscape.checkpoints import CheckpointDir
from landscape.comparison import cells, compare
from landscape.store import load_results, rows
from landscape.study import Arm, Study, Tuning, run_study
from landscape.tables import text_table
from tests.support.clusters import dask_cluster

TINY = {
    "plan": "quick", "last": 1, "levels": 0, "planes": "", "eigs": 2, "trace_probes": 4, "density_probes": 2,
    "steps": 8, "points": 5, "plane_points": 5, "directions": 1, "samples": 2, "restarts": 1, "barriers": 0,
    "threads": 1, "route": "fresh",
}  # fmt: skip


def study(seeds):
    return Study(
        name="cluster", question="Does it depend on who trains?", problem="mlp-digits",
        problem_config={"hidden": [5], "num_train": 60}, seeds=tuple(range(seeds)),
        arms=(Arm("sgd"), Arm("adam", {"optimizer": "adam", "lr": 0.01})), tuning=Tuning((0.3, 1.0), (100,)),
        settings={"epochs": 3, "batch_size": 20, "save_every": 3}, plan=TINY,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Drawing takes longer than all the rest, and test_report looks at that."""
    monkeypatch.setattr("landscape.analysis.pipeline.write_report", lambda results: None)
    monkeypatch.setattr("landscape.study.run.write_paper", tables_alone)


def tables_alone(material, folder):
    """The tables as they are printed, and of each run all digits."""
    results = load_results(material.results)
    console = Console(file=io.StringIO(), width=80)
    console.print(text_table(results))
    headings, body = cells(compare(results))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.txt").write_text(console.file.getvalue())
    (folder / "groups.txt").write_text("\n".join(map(str, [headings, *body])))
    digits = {row["run"]: repr({**row, "seconds": None}) for row in rows(results)}
    (folder / "digits.json").write_text(json.dumps(digits))
    return folder


@pytest.mark.parametrize(
    "seeds", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.campaign)]
)
def test_tables_on_two_dask_workers_are_those_of_this_machine_byte_for_byte(tmp_path, seeds):
    with dask_cluster(tmp_path / "dask") as cluster:
        run_study(study(seeds), tmp_path / "there", executor=f"dask:{cluster.address}")
    run_study(study(seeds), tmp_path / "here", workers=1)
    here, there = (hashes(tmp_path / name) for name in ("here", "there"))
    assert len(here) == 2 * seeds + 4
    assert there == here
    paper = {name: tmp_path / name / "paper" for name in ("here", "there")}
    for name in ("runs.txt", "groups.txt", "digits.json"):
        assert (paper["there"] / name).read_bytes() == (paper["here"] / name).read_bytes()


def hashes(folder: Path):
    """Of the last checkpoint of every training, those of the tuning too."""
    last = {run.parent for run in folder.rglob("step_*.h5")}
    return {str(run.relative_to(folder)): CheckpointDir(run)[-1].params_sha256 for run in last}
