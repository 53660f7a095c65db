"""Every figure that a set of results allows, with titles and captions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from landscape.comparison import EQUAL, EqualLoss, at_equal_loss, contrasts
from landscape.escaping.filenames import file_words
from landscape.plots.against_loss import loss_curves
from landscape.plots.along_figures import last_iterations_figure, noise_figure, stability_figure, training_figures
from landscape.plots.arrays import ResultsLike, RunLike, by_label, group_word, last_record, with_checkpoints
from landscape.plots.captions import write_captions
from landscape.plots.comparison import class_accuracy, summaries
from landscape.plots.confusion import confusions
from landscape.plots.drawing import Drawing, count_words, drawn, join_words, seeds_words
from landscape.plots.files import FigureFile, save
from landscape.plots.forest import drawn_pairs, forest_figure
from landscape.plots.paper_styles import column_width
from landscape.plots.recipes import against_loss, confusion, differences, spectrum, summary
from landscape.plots.recipes import class_accuracy as class_accuracy_recipe
from landscape.plots.script import write_script
from landscape.plots.slice_figures import interpolation_figure, line_figures, plane_figures
from landscape.plots.style import house_style
from landscape.results import Eigenpairs, SpectralMeasure
from landscape.rounding import format_value
from landscape.store import Results
from landscape.store.catalogue import IN_CONTRASTS, IN_SUMMARY, MEASURES
from landscape.store.metrics import COMPARED, class_accuracies, read_metric
from landscape.store.scope import scope_lines


def draw_all(results: ResultsLike, folder: Path | str) -> list[FigureFile]:
    """Draw and save every figure that the results allow; a figure without its records is absent.

    Beside them stand ``captions.md`` and ``captions.tex``, all captions as text and as LaTeX, and ``figures.py``, which
    draws each figure again from ``results.h5``: to be changed. Within a :func:`paper_style` all have its widths.

    Parameters
    ----------
    results : Results
        As ``load_results`` returns them.
    folder : path
        Receives ``name.pdf`` and ``name.png`` of each figure.

    Returns
    -------
    list of FigureFile
        In the order in which a reader wants them: comparison first.
    """
    folder = Path(folder)
    files = []
    with house_style():
        for drawing in drawings(results):
            is_wide = drawing.figure.get_figwidth() > column_width() + 0.1
            pdf, png = save(drawing.figure, folder, drawing.name)
            recipe, arguments = drawing.recipe, drawing.arguments
            files.append(FigureFile(drawing.name, drawing.title, drawing.caption, pdf, png, is_wide, recipe, arguments))
    write_captions(files, folder)
    if isinstance(results, Results):
        write_script(files, folder, results.path)
    return files


def drawings(results: ResultsLike, kinds: Collection[str] | None = None) -> Iterator[Drawing]:
    """The figures one after the other, so that only one is in memory.

    Parameters
    ----------
    kinds : collection of str, optional
        Of ``against_loss``, ``summary``, ``differences``, ``tails``, ``training``, ``stability``, ``noise``,
        ``spectra``, ``lines``, ``planes``, ``interpolation``, ``classes``, ``confusion``: only figures of these are
        drawn. Left out: all.
    """
    results = with_checkpoints(results)
    # Generators: nothing is drawn before it is asked for.
    by_kind = {
        "against_loss": _against_loss(results),
        "summary": _summary(results),
        "differences": _differences(results),
        "tails": last_iterations_figure(results),
        "training": training_figures(results),
        "stability": stability_figure(results),
        "noise": noise_figure(results),
        "spectra": _spectra(results),
        "lines": line_figures(results),
        "planes": plane_figures(results),
        "interpolation": interpolation_figure(results),
        "classes": _classes(results),
        "confusion": _confusion(results),
    }
    for kind, figures in by_kind.items():
        if kinds is None or kind in kinds:
            yield from figures


def _against_loss(results: ResultsLike) -> Iterator[Drawing]:
    """Where runs were measured at several losses: the comparison at equal loss, as a picture."""
    found, runs = None, results.runs
    if isinstance(results, Results) and any(run.label is not None for run in runs):
        found = at_equal_loss(results, measures=("lambda_max",))
    is_read = found is not None and bool(found.levels)
    if not loss_curves(runs, "lambda_max", least=1.0 if is_read else EQUAL):
        return
    if found is not None and found.levels:
        where = (
            "Thick: geometric means over seeds where all stand at one training loss, each run read on a straight line "
            "between the two checkpoints around it; bands are 95 % intervals by Student's t. The dashed line is at "
            f"{found.level:.3g}, the lowest loss that most runs reach: there groups are compared. "
        )
    else:
        where = "No training loss is passed by enough runs of two groups for them to be compared there. "
    yield drawn(
        results,
        against_loss,
        name="against_loss",
        title="Curvature against training loss",
        caption=f"{where}Thin: single runs at their measured checkpoints ({seeds_words(by_label(runs).values())}). "
        "Read upwards, at one loss: along a line most of the change is that of the loss.",
        measure="lambda_max",
        levels=is_read,
    )


def _summary(results: ResultsLike) -> Iterator[Drawing]:
    runs = results.runs
    present = [key for key in IN_SUMMARY if summaries(runs, key)]
    if not present:
        return
    groups = by_label(runs)
    few = max(len(group) for group in groups.values()) < 2
    interval = (
        "One seed gives no interval"
        if few
        else "The bar is the 95 % interval of the mean by Student's t, with an arrow where it leaves the panel; with "
        "few seeds it is wide. Means and intervals of positive measures are of their logarithms"
    )
    yield drawn(
        results,
        summary,
        name="summary",
        title=f"Flatness and accuracy by {group_word(runs)}",
        caption=f"Each dot is one run at its last checkpoint ({seeds_words(groups.values())}), with the error of its "
        f"own measurement; the diamond is the mean over seeds. {interval}. Worst-case rises are lower bounds: ascent "
        f"may miss the maximum. Open dots did not converge.{_scope_sentences(runs, present)}",
        measures=present,
    )


def _scope_sentences(runs: Sequence[RunLike], keys: Collection[str]) -> str:
    """Which examples the numbers are of, and which of them training saved; nothing where that goes without saying."""
    lines = scope_lines(runs)
    saved = [
        MEASURES[key].words
        for key in COMPARED
        if key in keys and any(read_metric(run.checkpoints[-1], key).is_saved for run in runs)
    ]
    lines += (
        [f"{join_words(saved)} as training saved {'them' if len(saved) > 1 else 'it'}, not measured"] if saved else []
    )
    return "".join(f" {line[0].upper()}{line[1:]}." for line in lines)


def _differences(results: ResultsLike) -> Iterator[Drawing]:
    """Where groups have replicates: which differences stand out of the spread over seeds, at one loss if it can be."""
    groups = by_label(results.runs)
    if not isinstance(results, Results) or len(groups) < 2 or max(map(len, groups.values())) < 2:
        return
    found = at_equal_loss(results)
    for drawing in draw_differences(found if found.levels else contrasts(results, by="label")):
        yield replace(drawing, recipe=differences, arguments={"equal_loss": bool(found.levels)})


def draw_differences(found: pd.DataFrame | EqualLoss) -> Iterator[Drawing]:
    """The forest of differences between groups, at one loss or at the ends; nothing where none has an effect.

    Parameters
    ----------
    found : EqualLoss or DataFrame
        Groups at one training loss, or what :func:`landscape.comparison.contrasts` found at the ends.
    """
    at = "where training stopped"
    if isinstance(found, EqualLoss):
        at, found = f"at a training loss of {format_value(found.level, digits=3)}", found.contrasts
    figure = forest_figure(found)
    if figure is None:
        return
    shown = found[found["measure"].isin(IN_CONTRASTS)]
    left_out = ""
    if any(len(drawn_pairs(found, measure)) < (found["measure"] == measure).sum() for measure in IN_CONTRASTS):
        left_out = " Of the pairs, those with the first group are drawn; contrasts.csv of a study has all."
    paired = "Seeds are paired where both groups have them" if shown["paired"].any() else "Seeds are not paired"
    yield Drawing(
        "differences",
        f"Differences {at}, against the spread over seeds",
        f"{at[0].upper()}{at[1:]}: Hedges’ g, the difference of two means in standard deviations, of positive measures "
        "that of their logarithms, with 95 % intervals that hold for all pairs of one measure together; right of zero "
        f"the first group has the larger value. {paired}. Filled: below 0.05 by a permutation test, adjusted (Holm) "
        "over those pairs, with which the intervals agree; with these seeds the adjusted p cannot "
        f"fall below {float(shown['smallest_p_holm'].max()):.2g}. Intervals that leave the panel end in an arrow."
        f"{left_out}",
        figure,
    )


def _spectra(results: ResultsLike) -> Iterator[Drawing]:
    """One figure per group, a panel per seed, so that seeds share their axes."""
    groups = by_label(results.runs)
    words = file_words(groups)
    for name, group in groups.items():
        found = [
            (run, last_record(run, "density", SpectralMeasure), last_record(run, "eigenpairs", Eigenpairs))
            for run in group
        ]
        found = [(run, measure, pairs) for run, measure, pairs in found if measure or pairs]
        if found:
            yield drawn(
                results,
                spectrum,
                name=f"spectrum_{words[name]}",
                title=f"Hessian spectrum, {name}",
                caption=_spectrum_caption(found, name),
                group=name,
                names=[run.name for run, _, _ in found],
            )


def _spectrum_caption(found: list[tuple[RunLike, SpectralMeasure | None, Eigenpairs | None]], name: str) -> str:
    runs, measures, pairs = zip(*found, strict=True)
    density = next((m for m in measures if m is not None), None)
    parts = [f"Hessian spectrum at the last checkpoint of {count_words(len(runs), 'run')} with {name}."]
    if density is not None:
        probes, steps = len(density.nodes), density.num_steps
        how = f"by stochastic Lanczos quadrature ({probes} probes × {steps} steps)"
        if density.is_exact:
            how = "each of them known"
        parts.append(
            f"The curve is the density of all {density.dim:,} eigenvalues, {how}, smoothed by a Gaussian of the "
            "bandwidth given; it is cut where it falls below "
            "the height of one eigenvalue, because what would be left is the tail of the Gaussian."
        )
    if any(p is not None for p in pairs):
        parts.append(
            "Sticks below are single eigenvalues from both ends; the bar at the head is the residual ‖Hu − λu‖, within "
            "which an eigenvalue lies, often narrower than the dot. Open heads did not converge."
        )
    return " ".join(parts)


def _classes(results: ResultsLike) -> Iterator[Drawing]:
    runs = results.runs
    found = class_accuracy(runs)
    if not found:
        return
    counts = sorted({accuracy.num_seeds for accuracy in found.values()})
    seeds = " to ".join(str(c) for c in counts)
    bars = "; bars reach from the lowest seed to the highest" if counts[-1] > 1 else ""
    is_saved = any(class_accuracies(run.checkpoints[-1])[1] == "saved" for run in runs)
    saved = " Accuracies are as training saved them, not measured." if is_saved else ""
    yield drawn(
        results,
        class_accuracy_recipe,
        name="class_accuracy",
        title="Test accuracy class by class",
        caption=f"Accuracy on the test examples of each class at the last checkpoint: mean over {seeds} "
        f"{'seed' if counts == [1] else 'seeds'} per {group_word(runs)}{bars}.{saved}",
    )


def _confusion(results: ResultsLike) -> Iterator[Drawing]:
    """A panel for each group, where the problem has classes."""
    found = confusions(results.runs)
    if not found:
        return
    counts = sorted({one.num_runs for one in found.values()})
    over = count_words(counts[0], "run") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs"
    yield drawn(
        results,
        confusion,
        name="confusion",
        title="Which class is taken for which",
        caption="Each row is a true class of the test data, each column what was predicted, at the last checkpoint: "
        f"the share of the row in per cent, over {over} of each {group_word(results.runs)}. Off the diagonal it is "
        "wrong; colours go by square roots of shares, so that rare errors are seen.",
    )
