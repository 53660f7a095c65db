"""The measurements of a training as a results file, which ``landscape show`` and ``landscape report`` read."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.results import Eigenpairs, Record
from landscape.store import ResultStore
from landscape.version import __version__


class MonitorFile:
    """Records of one training, each on disk when it is written: a kill loses none.

    Parameters
    ----------
    folder : path
        Made where it does not exist. A training that goes on writes where it wrote before.
    run : str
        Left empty, the name of the folder.
    about : mapping
        What is said of the run.
    """

    def __init__(
        self, folder: str | Path, run: str, objective: Objective, about: Mapping[str, Any], *, seed: int, route: str
    ) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.run = run or folder.resolve().name
        self._objective, self._route, self._seed = objective, route, seed
        self._key = {"objective": objective.digest(), "monitor": 1}
        self._store = ResultStore(folder)
        before = self._store.description(self.run).get("fingerprint")
        if before not in (None, self._key["objective"]):
            self._store.close()
            raise UsageError(
                f"{folder} holds measurements of run {self.run!r} on other examples or of another loss; "
                "choose another folder, or another run="
            )
        self._store.describe_run(self.run, self._about(about))
        self._store.describe(self._info())

    @property
    def path(self) -> Path:
        """``results.h5``."""
        return self._store.path

    def write(self, step: int, records: Mapping[str, Record], seconds: Mapping[str, float]) -> None:
        """Store what was measured at a step."""
        self._store.describe_checkpoint(self.run, step, {})
        for name, record in records.items():
            kept = record.without_vectors() if isinstance(record, Eigenpairs) else record
            self._store.write(self.run, step, name, kept, self._provenance(record, seconds.get(name, 0.0)))

    def close(self) -> None:
        """One file of all, and let another process write."""
        try:
            self._store.consolidate()
        finally:
            self._store.close()

    def _provenance(self, record: Record, seconds: float) -> dict[str, Any]:
        objective = self._objective
        return {
            "key": self._key, "seconds": seconds, "matvecs": int(getattr(record, "num_matvecs", 0)),
            "converged": bool(np.all(getattr(record, "converged", True))), "chunk": objective.chunk,
            "route": self._route, "device": str(objective.device), "created": _now(),
            "dtype": str(objective.dtype).removeprefix("torch."), "threads": torch.get_num_threads(),
        }  # fmt: skip

    def _about(self, about: Mapping[str, Any]) -> dict[str, Any]:
        objective = self._objective
        return {
            **about, "num_parameters": objective.layout.size, "num_examples": objective.num_examples,
            "of_examples": objective.drawn_from, "loss": objective.loss_name, "mode": objective.mode,
            "dtype": str(objective.dtype).removeprefix("torch."), "fingerprint": self._key["objective"],
            "frozen": list(objective.layout.frozen), "interacting": objective.interacting,
            "unused": list(objective.unused), "linear": list(objective.linear),
        }  # fmt: skip

    def _info(self) -> dict[str, Any]:
        return {
            "plan": {"seed": self._seed}, "plan_name": "monitor", "skipped": [], "created": _now(),
            "platform": platform.platform(), "threads": torch.get_num_threads(), "command": "landscape.Monitor",
            "versions": {"landscape": __version__, "torch": str(torch.__version__), "numpy": np.__version__},
        }  # fmt: skip


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
