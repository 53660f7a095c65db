"""What a model writes into its own attributes when it is called, undone afterwards."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
_ROWS = (list, deque)
#: How torch keeps parameters, buffers, parts and hooks: not the caller's to write to.
_TORCHS = frozenset(vars(nn.Module()))


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Attributes of a model and of its parts end as they were: lists of outputs, states of metrics, caches, counters.

    Within the block what can be written in place are copies. Parameters and buffers are none of them: whoever evaluates
    a model elsewhere than where it stands swaps those.
    """
    before = [(vars(part), dict(vars(part))) for part in model.modules()]
    copies: dict[int, Any] = {}
    for own, kept in before:
        own.update({name: _copy(value, copies) for name, value in kept.items() if name not in _TORCHS})
    try:
        yield
    finally:
        for own, kept in before:
            own.clear()
            own.update(kept)


def _copy(value: Any, copies: dict[int, Any]) -> Any:
    """Another list, dict, set or tensor of the same content; anything else as it is, as are tensors with a gradient."""
    if id(value) in copies:
        return copies[id(value)]
    kind = type(value)
    if kind is Tensor:
        copies[id(value)] = value if value.requires_grad else value.clone()
    elif kind is set:
        copies[id(value)] = set(value)
    elif kind in _ROWS or kind in _MAPPINGS:
        twin = copies[id(value)] = value.copy()
        for place, inner in list(twin.items() if kind in _MAPPINGS else enumerate(twin)):
            twin[place] = _copy(inner, copies)
    else:
        return value
    return copies[id(value)]
