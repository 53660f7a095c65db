"""Points and nodes of a surface evaluated in other processes: the same numbers, whoever evaluates them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from landscape.errors import UsageError, in_one_line
from landscape.geometry.surfaces.network import Network, NotInterpolated
from landscape.geometry.surfaces.packing import packed, unpacked
from landscape.jobs import Executor, Job, Outcome, check_executor, run
from landscape.objective import Objective

_HERE = "landscape.geometry.surfaces.elsewhere"
#: Into which what is to be evaluated is divided, at most, and how many of them are handed out at once. Each carries
#: model and data, so that they are fewer where all together would carry more bytes than that.
_BLOCKS, _AT_ONCE, _CARRIED = 64, 16, 2**31
#: Questions that a process keeps, so that the next block finds them.
_KEPT = 4


class PointValues(Protocol):
    """Numbers at (y, x), such as loss and metrics; it goes to other processes pickled."""

    @property
    def objective(self) -> Objective:
        """Whose model is evaluated there."""
        ...

    def __call__(self, up: float, right: float) -> list[float]: ...


class Elsewhere:
    """Has points and nodes evaluated by an executor.

    Parameters
    ----------
    executor : Executor
        Model, data and functions go there pickled; they are evaluated with as many threads as torch has here.

    Raises
    ------
    UsageError
        If it is none.
    """

    def __init__(self, executor: Executor) -> None:
        check_executor(executor)
        self._executor, self._threads = executor, torch.get_num_threads()

    def points(self, values_at: PointValues, places: Sequence[Any], found: Callable[[Any, np.ndarray], None]) -> None:
        """Numbers at (y, x); each is given to ``found(place, values)`` when it is there."""
        self._each("evaluate_points", values_at, values_at.objective, places, found)

    def nodes(self, objective: Objective, moved: Any, places: Sequence[Any], found: Callable[[Any, Any], None]) -> None:
        """Outputs and loss of chunks at nodes, (index, key); each is given to ``found(place, (outputs, loss))``."""
        self._each("evaluate_nodes", (objective, moved), objective, places, found)

    def _each(
        self,
        function: str,
        question: Any,
        objective: Objective,
        places: Sequence[Any],
        found: Callable[[Any, Any], None],
    ) -> None:
        content, modules = _pickled(question), _modules_of(objective)
        token = hashlib.sha256(content).hexdigest()
        most = max(_AT_ONCE, min(_BLOCKS, _CARRIED // len(content)))
        cuts = np.array_split(np.arange(len(places)), min(len(places), most))
        blocks = {f"block {number}": [places[i] for i in cut] for number, cut in enumerate(cuts)}

        def finished(outcome: Outcome) -> None:
            if outcome.failure is not None:
                raise outcome.failure.as_error()
            for place, value in zip(blocks[outcome.name], outcome.value, strict=False):
                found(place, tuple(map(unpacked, value)) if isinstance(value, tuple) else unpacked(value))

        jobs = [
            Job(name, f"{_HERE}:{function}", (token, content, modules, block), self._threads)
            for name, block in blocks.items()
        ]
        run(jobs, self._executor, finished=finished, at_once=_AT_ONCE)


def evaluate_points(token: str, content: bytes, modules: dict[str, str], places: Sequence[Any]) -> list[bytes]:
    """A job: numbers at each (y, x)."""
    values_at = _question(token, content, modules)
    return [packed(np.array(values_at(*place), dtype=float)) for place in places]


def evaluate_nodes(
    token: str, content: bytes, modules: dict[str, str], places: Sequence[Any]
) -> list[tuple[bytes, bytes]]:
    """A job: outputs and loss of a chunk at each node, up to one that has none that can be interpolated."""
    objective, moved = _question(token, content, modules)
    found, network = list[tuple[bytes, bytes]](), Network(objective, moved)
    with network.parts.borrowed(), contextlib.suppress(NotInterpolated):  # whoever asked will see it there again
        for index, key in places:
            outputs, loss = network.at(index, key)
            found.append((packed(outputs), packed(np.array(loss))))
    return found


_kept: dict[str, Any] = {}


def _question(token: str, content: bytes, modules: dict[str, str]) -> Any:
    if token not in _kept:
        for name, file in modules.items():
            _load(name, file)
        try:
            question = pickle.loads(content)
        except Exception as error:  # whatever a class that is not there raises
            raise _not_there(error) from error
        while len(_kept) >= _KEPT:
            del _kept[next(iter(_kept))]
        _kept[token] = question
    return _kept[token]


def _pickled(question: Any) -> bytes:
    try:
        return pickle.dumps(question, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # a lambda, a lock, a class within a function
        raise _not_there(error) from error


def _modules_of(objective: Objective) -> dict[str, str]:
    """Name and file of the modules of model and loss, which may lie where the other process does not look."""
    things = [type(part) for part in objective.parts().model.modules()]
    names = {getattr(thing, "__module__", None) for thing in (*things, *objective.module.functions)}
    found = {name: getattr(sys.modules.get(name), "__file__", None) for name in names if name}
    return {name: file for name, file in found.items() if file is not None and name != "__main__"}


def _load(name: str, file: str) -> None:
    """A module that cannot be found by its name, from its file."""
    if name in sys.modules:
        return
    try:
        is_known = importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        is_known = False
    spec = None if is_known else importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        return
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _not_there(error: Exception) -> UsageError:
    return UsageError(
        f"model, loss, data or metrics cannot be made in another process ({in_one_line(error)}). Put their classes and "
        "functions at the top of a module that it can import, not into the script or notebook; or leave out executor="
    )
