"""Read a checkpoint: what it says at once, its tensors when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from landscape.checkpoints.format import open_file, read_json, read_tensor, read_tree, unescape
from landscape.checkpoints.writer import named_tensors, parameter_names, persistent_buffers, unwrap
from landscape.errors import CheckpointError
from landscape.problems import PROBLEMS, Problem, get_problem, load_problem

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

    def params(self) -> dict[str, Tensor]:
        """Distinct parameters by name, in the model's own order."""
        with open_file(self.path, verify=False) as file:
            ordered = sorted(file["params"].items(), key=lambda item: item[1].attrs["index"])
            return {unescape(link): read_tensor(dataset) for link, dataset in ordered}

    def theta(self) -> Tensor:
        """(P,) the trainable parameters, flat, in the order of ``objective().theta``."""
        with open_file(self.path, verify=False) as file:
            trainable = {unescape(link) for link, dataset in file["params"].items() if dataset.attrs["trainable"]}
        parts = [tensor.reshape(-1) for name, tensor in self.params().items() if name in trainable]
        if not parts:
            raise CheckpointError(f"{self.path} has no trainable parameter")
        return torch.cat(parts)

    def buffers(self) -> dict[str, Tensor]:
        """Persistent buffers by name."""
        with open_file(self.path, verify=False) as file:
            return {unescape(link): read_tensor(dataset) for link, dataset in file["buffers"].items()}

    def optimizer_state(self) -> dict[str, Any] | None:
        """``{"class", "param_groups", "state"}`` with parameters by name, or None where none was saved.

        ``state["fc1.weight"]["exp_avg_sq"]`` is what Adam knows of that weight.
        """
        with open_file(self.path, verify=False) as file:
            if "optimizer" not in file:
                return None
            group = file["optimizer"]
            state = read_tree(group["state"])
            return {"class": group.attrs["class"], "param_groups": read_json(group["param_groups"]), "state": state}

    def scheduler_state(self) -> dict[str, Any] | None:
        """The schedule's ``state_dict()``, or None where none was saved."""
        return self._tree("scheduler")

    def resume_state(self) -> dict[str, Any] | None:
        """What the training script stored to go on exactly, or None."""
        return self._tree("resume")

    def history(self) -> dict[str, np.ndarray]:
        """Numbers for each step since the checkpoint before, (S,) each, the last one that of the step that led here."""
        with open_file(self.path, verify=False) as file:
            return {unescape(link): dataset[()] for link, dataset in file.get("history", {}).items()}

    def _tree(self, name: str) -> dict[str, Any] | None:
        with open_file(self.path, verify=False) as file:
            return read_tree(file[name]) if name in file else None

    def load_into(
        self, model: nn.Module, *, optimizer: torch.optim.Optimizer | None = None, scheduler: Any = None
    ) -> None:
        """Copy parameters and buffers into a model, and the states into an optimizer and a schedule where given.

        Raises
        ------
        CheckpointError
            If the model is of another architecture, with what is missing, unexpected or of another shape; nothing is
            changed then. If the checkpoint has no optimizer or schedule, or that of another optimizer.
        """
        model = unwrap(model)
        saved, buffers = self.params(), self.buffers()
        self._check_architecture(model, saved, buffers)
        state = None if optimizer is None else self._optimizer_state_for(optimizer, model)
        with torch.no_grad():
            for name, parameter in named_tensors(model).items():
                parameter.copy_(saved[name])
            for name, buffer in persistent_buffers(model).items():
                buffer.copy_(buffers[name])
        if optimizer is not None and state is not None:
            optimizer.load_state_dict(state)
        if scheduler is not None:
            saved_schedule = self.scheduler_state()
            if saved_schedule is None:
                raise CheckpointError(f"{self.path} holds no learning rate schedule")
            scheduler.load_state_dict(saved_schedule)

    def _check_architecture(self, model: nn.Module, saved: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> None:
        wanted = {**named_tensors(model), **persistent_buffers(model)}
        found = {**saved, **buffers}
        aliases = {other: name for name, others in parameter_names(model).items() for other in others}
        shapes = [
            f"{name} is {_shape(found[name])} in the file and {_shape(wanted[name])} in the model"
            for name in wanted
            if name in found and found[name].shape != wanted[name].shape
        ]
        complaints = [
            ("missing from the file", [name for name in wanted if name not in found]),
            ("not in the model", [name for name in found if name not in wanted]),
            ("of another shape", shapes),
            ("tied in one and not in the other", sorted(aliases.keys() ^ self.aliases.keys())),
        ]
        said = [f"{what}: {_few(names)}" for what, names in complaints if names]
        if said:
            raise CheckpointError(
                f"{self.path} is of another architecture than this {type(model).__name__}. {'; '.join(said)}"
            )

    def _optimizer_state_for(self, optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Any]:
        """The state numbered as this optimizer numbers its parameters."""
        saved = self.optimizer_state()
        if saved is None:
            raise CheckpointError(f"{self.path} holds no optimizer state")
        if saved["class"] != type(optimizer).__name__:
            raise CheckpointError(f"{self.path} holds the state of {saved['class']}, not of {type(optimizer).__name__}")
        names = {id(parameter): name for name, parameter in named_tensors(model).items()}
        fresh = optimizer.state_dict()["param_groups"]
        ordered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        here = [[names.get(id(ordered[i]), f"#{i}") for i in group["params"]] for group in fresh]
        there = [group["params"] for group in saved["param_groups"]]
        if here != there:
            raise CheckpointError(f"{self.path} holds the state of an optimizer over other parameters or groups")
        number = {
            name: i
            for names, group in zip(here, fresh, strict=True)
            for name, i in zip(names, group["params"], strict=True)
        }
        groups = [
            {k: _with_tuples(v, mine.get(k)) for k, v in group.items()} | {"params": mine["params"]}
            for group, mine in zip(saved["param_groups"], fresh, strict=True)
        ]
        return {"state": {number[name]: part for name, part in saved["state"].items()}, "param_groups": groups}

    def model(self, problem: Problem | str | None = None, *, data_dir: str | Path | None = None) -> nn.Module:
        """The problem's model with these parameters."""
        found = self.find_problem(problem, data_dir=data_dir)
        model = found.make_model(self.seed or 0)
        self.load_into(model)
        return model

    def objective(
        self,
        problem: Problem | str | None = None,
        *,
        data_dir: str | Path | None = None,
        split: str = "train",
        **options: Any,
    ) -> Objective:
        """L(θ) of the problem over one split, at these parameters; ``options`` as for :class:`landscape.Objective`."""
        found = self.find_problem(problem, data_dir=data_dir)
        return found.objective(self.model(found), split=split, **options)

    def find_problem(self, problem: Problem | str | None = None, *, data_dir: str | Path | None = None) -> Problem:
        """The problem named by the caller, or else by the file, which is only ever looked up, never imported.

        Raises
        ------
        CheckpointError
            If the file names none that is registered and the caller names none.
        """
        if isinstance(problem, Problem):
            return problem
        if problem is not None:
            same = problem == self.problem or self.problem is None
            return load_problem(problem, self.problem_config if same else None, data_dir=data_dir)
        if self.problem is None:
            raise CheckpointError(f"{self.path} does not say what it was trained on; name it with --problem (problem=)")
        if self.problem not in PROBLEMS:
            raise CheckpointError(
                f"{self.path} was trained on {self.problem!r}, which is not a registered problem "
                f"({', '.join(PROBLEMS)}); if you trust it, name it yourself: --problem {self.problem}"
            )
        return get_problem(self.problem, self.problem_config, data_dir=data_dir)

    def __repr__(self) -> str:
        trained = f", {self.optimizer}" if self.optimizer else ""
        return f"Checkpoint({str(self.path)!r}, step {self.step}{trained}, {self.num_parameters:,} parameters)"


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint and verify its hash over everything in it.

    Raises
    ------
    CheckpointError
        In one line: missing, truncated, not HDF5, foreign, written by a newer version, or damaged.
    """
    path = Path(path)
    with open_file(path, verify=True) as file:
        return _read(path, file)


def _read(path: Path, file: h5py.File) -> Checkpoint:
    attrs = file.attrs
    seed, lr = attrs.get("seed"), attrs.get("lr")
    return Checkpoint(
        path=path,
        step=int(attrs["step"]),
        problem=attrs.get("problem"),
        problem_config=read_json(file["problem_config"]) if "problem_config" in file else {},
        metrics=read_json(file["metrics"]),
        config=read_json(file["config"]),
        optimizer=attrs.get("optimizer"),
        lr=None if lr is None else float(lr),
        seed=None if seed is None else int(seed),
        created=attrs["created"],
        versions={"landscape": attrs["landscape_version"], "torch": attrs["torch_version"]},
        params_sha256=attrs["params_sha256"],
        num_parameters=int(attrs["num_parameters"]),
        aliases=read_json(file["aliases"]),
    )


def _with_tuples(saved: Any, mine: Any) -> Any:
    """JSON has no tuples; Adam's betas are one. They are where the fresh optimizer has them."""
    if not isinstance(saved, list) or not isinstance(mine, (list, tuple)):
        return saved
    parts = [_with_tuples(part, own) for part, own in zip(saved, [*mine, *[None] * len(saved)], strict=False)]
    return tuple(parts) if isinstance(mine, tuple) else parts


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a number"


def _few(names: list[str], limit: int = 6) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
