"""Random probe vectors that depend on seed and index alone: not on how many there are, nor on the device."""

from __future__ import annotations

import numpy as np
import torch

from landscape.checks import check_choice, check_count, check_seed

KINDS = ("rademacher", "gaussian")


def probe(
    index: int,
    dim: int,
    *,
    seed: int,
    kind: str = "rademacher",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Random vector number ``index`` of the family that ``seed`` names, shape ``(dim,)``.

    Drawn on the CPU from a stream of its own, then moved: probe 3 is the same among 4 probes as among 400, on a GPU as
    on a CPU, and in float32 as in float64 up to rounding. No global random state is read or changed.

    Parameters
    ----------
    index : int
        At least 0.
    dim : int
        P.
    seed : int
        At least 0.
    kind : {"rademacher", "gaussian"}
        Independent entries: ±1 with equal chance, or standard normal. Both have mean 0 and variance 1.

    Raises
    ------
    UsageError
        For an unknown kind, a negative index, or a seed that is not an integer of at least 0.
    """
    check_choice("kind", kind, KINDS)
    check_count("dim", dim)
    seed, index = check_seed(seed), check_count("index", index, least=0)
    # SeedSequence mixes its numbers: neighbouring seeds and indices give unrelated streams. The kind is one too, so
    # that the start of a Krylov run and a trace probe of the same index share nothing.
    state = np.random.SeedSequence(seed, spawn_key=(KINDS.index(kind), index)).generate_state(1, np.uint64)
    generator = torch.Generator(device="cpu").manual_seed(int(state[0]) >> 1)
    if kind == "rademacher":
        signs = torch.randint(0, 2, (dim,), generator=generator, dtype=torch.int8)
        return signs.to(device).to(dtype) * 2 - 1
    # In float64 whatever the dtype asked for: torch draws other numbers in other dtypes.
    return torch.randn(dim, generator=generator, dtype=torch.float64).to(dtype).to(device)


def probes(
    first: int,
    count: int,
    dim: int,
    *,
    seed: int,
    kind: str = "rademacher",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Probes number ``first`` to ``first + count − 1`` of a family as columns, shape ``(dim, count)``; see `probe`."""
    columns = [probe(first + i, dim, seed=seed, kind=kind, dtype=dtype, device=device) for i in range(count)]
    return torch.stack(columns, dim=1) if columns else torch.empty(dim, 0, dtype=dtype, device=device)
