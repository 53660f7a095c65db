"""Which place among several processes the launcher gave to this one, as its environment variables say."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from landscape.errors import UsageError

#: Set to anything but "0", this process measures by itself, whatever launched it.
ALONE = "LANDSCAPE_ALONE"
_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_FIRST_PORT, _PORTS = 20000, 20000


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that were started together.

    Attributes
    ----------
    rank, world : int
        Its number, from 0, and how many there are.
    local_rank, local_world : int
        The same on its machine.
    address, port : str, int
        Where rank 0 listens.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    address: str
    port: int


def place(environment: Mapping[str, str] | None = None, *, bare_slurm: bool = False) -> Place | None:
    """The place of this process; None where it was started by itself.

    Parameters
    ----------
    environment : mapping, optional
        Left out, that of this process.
    bare_slurm : bool
        Whether the tasks of ``srun`` are ranks without ``MASTER_ADDR``, too. Many scripts are started by ``srun`` as
        tasks that have nothing to do with each other, such as one training for each seed; they must not wait for each
        other. Tasks that analyze one folder can mean nothing else.

    Raises
    ------
    UsageError
        If a variable is no number, or the rank is none of the world's.

    Examples
    --------
    >>> place({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}).rank
    1
    """
    found = os.environ if environment is None else environment
    if found.get(ALONE, "0") != "0":
        return None
    if all(name in found for name in _TORCHRUN):
        given = _of_torchrun(found)
    elif "SLURM_STEP_ID" in found and "SLURM_PROCID" in found and (bare_slurm or "MASTER_ADDR" in found):
        given = _of_slurm(found)
    else:
        return None
    if not 0 <= given.rank < given.world:
        raise UsageError(f"rank {given.rank} is none of {given.world}: ranks are numbered from 0")
    return given if given.world > 1 else None


def _of_torchrun(found: Mapping[str, str]) -> Place:
    rank, world = _number(found, "RANK"), _number(found, "WORLD_SIZE")
    local_rank, local_world = _number(found, "LOCAL_RANK", rank), _number(found, "LOCAL_WORLD_SIZE", world)
    return Place(rank, world, local_rank, local_world, found["MASTER_ADDR"], _number(found, "MASTER_PORT"))


def _of_slurm(found: Mapping[str, str]) -> Place:
    """Of a task of ``srun``; the batch script itself is no task, though it has the number of them."""
    rank, world = _number(found, "SLURM_PROCID"), _number(found, "SLURM_STEP_NUM_TASKS", 1)
    tasks = tasks_by_node(found.get("SLURM_STEP_TASKS_PER_NODE", str(world)))
    node = _number(found, "SLURM_NODEID", 0)
    address = found.get("MASTER_ADDR") or first_host(found.get("SLURM_STEP_NODELIST", "localhost"))
    # Every task finds the same one, and two jobs on a machine hardly ever do.
    step = _number(found, "SLURM_JOB_ID", 0) * 31 + _number(found, "SLURM_STEP_ID")
    port = _number(found, "MASTER_PORT", _FIRST_PORT + step % _PORTS)
    return Place(rank, world, _number(found, "SLURM_LOCALID", rank), tasks[min(node, len(tasks) - 1)], address, port)


def tasks_by_node(text: str) -> list[int]:
    """Slurm's short form of tasks by node.

    >>> tasks_by_node("4(x2),3")
    [4, 4, 3]
    """
    found: list[int] = []
    for piece in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", piece.strip())
        if match is None:
            raise UsageError(f"tasks by node are {text!r}, which is not as Slurm writes them, such as 4(x2),3")
        found += [int(match[1])] * int(match[2] or 1)
    return found


def first_host(text: str) -> str:
    """The first of Slurm's short form of host names.

    >>> first_host("gpu[07-09,12],login1"), first_host("a1,a2")
    ('gpu07', 'a1')
    """
    match = re.match(r"([^\[,]+)(?:\[([^\],-]+))?", text)
    if match is None:
        raise UsageError(f"the list of hosts is {text!r}, which is not as Slurm writes it, such as gpu[07-09]")
    return match[1] + (match[2] or "")


def _number(found: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = found.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise UsageError(
            f"the environment has {name}={text!r}, no whole number; let torchrun or Slurm set it"
        ) from None
