"""The ranks that measure together: who they are, how they meet, and what they exchange."""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import socket
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from landscape.distributed.environment import Place, place
from landscape.distributed.watch import Watch, connected
from landscape.errors import LandscapeError, in_one_line

#: Seconds in which all ranks must have come to the first thing that they measure together.
MEETING = 300.0
#: One that computes longer than this between two exchanges is given up; those that are gone are noticed at once.
LONGEST = timedelta(days=1)
#: What rank 0 is given to say an error that all ranks have met.
HEARD = 1.0

_alone: ContextVar[bool] = ContextVar("alone", default=False)


@dataclass
class Traffic:
    """What this rank has exchanged.

    Attributes
    ----------
    calls, bytes : int
        Exchanges of tensors, and what they gave on each rank.
    seconds : float
        In all exchanges, with the time in which this rank waited for others.
    """

    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass
class Group:
    """Processes that measure one question together, of which this is one.

    Attributes
    ----------
    rank, world : int
        Its number, from 0, and how many there are.
    local_rank, local_world : int
        The same on its machine.
    traffic : Traffic
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    _handle: Any
    _watch: Watch
    _has_nccl: bool = False
    _begun: tuple[Any, ...] = ()
    _process: int = field(default_factory=os.getpid)
    _failure: str = ""
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that chooses, writes, prints and draws."""
        return self.rank == 0

    def sum_(self, buffer: Tensor, kind: str) -> None:
        """Sum a tensor over all ranks in place, by one all-reduce: the same bits on each of them."""
        with self.waiting(kind):
            dist.all_reduce(buffer, group=self._handle)
            if buffer.device.type == "cuda":
                torch.cuda.synchronize(buffer.device)  # so that waiting is seen as such
        self._count(buffer)

    def gather(self, own: Tensor, whole: Tensor, kind: str) -> None:
        """Fill ``whole`` (R·n,) with the tensors (n,) of all ranks, in their order."""
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # older: torch before 2.13
        there = whole if self._has_nccl or own.device.type == "cpu" else torch.empty_like(whole, device="cpu")
        with self.waiting(kind):
            gather(there, own.to(there.device), group=self._handle)
            if there.device.type == "cuda":
                torch.cuda.synchronize(there.device)
        if there is not whole:
            whole.copy_(there)
        self._count(whole)

    def _count(self, tensor: Tensor) -> None:
        self.traffic.calls += 1
        self.traffic.bytes += tensor.numel() * tensor.element_size()

    def of_first(self, value: Any, kind: str) -> Any:
        """What rank 0 passed, on every rank: whatever can be pickled."""
        box = [pickle.dumps(value) if self.is_first else None]
        with self.waiting(kind):
            dist.broadcast_object_list(box, src=0, group=self._handle, device=torch.device("cpu"))
        return value if self.is_first else pickle.loads(box[0] or b"")

    def all(self, value: Any, kind: str) -> list[Any]:
        """What every rank passed, in their order: plain data."""
        return _all(self._handle, self.world, value, self.waiting(kind))

    @property
    def count(self) -> int:
        """Exchanges begun so far; the same on every rank at the same place of the work."""
        return self._watch.waiting.count

    @contextlib.contextmanager
    def waiting(self, kind: str) -> Iterator[None]:
        """Around exchanges: others see what this rank waits for, and a connection that broke is an error of ours.

        What is exchanged within counts as the same.
        """
        waiting, started = self._watch.waiting, time.monotonic()
        if waiting.kind:
            yield
            return
        waiting.count, waiting.since, waiting.kind = waiting.count + 1, started, kind
        try:
            yield
        except RuntimeError as error:  # of a connection that broke: the watch says whose, and ends this process
            time.sleep(HEARD)
            if left := self._watch.left:
                why = f"rank {left[0]} has left, and every rank must make the same calls"
            else:
                why = in_one_line(error)
            raise LandscapeError(f"rank {self.rank} lost the others in {kind}: {why}") from error
        finally:
            waiting.kind = ""
            self.traffic.seconds += time.monotonic() - started

    def leave(self, reason: str = "") -> None:
        """This rank has no more to do with the others; with a reason, they end too."""
        reason = reason or self._failure
        if reason and self.rank:
            time.sleep(HEARD)  # an error that all have met is rank 0's to say, which ends this process meanwhile
        self._watch.leave(reason)

    def close(self) -> None:
        """End the threads of the groups that were begun here; the caller's own stays. Python ends after them, or, now
        and then, they abort it: "terminate called without an active exception"."""
        for one in self._begun:
            with contextlib.suppress(RuntimeError, ValueError, AssertionError):  # the caller has done so already
                dist.destroy_process_group(one)


_joined: Group | None = None


def joined() -> Group | None:
    """The ranks that this process has met, also within :func:`alone`; nobody is met by asking."""
    return _joined


