"""Names from outside in a data frame: as they are, whatever characters they have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from landscape.escaping.control_characters import encodable

if TYPE_CHECKING:
    import pandas as pd


def frame_of(records: Iterable[Any], columns: Sequence[str]) -> pd.DataFrame:
    """A frame of dicts or tuples. A file name may be no Unicode, and Arrow, which pandas uses for text where it is
    installed, refuses such: what cannot be encoded is written out.

    >>> frame_of([("adam\\udcff", 1)], ["run", "step"])["run"][0].isascii()
    True
    """
    import pandas as pd

    return pd.DataFrame.from_records([_encodable(row) for row in records], columns=list(columns))


def _encodable(row: Any) -> Any:
    if isinstance(row, dict):
        return {name: encodable(value) if isinstance(value, str) else value for name, value in row.items()}
    return tuple(encodable(value) if isinstance(value, str) else value for value in row)
