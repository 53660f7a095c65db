"""In which order an optimizer was given its parameters: torch numbers them and forgets their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from landscape.checkpoints.writer import named_tensors, plain_name

Shape = tuple[int, ...]
Groups = list[list[str]]
_MOST_STATES = 20_000


def model_order(names: Sequence[str], sizes: Sequence[int], model: nn.Module) -> Groups | None:
    """The order of ``named_parameters()``, cut into groups one after another."""
    if sum(sizes) != len(names):
        return None
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [list(names[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def by_dimensions(names: Sequence[str], sizes: Sequence[int], model: nn.Module) -> Groups | None:
    """Matrices and more in one group, vectors and numbers in the other, as nanoGPT has them."""
    return _parted(names, sizes, lambda name, dims: dims >= 2, model)


def as_trainer(names: Sequence[str], sizes: Sequence[int], model: nn.Module) -> Groups | None:
    """As the Trainer of Hugging Face: biases and norms in the second group, found by type and by name."""
    norms = {path for path, module in model.named_modules() if isinstance(module, nn.LayerNorm)}
    pattern = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")

    def decays(name: str, dims: int) -> bool:
        return name.rpartition(".")[0] not in norms and not pattern.search(name.lower())

    return _parted(names, sizes, decays, model)


def sorted_by_name(names: Sequence[str], sizes: Sequence[int], model: nn.Module) -> Groups | None:
    """As llm-baselines: weights of linear layers in the first group, all else in the second, each sorted by name."""
    linear = {plain_name(path) for path, module in model.named_modules() if isinstance(module, nn.Linear)}

    def decays(name: str, dims: int) -> bool:
        owner, _, last = name.rpartition(".")
        return owner in linear and last == "weight"

    return _parted(sorted(names), sizes, decays, model)


def _parted(
    names: Sequence[str], sizes: Sequence[int], decays: Callable[[str, int], bool], model: nn.Module
) -> Groups | None:
    dims = {name: parameter.dim() for name, parameter in named_tensors(model).items()}
    first = [name for name in names if decays(name, dims[name])]
    second = [name for name in names if name not in set(first)]
    return [first, second] if list(sizes) == [len(first), len(second)] else None


CONVENTIONS: dict[str, Callable[[Sequence[str], Sequence[int], nn.Module], Groups | None]] = {
    "model": model_order,
    "dimensions": by_dimensions,
    "trainer": as_trainer,
    "sorted": sorted_by_name,
}


def in_order(
    names: Sequence[str], shapes: Mapping[str, Shape], groups: Sequence[Sequence[Shape | None]]
) -> tuple[int, Groups | None]:
    """Ways to deal out names so that each group keeps their order and has the given shapes, counted up to 2, and one.

    Names may be left over: an optimizer may skip parameters. A shape that is None fits all.
    """
    sizes = [len(group) for group in groups]
    spare = len(names) - sum(sizes)
    if spare < 0:
        return 0, None
    start = (0,) * len(groups)
    layer: dict[tuple[int, ...], int] = {start: 1}
    came_from: list[dict[tuple[int, ...], tuple[tuple[int, ...], int]]] = []
    for i, name in enumerate(names):
        following: dict[tuple[int, ...], int] = {}
        back: dict[tuple[int, ...], tuple[tuple[int, ...], int]] = {}
        for state, ways in layer.items():
            moves = [(state, -1)] if i - sum(state) < spare else []
            for g, at in enumerate(state):
                if at < sizes[g] and groups[g][at] in (None, shapes[name]):
                    moves.append(((*state[:g], at + 1, *state[g + 1 :]), g))
            for reached, g in moves:
                following[reached] = min(2, following.get(reached, 0) + ways)
                back.setdefault(reached, (state, g))
        if len(following) > _MOST_STATES:
            return 2, None
        layer, came_from = following, [*came_from, back]
    end = tuple(sizes)
    if end not in layer:
        return 0, None
    found: Groups = [[] for _ in groups]
    state = end
    for name, back in zip(reversed(names), reversed(came_from), strict=True):
        state, g = back[state]
        if g >= 0:
            found[g].insert(0, name)
    return layer[end], found