def current() -> Group | None:
    """The ranks with which this process measures; None where it measures by itself.

    Those are the processes of a ``torch.distributed`` group that the caller has initialised, else those that
    ``torchrun`` started, or ``srun`` with ``MASTER_ADDR`` set. They meet when the first of them is asked for something
    to be measured together, and all must come.

    Raises
    ------
    LandscapeError
        If not all have come in time.
    """
    if _alone.get():
        return None
    if _joined is not None:
        return _joined if _joined._process == os.getpid() else None  # a fork of a rank is none
    return join(bare_slurm=False)


def join(*, bare_slurm: bool = True) -> Group | None:
    """Meet the other ranks, unless they have met; None where this process was started by itself.

    Needed only under ``srun`` without ``MASTER_ADDR``; elsewhere it happens by itself.

    Raises
    ------
    LandscapeError
        If not all have come in time.
    """
    global _joined
    if _joined is not None or _alone.get():
        return None if _alone.get() else _joined
    initialised = dist.is_available() and dist.is_initialized()
    given = place(bare_slurm=bare_slurm)
    if initialised:
        rank, world = dist.get_rank(), dist.get_world_size()
        if world == 1 or os.environ.get("LANDSCAPE_ALONE", "0") != "0":
            return None
        there = given if given is not None and (given.rank, given.world) == (rank, world) else None
        given = there or Place(rank, world, rank, world, "", 0)
    if given is None:
        return None
    _joined = _met(given, initialised)
    atexit.register(_leave)
    sys.excepthook = _remembering(sys.excepthook)
    return _joined


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within the block this process measures by itself, as if there were no others.

    For scripts of several processes of which one measures, such as rank 0 of a training.

    >>> with alone():
    ...     print(current())
    None
    """
    before = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(before)


def _met(given: Place, initialised: bool) -> Group:
    meeting = timedelta(seconds=MEETING)
    try:
        if not initialised:
            # torchrun holds the port itself, which only "env://" knows.
            is_torchrun = "RANK" in os.environ and "MASTER_PORT" in os.environ
            method = "env://" if is_torchrun else f"tcp://{given.address}:{given.port}"
            dist.init_process_group(
                "gloo", init_method=method, rank=given.rank, world_size=given.world, timeout=meeting
            )
        door = dist.new_group(backend="gloo", timeout=meeting)
        mine = (socket.gethostname(), _gpu(given, chosen=not initialised))
        found = _all(door, given.world, mine, contextlib.nullcontext())
        # Apart from the caller's own, so that no exchange of theirs meets one of these. NCCL wants a GPU for each.
        own_gpus = all(gpu for _, gpu in found) and len(set(found)) == given.world
        handle = dist.new_group(backend="cpu:gloo,cuda:nccl" if own_gpus else "gloo", timeout=LONGEST)
    except (RuntimeError, ValueError) as error:
        raise LandscapeError(
            f"rank {given.rank} waited {MEETING:.0f} s for the {given.world - 1} other ranks, and not all came "
            f"({in_one_line(error)}). Every rank must make the same calls; where one alone measures, it does so under "
            "landscape.distributed.alone(), or with LANDSCAPE_ALONE=1 in its environment"
        ) from error
    watch = connected(
        given.rank, given.world, lambda value: _all(handle, given.world, value, contextlib.nullcontext()),
        address=given.address,
    )  # fmt: skip
    local_world = sum(host == mine[0] for host, _ in found)
    begun = (door, handle) if initialised else (None,)  # None: the one with which all others end
    return Group(given.rank, given.world, given.local_rank, local_world, handle, watch, own_gpus, begun)


def _gpu(given: Place, *, chosen: bool) -> str:
    """Which GPU is this rank's, by a name that no other has; nothing where there is none. It is the current one then,
    unless the caller has chosen."""
    if not torch.cuda.is_available() or not dist.is_nccl_available():
        return ""
    index = given.local_rank % torch.cuda.device_count()
    if chosen:
        torch.cuda.set_device(index)
    return str(torch.cuda.get_device_properties(index).uuid)


def _all(handle: Any, world: int, value: Any, doing: contextlib.AbstractContextManager[None]) -> list[Any]:
    """Bytes of every rank by two all-reduces, which need no device of their own as gathering does under NCCL."""
    content = torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)
    rank = dist.get_rank(handle)
    with doing:
        sizes = torch.zeros(world, dtype=torch.int64)
        sizes[rank] = len(content)
        dist.all_reduce(sizes, group=handle)
        ends = sizes.cumsum(0).tolist()
        whole = torch.zeros(ends[-1], dtype=torch.uint8)
        whole[ends[rank] - len(content) : ends[rank]] = content
        dist.all_reduce(whole, group=handle)
    starts = [0, *ends[:-1]]
    return [pickle.loads(whole[a:b].numpy().tobytes()) for a, b in zip(starts, ends, strict=True)]


def _leave() -> None:
    if _joined is not None and _joined._process == os.getpid():
        _joined.leave()
        _joined.close()


def _remembering(before: Any) -> Any:
    """What ends a script is said to the other ranks too, which would wait for it."""

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if _joined is not None:
            _joined._failure = in_one_line(error)
        before(kind, error, trace)

    return hook
