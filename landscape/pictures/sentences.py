"""One sentence on a picture: what it is of, how far it goes, how exact it is."""

from __future__ import annotations

from landscape.results import PathSlice, PlaneSlice
from landscape.results.batch_statistics import sentences as statistics_sentences
from landscape.results.interpolated import evaluation_words
from landscape.results.metrics import error_words, extent
from landscape.results.planes import baseline_of
from landscape.results.reach import reach_words
from landscape.rounding import format_value

_MARKS = " A ring is the first position, a dot the last; dashed, the loss of the plane where the path is drawn."


def sentence(record: PlaneSlice | PathSlice) -> str:
    """Without a full stop."""
    said = [_paths(record) if isinstance(record, PathSlice) else _plane(record)]
    said.append(evaluation_words(record) or f"the network was evaluated at all {record.loss.size:,} points")
    if record.reason and not evaluation_words(record):
        said[-1] += f" ({record.reason.removeprefix('every point was evaluated: ')})"
    said += [f"{name}{error_words(error).removeprefix(',')}" for name, error in record.metric_errors.items() if error]
    return "; ".join(said)


def caption(record: PlaneSlice | PathSlice) -> str:
    """The same as complete sentences, with what running statistics are."""
    first = sentence(record)
    marks = _MARKS if isinstance(record, PathSlice) else ""
    statistics = statistics_sentences([record.batch_statistics], of="planes")
    return f"{first[0].upper()}{first[1:]}.{marks}{statistics}"


def _plane(plane: PlaneSlice) -> str:
    what = "loss" if plane.split == "train" else "test loss"
    chosen = f", {plane.radius_words}" if plane.radius_words else ""
    said = f"{what} {extent(plane.loss)} within {reach_words(plane)}{chosen}"
    if plane.mark_names:
        marks = zip(plane.mark_names, plane.mark_losses.tolist(), strict=True)
        said += "; exactly, " + ", ".join(f"{name} {format_value(loss)}" for name, loss in marks)
    return said


def _paths(found: PathSlice) -> str:
    count = len(found.points)
    if len(found.walks):
        mean, low, high = (100 * share for share in baseline_of(found.walks))
        held = (
            f"the plane holds {100 * found.explained:.1f} % of the variance of {count} positions, and of random walks "
            f"with their steps {mean:.1f} % ({low:.1f} … {high:.1f})"
        )
    else:
        held = f"{count} positions on the two parameters"
    if found.outside.any():
        held += f"; positions are up to {format_value(float(found.outside.max()), digits=3)} off it"
    return f"{held}; loss {extent(found.loss)}"
