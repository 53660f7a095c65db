"""What a surface is of, as a digest: the same in every process, another for another question."""

from __future__ import annotations

import functools
import inspect
import os
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from landscape.errors import ObjectiveError
from landscape.objective import Objective
from landscape.objective.batches.hashing import Content


def digest(*facts: Any) -> str:
    """SHA-256 of tensors, arrays, numbers, text, objectives and functions.

    A function is what its module and name, its code, its defaults and what it closes over are; of what it calls, the
    name. One that holds what no other process could find again, such as a lock, is another one each time.

    >>> digest(lambda x: x + 1) == digest(lambda x: x + 2), digest(len) == digest(len)
    (False, True)
    """
    content = Content()
    for fact in facts:
        if isinstance(fact, Objective):
            _add_objective(content, fact)
        else:
            _add(content, fact, ())
    return content.hexdigest()


def _add_objective(content: Content, objective: Objective) -> None:
    """Data, loss, dtype, names in θ; all that is fixed besides; the code of the model; how the data are cut."""
    content.fact(objective.digest(), objective.constants_digest(), objective.chunk, objective.num_chunks)
    model = objective.parts().model
    content.fact(repr(model))
    for kind in dict.fromkeys(type(part) for part in model.modules()):
        _add(content, kind.forward, ())
    for function in objective.module.functions:
        _add(content, function, ())


def _add(content: Content, value: Any, above: tuple[int, ...]) -> None:
    if id(value) in above:  # a function that calls itself
        content.fact("again", above.index(id(value)))
        return
    above = (*above, id(value))
    if isinstance(value, functools.partial):
        content.fact("partial", len(value.args))
        for part in (value.func, *value.args, *_items(value.keywords)):
            _add(content, part, above)
    elif inspect.ismethod(value):
        content.fact("method")
        _add(content, value.__func__, above)
        _add(content, value.__self__, above)
    elif isinstance(value, types.FunctionType):
        content.fact("function", value.__module__, value.__qualname__)
        _add_code(content, value.__code__)
        for part in (value.__defaults__, *_items(value.__kwdefaults__ or {}), *_closed_over(value)):
            _add(content, part, above)
    elif isinstance(value, nn.Module):
        content.fact("module", repr(value))
        for part in (*value.named_parameters(), *value.named_buffers()):
            content.add(part)
    else:
        try:
            content.fact("value", _alone(value))
        except ObjectiveError:
            content.fact("unknown", os.urandom(16).hex())


def _alone(value: Any) -> str:
    """Apart, so that what fails half-way leaves no trace."""
    content = Content()
    content.add(value)
    return content.hexdigest()


def _add_code(content: Content, code: types.CodeType) -> None:
    content.raw(code.co_code)
    content.fact(code.co_names, code.co_varnames, len(code.co_consts))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _add_code(content, constant)
        else:
            content.add(constant)


def _closed_over(function: Callable[..., Any]) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            yield None


def _items(named: Mapping[str, Any]) -> Iterator[Any]:
    for name in sorted(named):
        yield name
        yield named[name]
