"""Read a checkpoint: what it says at once, its tensors when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape import distributed
from landscape.checkpoints import compatibility, contents
from landscape.checkpoints.files import OpenFile, open_file, refusals
from landscape.checkpoints.format import read_tree, unescape
from landscape.checkpoints.writer import named_tensors, persistent_buffers, unwrap
from landscape.errors import CheckpointError
from landscape.files import Group, Proof
from landscape.problems import PROBLEMS, Problem, get_problem, load_problem
from landscape.problems.registry import factory_identity

if TYPE_CHECKING:
    from landscape.objective import Objective


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint whose hashes held when it was opened.

    Attributes
    ----------
    path : Path
    step : int
        Optimizer steps made.
    problem : str or None
        What it was trained on: a registered name, or what its author typed as ``pkg.mod:factory``.
    problem_config, metrics, config : dict
        Of the metrics those that are numbers where numbers belong; the others count as missing.
    optimizer, lr, seed : str, float, int or None
    created : str
        UTC, ISO 8601.
    versions : dict
        Of ``landscape`` and ``torch`` when it was written.
    params_sha256 : str
        Hash of the parameters alone: equal exactly when names, types, shapes and values are.
    num_parameters : int
        P with frozen parameters counted, tied ones once.
    aliases : dict
        Other name → the name under which a tied parameter is stored.
    proof : Proof
        Of the file that was verified: its tensors are never read from another one that took its name.
    content : Group or None
        All that the file holds, where it was to be kept; else the file is opened again for its tensors.
    """

    path: Path
    step: int
    problem: str | None
    problem_config: dict[str, Any]
    metrics: dict[str, Any]
    config: dict[str, Any]
    optimizer: str | None
    lr: float | None
    seed: int | None
    created: str
    versions: dict[str, str]
    params_sha256: str
    num_parameters: int
    aliases: dict[str, str]
    proof: Proof
    content: Group | None = field(default=None, repr=False)

    def params(self) -> dict[str, Tensor]:
        """Distinct parameters by name, in the model's own order.

        Raises
        ------
        CheckpointError
            If they are not those of ``params_sha256``, or the file has changed since it was opened.
        """
        with self._open() as file:
            return contents.params(file)

    def theta(self) -> Tensor:
        """(P,) the trainable parameters, flat, in the order of ``objective().theta``."""
        with self._open() as file:
            trainable = {unescape(link) for link, item in file.group("params").items() if item.attrs["trainable"]}
            parts = [tensor.reshape(-1) for name, tensor in contents.params(file).items() if name in trainable]
        if not parts:
            raise CheckpointError(f"{self.path} has no trainable parameter")
        return torch.cat(parts)

    def buffers(self) -> dict[str, Tensor]:
        """Persistent buffers by name."""
        with self._open() as file:
            return contents.tensors(file.group("buffers"))

    def optimizer_state(self) -> dict[str, Any] | None:
        """``{"class", "param_groups", "state"}`` with parameters by name, or None where none was saved.

        ``state["fc1.weight"]["exp_avg_sq"]`` is what Adam knows of that weight.
        """
        with self._open() as file:
            return contents.optimizer_state(file)

    def scheduler_state(self) -> dict[str, Any] | None:
        """The schedule's ``state_dict()``, or None where none was saved."""
        return self._tree("scheduler")

    def resume_state(self) -> dict[str, Any] | None:
        """What the training script stored to go on exactly, or None."""
        return self._tree("resume")

    def history(self) -> dict[str, np.ndarray]:
        """Numbers for each step since the checkpoint before, (S,) each, the last one that of the step that led here."""
        with self._open() as file:
            return contents.history(file)

    @contextmanager
    def _open(self) -> Iterator[Group]:
        if self.content is not None:
            with refusals(self.path):
                yield self.content
            return
        with open_file(self.path, known=self.proof) as file:
            yield file.tree

    def _tree(self, name: str) -> dict[str, Any] | None:
        with self._open() as file:
            found = read_tree(file[name]) if name in file else None
            if not isinstance(found, dict | None):
                raise ValueError(f"its {name} is a {type(found).__name__} where a dict belongs")
            return found

    def load_into(
        self, model: nn.Module, *, optimizer: torch.optim.Optimizer | None = None, scheduler: Any = None
    ) -> None:
        """Copy parameters and buffers into a model, and the states into an optimizer and a schedule where given.

        Raises
        ------
        CheckpointError
            If the model is of another architecture, with what is missing, unexpected, of another shape or of another
            kind of number; nothing is changed then. If its parameters are in shards. If the checkpoint has no optimizer
            or schedule, or that of another optimizer.
        """
        model = unwrap(model)
        if distributed.is_in_shards(model):
            raise CheckpointError(
                f"{self.path} is not loaded into a model whose parameters are in shards: load it into the plain model, "
                "and shard that"
            )
        with self._open() as file:
            saved, buffers = contents.params(file), contents.tensors(file.group("buffers"))
        compatibility.check_architecture(self.path, model, {**saved, **buffers}, self.aliases)
        compatibility.check_kinds(self.path, model, {**saved, **buffers})
        state = None
        if optimizer is not None:
            state = compatibility.optimizer_state_for(self.path, self.optimizer_state(), optimizer, model)
        with torch.no_grad():
            for name, parameter in named_tensors(model).items():
                parameter.copy_(saved[name])
            for name, buffer in persistent_buffers(model).items():
                buffer.copy_(buffers[name])
        if optimizer is not None and state is not None:
            compatibility.load_state(self.path, optimizer, state, "optimizer")
        if scheduler is not None:
            saved_schedule = self.scheduler_state()
            if saved_schedule is None:
                raise CheckpointError(f"{self.path} holds no learning rate schedule")
            compatibility.load_state(self.path, scheduler, saved_schedule, "learning rate schedule")

    def model(
        self,
        problem: Problem | str | None = None,
        *,
        data_dir: str | Path | None = None,
        problem_config: Mapping[str, Any] | None = None,
    ) -> nn.Module:
        """The problem's model with these parameters; arguments as for :meth:`find_problem`."""
        found = self.find_problem(problem, data_dir=data_dir, problem_config=problem_config)
        model = found.make_model(self.seed or 0)
        self.load_into(model)
        return model

    def objective(
        self,
        problem: Problem | str | None = None,
        *,
        data_dir: str | Path | None = None,
        problem_config: Mapping[str, Any] | None = None,
        split: str = "train",
        **options: Any,
    ) -> Objective:
        """L(θ) of the problem over one split, at these parameters; ``options`` as for :class:`landscape.Objective`."""
        found = self.find_problem(problem, data_dir=data_dir, problem_config=problem_config)
        return found.objective(self.model(found), split=split, **options)

    def find_problem(
        self,
        problem: Problem | str | None = None,
        *,
        data_dir: str | Path | None = None,
        problem_config: Mapping[str, Any] | None = None,
    ) -> Problem:
        """The problem named by the caller, or else by the file, which is only ever looked up, never imported.

        Parameters
        ----------
        problem : Problem or str, optional
            ``pkg.mod:factory``, looked for beside the checkpoint, too; see :func:`landscape.problems.load_problem`.
        problem_config : mapping, optional
            Settings of the problem; left out, those of the file where it is of that problem.

        Raises
        ------
        CheckpointError
            If the file names none that is registered and the caller names none.
        """
        if isinstance(problem, Problem):
            return problem
        if problem is not None:
            return load_problem(
                problem, self._settings_of(problem, problem_config), data_dir=data_dir, beside=self.path,
                checkpoint_config=self.config,
            )  # fmt: skip
        if self.problem is None:
            raise CheckpointError(f"{self.path} does not say what it was trained on; name it with --problem (problem=)")
        if self.problem not in PROBLEMS:
            raise CheckpointError(
                f"{self.path} was trained on {self.problem!r}, which is not a registered problem "
                f"({', '.join(PROBLEMS)}); if you trust it, name it yourself: --problem {self.problem}"
            )
        # Its name comes from a file, and so does not start a download.
        settings = self._settings_of(self.problem, problem_config)
        return get_problem(self.problem, settings, data_dir=data_dir, download=False)

    def problem_key(
        self, problem: str | None, data_dir: str | Path | None, problem_config: Mapping[str, Any] | None = None
    ) -> str:
        """Equal for two checkpoints to which :meth:`find_problem` would give the same, so that it is built once."""
        name = problem or self.problem
        settings = None if name is None else self._settings_of(name, problem_config)
        file, takes = ("", False) if problem is None else factory_identity(problem, beside=self.path)
        return json.dumps([name, file, settings, str(data_dir), self.config if takes else None], default=str)

    def _settings_of(self, name: str, given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if given is not None:
            return given
        return self.problem_config if self.problem in (None, name) else None

    def __repr__(self) -> str:
        trained = f", {self.optimizer}" if self.optimizer else ""
        return f"Checkpoint({str(self.path)!r}, step {self.step}{trained}, {self.num_parameters:,} parameters)"


def load_checkpoint(path: str | Path, *, keep: bool = False) -> Checkpoint:
    """Open a checkpoint and verify its hash over everything in it.

    Parameters
    ----------
    keep : bool
        Hold what the file says in memory, unless it is too large, so that it is opened only once.

    Raises
    ------
    CheckpointError
        In one line: missing, truncated, not HDF5, foreign, written by a newer version, or damaged.
    """
    path = Path(path)
    with open_file(path) as file:
        return _read(path, file, keep=keep)


def _read(path: Path, file: OpenFile, *, keep: bool) -> Checkpoint:
    content = file.tree if keep and file.in_memory else None
    return Checkpoint(path=path, proof=file.proof, content=content, **contents.fields(file.tree))
