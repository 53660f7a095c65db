"""Figures of whole trainings in a report: the last iterations, noise and top space, the edge of stability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from landscape.plots.along import stability_tables
from landscape.plots.arrays import ResultsLike, RunLike, by_label
from landscape.plots.drawing import Drawing, count_words, drawn, join_words, seeds_words
from landscape.plots.recipes import against_step, stability
from landscape.plots.tails import side_by_side, tail_of_run, tails_of_groups
from landscape.store.catalogue import IN_ALONG, IN_TAIL, MEASURES


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
    yield from _against_step(results, IN_ALONG, name="noise", title="Noise and the top space", more=more)


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
