"""What a page does not say: what a reader might take from its pictures, and should not."""

from __future__ import annotations

from collections import Counter

from landscape.comparison import FEW_SEEDS
from landscape.report.answer import ends_word
from landscape.results import LineSlice, PathSlice, PlaneSlice
from landscape.store import Results
from landscape.store.catalogue import MEASURES, read
from landscape.store.metrics import ACCURACY, read_metric
from landscape.store.stationarity import kinds_sentence


def caveats(results: Results) -> list[tuple[str, str]]:
    """A few words and a sentence for each that applies to these results."""
    runs = [run for run in results.runs if run.checkpoints]
    records = [record for run in runs for c in run.checkpoints for record in c.records.values()]
    found = []
    if ends_word(results) != "minima":
        found.append(("Not every end is a minimum.", kinds_sentence(run.last for run in runs)))
    found.append(("Nothing about generalization.", f"Flatter is not better on new data.{_accuracies(results)}"))
    if any(isinstance(record, PlaneSlice | PathSlice) for record in records):
        found.append(
            ("Depth is not curvature.", "On a log axis the depth of a bowl is its training loss; compare widths at "
             "equal height, or λ_max. Two directions of many are seen; what lies across the others is not.")
        )  # fmt: skip
    elif any(isinstance(record, LineSlice) for record in records):
        found.append(("A line is one direction.", "What lies across the others is not seen."))
    seeds = Counter(run.label for run in runs)
    if len(seeds) > 1 and max(seeds.values()) < 2:
        found.append(("One run each.", "There is no interval: another seed may end elsewhere."))
    elif len(seeds) > 1 and min(seeds.values()) < FEW_SEEDS:
        count = " to ".join(dict.fromkeys((str(min(seeds.values())), str(max(seeds.values())))))
        found.append(
            ("Few seeds.", f"Intervals are Student's t over {count} seeds, and wide for that reason; they are of all "
             "seeds, whichever are chosen above.")
        )  # fmt: skip
    if any(measure.is_bound and read(run.last, key) for run in runs for key, measure in MEASURES.items()):
        found.append(("Lower bounds.", "Worst-case rises come from ascent and may miss the maximum."))
    if any(measure.is_flatness and read(run.last, key) for run in runs for key, measure in MEASURES.items()):
        found.append(
            ("The same function can be sharper.", "λ_max, the trace and balls in θ change when layers are rescaled "
             "into an equal network; adaptive measures do not (Dinh et al. 2017).")
        )  # fmt: skip
    return found


def _accuracies(results: Results) -> str:
    """The range of test accuracies, where there are any."""
    values = [
        100 * metric.value
        for run in results.runs
        if run.checkpoints and (metric := read_metric(run.last, ACCURACY)).value is not None
    ]
    if not values:
        return ""
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return f" Test accuracy here is {low} %." if low == high else f" Test accuracy here is {low} to {high} %."
