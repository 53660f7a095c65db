"""Points and nodes of a surface dealt out among ranks that measure together: the numbers of one process, to the bit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from landscape import distributed
from landscape.geometry.surfaces.elsewhere import PointValues
from landscape.geometry.surfaces.network import Network, NotInterpolated
from landscape.geometry.surfaces.packing import packed, unpacked
from landscape.objective import Objective


class AmongRanks:
    """Has points and nodes evaluated by all ranks, each a run of them, on all the data; then all know all of them.

    Parameters
    ----------
    group : Group
    """

    def __init__(self, group: distributed.Group) -> None:
        self._group = group

    def points(self, values_at: PointValues, places: Sequence[Any], found: Callable[[Any, np.ndarray], None]) -> None:
        """Numbers at (y, x); each is given to ``found(place, values)``."""

        def values(mine: Sequence[Any]) -> Iterator[bytes]:
            for place in mine:
                yield packed(np.array(values_at(*place), dtype=float))

        for place, value in self._dealt(values, places):
            found(place, unpacked(value))

    def nodes(self, objective: Objective, moved: Any, places: Sequence[Any], found: Callable[[Any, Any], None]) -> None:
        """Outputs and loss of chunks at nodes, (index, key); each is given to ``found(place, (outputs, loss))``."""

        def values(mine: Sequence[Any]) -> Iterator[tuple[bytes, bytes]]:
            network = Network(objective, moved)
            with network.parts.borrowed(), contextlib.suppress(NotInterpolated):  # who asked will see it there again
                for index, key in mine:
                    outputs, loss = network.at(index, key)
                    yield packed(outputs), packed(np.array(loss))

        for place, pair in self._dealt(values, places):
            found(place, tuple(map(unpacked, pair)))

    def _dealt(
        self, values: Callable[[Sequence[Any]], Iterator[Any]], places: Sequence[Any]
    ) -> Iterator[tuple[Any, Any]]:
        cuts = np.array_split(np.arange(len(places)), self._group.world)

        def own() -> list[Any]:
            with distributed.alone():
                return list(values([places[i] for i in cuts[self._group.rank]]))

        mine = distributed.on_all_ranks(own, "points of a surface")
        for cut, found in zip(cuts, self._group.all(mine, "points of a surface"), strict=True):
            yield from zip((places[i] for i in cut), found, strict=False)


class Copy:
    """What rank 0 has in its ledger, on another rank: all find and miss the same.

    Parameters
    ----------
    entries : dict of str to bytes
    most : int
        Bytes of all entries; what would not fit is not kept.
    """

    def __init__(self, entries: dict[str, bytes], most: int) -> None:
        self._entries, self._most, self.fault = entries, most, ""
        self._kept = sum(map(len, entries.values()))

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._entries.clear()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def get(self, name: str) -> bytes | None:
        """The entry of that name."""
        return self._entries.get(name)

    def put(self, name: str, content: bytes) -> None:
        """Keep an entry, where there is room; one of the same name stays as it is."""
        if self.fault or name in self:
            return
        if self._kept + len(content) > self._most:
            self.fault = "rank 0 has no room for it"
            return
        self._kept += len(content)
        self._entries[name] = content
