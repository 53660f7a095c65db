"""An object of rank 0 that all ranks ask: it reads and writes there, and its answers are everybody's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from landscape.distributed.agreeing import by_first
from landscape.distributed.group import current


class OfFirst:
    """Calls of methods are made on rank 0 alone, and what they give, or raise, is given on every rank.

    Parameters
    ----------
    make : callable
        Makes the object, on rank 0.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._thing: Any = None
        self._is_method: dict[str, bool] = {}

        def made() -> None:
            self._thing = make()

        by_first(made, "opening a store")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._is_method:
            self._is_method[name] = by_first(lambda: callable(getattr(self._thing, name)), name)
        if self._is_method[name]:
            return lambda *args, **kwargs: by_first(lambda: getattr(self._thing, name)(*args, **kwargs), name)
        return by_first(lambda: getattr(self._thing, name), name)

    def __enter__(self) -> OfFirst:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        # Nobody is waited for: an error that one rank alone has met must reach the others by its end.
        if self._thing is not None:
            self._thing.close()


def of_first(make: Callable[[], Any]) -> Any:
    """The object itself where this process measures by itself; else rank 0's, as all ranks may ask it."""
    return make() if current() is None else OfFirst(make)
