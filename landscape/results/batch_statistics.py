"""How a slice treats running statistics, which are no part of θ and yet belong to one."""

from __future__ import annotations

from collections.abc import Sequence

#: In a record → what it means, for a line of text; a model without such layers has none of them.
WORDS = {
    "fixed": "held as the model has them",
    "recompute": "recomputed from the data at each point",
    "interpolate": "moved linearly from one end to the other",
    "train": "of all the data as one batch",
}
#: The same for the axis of a figure, where something beside θ moves.
BRIEFLY = {"recompute": "statistics recomputed", "interpolate": "buffers interpolated"}
_SENTENCES = {
    "fixed": "Running statistics and other buffers are held as the model has them.",
    "recompute": "Running statistics of normalisation layers are recomputed from the data at each point.",
    "interpolate": "Running statistics and other buffers move linearly from one end to the other.",
    "train": "Normalisation layers take their statistics from all the data as one batch.",
}


def sentences(kinds: Sequence[str], *, of: str) -> str:
    """What several slices did, in sentences with a space in front; empty where none has such layers.

    Parameters
    ----------
    kinds : sequence of str
        ``batch_statistics`` of each.
    of : str
        What they are, in the plural, for those that do not all agree.

    >>> sentences(["fixed", ""], of="lines")
    ' Running statistics and other buffers are held as the model has them (1 of 2 lines).'
    """
    text = ""
    for kind, sentence in _SENTENCES.items():
        count = list(kinds).count(kind)
        if count:
            part = "" if count == len(kinds) else f" ({count} of {len(kinds)} {of})"
            text += f" {sentence[:-1]}{part}."
    return text
