"""Figures of trainings in a report: the last iterations, noise and top space, the edge of stability, all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from landscape.escaping.filenames import file_words
from landscape.plots.along import stability_tables
from landscape.plots.arrays import ResultsLike, RunLike, by_label
from landscape.plots.drawing import Drawing, count_words, drawn, join_words, seeds_words
from landscape.plots.every_step import FIRST, history_of_run
from landscape.plots.histories import WINDOWS
from landscape.plots.recipes import against_step, stability
from landscape.plots.recipes_of_training import along_training, every_step, training_of_group
from landscape.plots.tails import side_by_side, tail_of_run, tails_of_groups
from landscape.plots.training_curves import curve_of_run, curves_of_groups
from landscape.results import Distances
from landscape.store.catalogue import IN_ALONG, IN_TAIL, MEASURES, WHOLE_TRAINING
from landscape.store.levels import is_along
from landscape.store.metrics import ACCURACY, TRAIN_ACCURACY


def last_iterations_figure(results: ResultsLike) -> Iterator[Drawing]:
    """λ_max, gap and gradient over the last iterations."""
    more = _residual_sentence(results.runs)
    yield from _against_step(results, IN_TAIL, name="last_iterations", title="The last iterations", more=more)


def noise_figure(results: ResultsLike) -> Iterator[Drawing]:
    """Noise scale, and how much of gradient and update goes along the sharpest directions."""
    more = (
        " The noise scale is the batch size at which the noise of a batch’s gradient is about as long as the gradient; "
        "the top space is that of the two largest eigenvalues."
    )
    about: dict[str, Any] = {"name": "noise", "title": "Noise and the top space", "more": more}
    if any(is_along(run.info) for run in results.runs):
        yield from _over_training(results, IN_ALONG, **about)
    else:
        yield from _against_step(results, IN_ALONG, **about)


#: Subject of a figure of whole trainings → its title, and what its caption adds.
_SUBJECTS = {
    "loss": ("Loss and accuracy over the whole training", ""),
    "gradient": ("The gradient norm over the whole training", ""),
    "curvature": (
        "Curvature over the whole training",
        " Curvature over the threshold is λ_max, or what stands for it in the optimizer’s own units, over the value at "
        "which a quadratic becomes unstable for it, such as 2/η: at 1 it is at the edge of stability.",
    ),
    "distance": ("How far training has come", ""),
}


def training_figures(results: ResultsLike) -> Iterator[Drawing]:
    """Every step, where trainings saved it; and where runs were measured along their training, a figure for each
    subject with all groups, and one for each group."""
    yield from _steps_figure(results)
    runs = [run for run in results.runs if is_along(run.info)]
    if not runs:
        return
    for subject, measures in WHOLE_TRAINING.items():
        title, more = _SUBJECTS[subject]
        more += _ends_sentence(runs) if subject == "distance" else ""
        yield from _over_training(results, measures, name=f"training_{subject}", title=title, more=more)
    groups = by_label(runs)
    words = file_words(groups)
    for name, group in groups.items():
        if rows := _rows_of(group):
            yield drawn(
                results,
                training_of_group,
                name=f"training_of_{words[name]}",
                title=f"The whole training, {name}",
                caption=f"Measures of {count_words(len(group), 'run')} with {name} at checkpoints of the whole "
                f"training. {_how_drawn(group)}{_ends_sentence(group)} Open marks did not converge.",
                group=name,
                rows=rows,
            )


def _steps_figure(results: ResultsLike) -> Iterator[Drawing]:
    """What trainings saved at every step, where they did."""
    found = [history for run in results.runs if (history := history_of_run(run)) is not None and len(history) > 1]
    names = [name for name in FIRST if any(name in history.names for history in found)]
    if names:
        yield drawn(
            results,
            every_step,
            name="training_steps",
            title="Every step of the training",
            caption="As the training saved it at every step, for the batch of that step: nothing here was measured "
            f"again. Medians over seeds and windows of steps, of which there are at most {WINDOWS}; bands hold the "
            f"middle 80 % ({seeds_words(by_label(results.runs).values())}). What is not positive has no place on a "
            "logarithmic axis.",
            names=names,
        )


#: Panels of one group: title → measures on one axis; none stands for curvature beside its threshold.
_PANELS: dict[str, tuple[str, ...]] = {
    "Loss": ("train_loss", "test_loss"),
    "Accuracy": (TRAIN_ACCURACY, ACCURACY),
    "Gradient norm": ("grad_norm",),
    "Edge of stability": (),
    "Spectral ratio": ("spectral_ratio",),
    "Trace": ("trace",),
    "Distance": ("distance_from_start", "distance_from_end"),
    "In the top space": ("gradient_share", "update_share"),
    "Gradient noise scale": ("noise_scale",),
}


def _rows_of(group: Sequence[RunLike]) -> list[tuple[str, list[str]]]:
    """The panels for which a run of the group has more than one checkpoint."""
    found: list[tuple[str, list[str]]] = []
    for title, measures in _PANELS.items():
        present = [m for m in measures if any(curve_of_run(run, m).steps.size > 1 for run in group)]
        if present:
            found.append((title, present))
        elif not measures and any(len(stability_tables(run)) > 1 for run in group):
            found.append((title, []))
        elif not measures and any(curve_of_run(run, "lambda_max").steps.size > 1 for run in group):
            found.append(("Largest eigenvalue", ["lambda_max"]))
    return found


def _over_training(
    results: ResultsLike, quantities: Sequence[str], *, name: str, title: str, more: str
) -> Iterator[Drawing]:
    present = [key for key in quantities if any(curves_of_groups(results.runs, key).values())]
    if not present:
        return
    words = join_words([MEASURES[key].words for key in present])
    groups = by_label(results.runs)
    caption = (
        f"{words[0].upper()}{words[1:]} at the measured checkpoints of the whole training "
        f"({seeds_words(groups.values())}). {_how_drawn(results.runs)}{more}"
    )
    yield drawn(results, along_training, name=name, title=title, caption=caption, measures=present)


def _how_drawn(runs: Sequence[RunLike]) -> str:
    if max(len(group) for group in by_label(runs).values()) < 2:
        return "Each line is one run, straight between its checkpoints."
    return (
        "Thick lines are means over seeds (of positive values geometric ones), bands reach from the lowest seed to the "
        "highest, and thin lines are single runs; each run is read on straight lines between its checkpoints."
    )


def _ends_sentence(runs: Sequence[RunLike]) -> str:
    """From which step distances are counted, where that is not the beginning of the training."""
    found = [c.records.get("distances") for run in runs for c in run.checkpoints]
    starts = sorted({record.start_step for record in found if isinstance(record, Distances)})
    if not starts:
        return ""
    where = f"step {starts[0]:,}" if len(starts) == 1 else f"steps {starts[0]:,} to {starts[-1]:,}"
    first = "" if starts == [0] else f", not its beginning: the first checkpoints are of {where}"
    return f" Distances are of all parameters, ‖θ − θ₀‖ from the first checkpoint of a run{first}, and from its last."


def _against_step(
    results: ResultsLike, quantities: Sequence[str], *, name: str, title: str, more: str
) -> Iterator[Drawing]:
    tails = {key: tails_of_groups(results.runs, key) for key in quantities}
    present = [key for key, found in tails.items() if any(t.steps.size > 1 for group in found.values() for t in group)]
    if not present:
        return
    groups = by_label(results.runs)
    if any(side_by_side(found) is not None for found in tails.values()):
        sentence = "lines are means over seeds, dots single runs, upright lines reach from the lowest seed to the "
        sentence += "highest; at each step the groups stand side by side"
    elif max(len(group) for group in groups.values()) > 1:
        sentence = "thick lines are means over seeds, bands reach from the lowest seed to the highest, and thin lines "
        sentence += "are single runs"
    else:
        sentence = "each line is one run"
    caption = (
        f"{join_words([MEASURES[key].words for key in present]).capitalize()} at the measured checkpoints, against "
        f"the step counted from the end of training ({seeds_words(groups.values())}); {sentence}.{more}"
    )
    yield drawn(results, against_step, name=name, title=title, caption=caption, measures=present)


def _residual_sentence(runs: Sequence[RunLike]) -> str:
    """How small the residual of every largest eigenvalue is, in per cent of it."""
    found = [tail_of_run(run, "lambda_max") for run in runs]
    values, errors = (np.concatenate([getattr(t, name) for t in found] or [[]]) for name in ("values", "errors"))
    converged = np.concatenate([t.converged for t in found] or [np.empty(0, bool)])
    good = converged & (values != 0)
    if not good.any():
        return ""
    worst = 100 * float(np.max(errors[good] / np.abs(values[good])))
    open_ones = int((~converged).sum())
    rest = f" Open circles: {count_words(open_ones, 'eigenvalue')} not converged." if open_ones else ""
    return f" Residuals bound the error of each converged λ₁ to {worst:.2g} % of it or less.{rest}"


def stability_figure(results: ResultsLike) -> Iterator[Drawing]:
    """A panel for each group whose optimizer was held against the curvature at more than one checkpoint."""
    groups = {
        name: there
        for name, group in by_label(results.runs).items()
        if (there := [run for run in group if len(stability_tables(run)) > 1])
    }
    if not groups:
        return
    several = max(len(group) for group in groups.values()) > 1
    seeds = "Thick lines are geometric means over seeds, thin ones single runs. " if several else ""
    yield drawn(
        results,
        stability,
        name="stability",
        title="The edge of stability along training",
        caption="Curvature as each optimizer meets it, against the step, and dashed in the same colour where a "
        "quadratic with "
        "that curvature becomes unstable. λ_max, or λ_max(P⁻¹H) in the units of an optimizer with a preconditioner; "
        "critical sharpness 2/η_c, η_c the shortest step along the optimizer’s update that raises the loss, beside "
        f"2/η; batch sharpness, along the gradients of single batches. {seeds}Training is at the edge of stability "
        f"where a line meets its dashed one ({seeds_words(groups.values())}). What raises the loss at once, or is not "
        "positive, has no place on these axes; open marks did not converge.",
        groups={name: [run.name for run in group] for name, group in groups.items()},
    )
