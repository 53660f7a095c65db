"""A paragraph for a paper that says how every number was made, with its references."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from landscape.plots.drawing import join_words
from landscape.results import (
    Eigenpairs,
    Estimate,
    Evaluation,
    LineSlice,
    PlaneSlice,
    Record,
    SecondOrderGain,
    Sharpness,
    SpectralMeasure,
    Stability,
)
from landscape.results.batch_statistics import sentences
from landscape.results.interpolated import evaluation_sentence
from landscape.rounding import format_value
from landscape.store import Results, RunResults, final_rows
from landscape.store.catalogue import MEASURES, flatness
from landscape.store.citations import papers
from landscape.store.metrics import read_metric
from landscape.store.references import REFERENCES
from landscape.store.scope import option_lines


def methods(results: Results) -> tuple[str, list[str]]:
    """A paragraph that says how every number was made, with its numbered references."""
    runs = [run for run in results.runs if run.checkpoints]
    cited: list[str] = []

    def cite(*keys: str) -> str:
        for key in keys:
            if key not in cited:
                cited.append(key)
        return "[" + ", ".join(str(cited.index(key) + 1) for key in keys) + "]"

    records: dict[str, Record] = {}
    for run in runs:
        for name, record in run.last.records.items():
            records.setdefault(name, record)
    parts = [*_about_objective(runs, cite), *_about_spectrum(results, records, cite)]
    parts += _about_training(runs, cite)
    parts += _about_surface(results, records, cite)
    return " ".join(parts), [REFERENCES[key].text for key in cited]


def _about_objective(runs: list[RunResults], cite: Any) -> list[str]:
    texts = []
    for info in {str(sorted(_question(run).items())): _question(run) for run in runs}.values():
        texts.append(
            f"The objective is the mean {info['loss']} over {_examples(info)}, a function of "
            f"{info['num_parameters']:,} parameters, in {info['mode']} mode and {info['dtype']} ({info['problem']})."
        )
    texts += _about_test_data(runs)
    texts += [f"{line[0].upper()}{line[1:]}." for line in option_lines(runs)]
    return [*texts, f"Hessian-vector products are exact up to rounding {cite('pearlmutter')}."]


def _about_test_data(runs: list[RunResults]) -> list[str]:
    counts = {record.num_examples for run in runs if isinstance(record := run.last.records.get("test"), Evaluation)}
    texts = []
    if counts:
        sizes = join_words([f"{count:,}" for count in sorted(counts)])
        texts.append(f"Test loss and accuracy were measured on {sizes} test examples.")
    saved = any(read_metric(run.last, name).is_saved for run in runs for name in ("test_loss", "test_accuracy"))
    return [*texts, "Those marked † are as training saved them."] if saved else texts


def _question(run: RunResults) -> dict[str, Any]:
    found = {key: run.info.get(key) or "unknown" for key in ("loss", "num_examples", "mode", "dtype", "problem")}
    found["loss"] = str(found["loss"]).replace("_", " ")
    return {**found, **{key: int(run.info.get(key) or 0) for key in ("num_parameters", "of_examples")}}


def _examples(info: dict[str, Any]) -> str:
    count, whole = info["num_examples"], info["of_examples"]
    if isinstance(count, int) and count < whole:
        return f"{count:,} of {whole:,} training examples, drawn at random"
    return f"{count} training examples"


def _about_spectrum(results: Results, records: dict[str, Record], cite: Any) -> list[str]:
    plan, texts = results.info.get("plan") or {}, []
    eigs, tr, density = (records.get(name) for name in ("eigenpairs", "trace", "density"))
    if isinstance(eigs, Eigenpairs):
        others = "" if eigs.negative_tol in (None, eigs.tol) else f" ({format_value(eigs.negative_tol)} below zero)"
        texts.append(
            f"Eigenpairs were computed by thick-restart Lanczos with full reorthogonalisation {cite('wu')} to a "
            f"relative residual of {format_value(eigs.tol)}{others}; the residual printed, from a product of its own, "
            "bounds the distance to an eigenvalue."
        )
    if isinstance(tr, Estimate) and not tr.method.startswith("exact"):
        rest = "; the eigenpairs found are taken out exactly" if isinstance(eigs, Eigenpairs) else ""
        texts.append(
            f"The trace is Hutchinson's estimate {cite('hutchinson')} from {tr.samples.size} sign vectors{rest}. Its "
            "error is one standard error."
        )
    if isinstance(density, SpectralMeasure) and density.is_exact:
        texts.append(
            "Where the parameters are few the Hessian is formed, once, by products with unit vectors, and all its "
            "eigenvalues are computed: spectra, traces and densities then have no error but rounding."
        )
    elif isinstance(density, SpectralMeasure):
        probes, steps = len(density.nodes), density.num_steps
        texts.append(
            f"Spectral densities are by stochastic Lanczos quadrature {cite('ubaru', 'ghorbani')} with {probes} probes "
            f"and {steps} steps{' beside the eigenpairs found' if density.num_known else ''}."
        )
    gain = records.get("second_order_gain")
    if isinstance(gain, Estimate):
        steps = gain.num_steps if isinstance(gain, SecondOrderGain) else 1
        against = f"{steps} steps, which cost as many products," if steps > 1 else "one step"
        texts.append(
            f"The second-order gain is the decrease of the quadratic model by a damped Newton step −(H + δI)⁻¹g over "
            f"that by {against} of 1/λ₁ along its gradients, δ = 0.01 λ₁ or −2λ_min where that is more, between bounds "
            f"by Gauss and Gauss–Radau quadrature {cite('golub')}."
        )
    texts += _about_accuracy(results)
    return [*texts, f"All random vectors derive from seed {plan.get('seed', 0)}."] if texts else []


def _about_accuracy(results: Results) -> list[str]:
    """To which accuracy the numbers of the last checkpoints were measured, where they were asked for one."""
    reached: dict[str, float] = {}
    for run in results.runs:
        for name, how in (run.checkpoints[-1].provenance if run.checkpoints else {}).items():
            asked = how.get("asked")
            if isinstance(asked, dict) and name in MEASURES and isinstance(asked.get("accuracy"), float):
                far = asked.get("reached")
                worst = max(asked["accuracy"], far if isinstance(far, float) and np.isfinite(far) else 0.0)
                reached[name] = max(reached.get(name, 0.0), worst)
    texts = []
    for share in sorted({*reached.values()}):
        words = join_words([MEASURES[name].words for name in reached if reached[name] == share])
        texts.append(f"{words} {format_value(100 * share, digits=2)} % (95 %)")
    return [f"Measured to: {'; '.join(texts)}."] if texts else []


def _about_training(runs: list[RunResults], cite: Any) -> list[str]:
    """Of noise, top space and the edge of stability, which are measured all along."""
    texts, ends = [], [run.last.records for run in runs]
    if any("noise_scale" in records for records in ends):
        texts.append(f"The gradient noise scale is tr Σ/‖g‖², Σ the covariance over examples {cite('mccandlish')}.")
    if any("gradient_share" in records for records in ends):
        texts.append(
            f"Shares in the top space are of squared length, in the span of two eigenvectors {cite('gurari')}."
        )
    tables = [table for records in ends if isinstance(table := records.get("stability"), Stability) and len(table)]
    if keys := dict.fromkeys(key for table in tables for key in papers(table) if key in REFERENCES):
        texts.append(
            "How near training is to the edge of stability was measured with the state of its optimizer, against the "
            f"thresholds of a quadratic of this curvature {cite(*keys)}."
        )
    return texts


def _about_surface(results: Results, records: dict[str, Record], cite: Any) -> list[str]:
    texts = []
    if any(name.startswith("line_random") or name == "plane" for name in records):
        texts.append(
            f"Random directions are Gaussian and filter-normalised, biases left fixed {cite('li')}; the curvature at "
            f"the centre of each slice was checked against Hessian-vector products.{_evaluated(records.values())}"
            f"{_statistics(records.values())}"
        )
    balls = {name: r for name, r in records.items() if isinstance(r, Sharpness)}
    parts = [
        f"{measure.definition.format(rho=format_value(balls[key].rho))} {cite(measure.reference)}"
        for key, measure in MEASURES.items()
        if key in balls and measure.definition
    ]
    if parts:
        texts.append(f"Sharpness is {'; '.join(parts)}.{_invariance(set(balls), cite)}")
    if results.pairs:
        texts.append(
            f"Barriers are the largest excess of the loss over the chord on the straight line between two minima "
            f"{cite('frankle')}, over {len(results.pairs[0].record.t)} points, without permuting neurons."
            f"{_statistics([pair.record for pair in results.pairs])}"
        )
    seeds = sorted({run.seed for run in results.runs if run.seed is not None})
    if final_rows(results) and len(seeds) > 1:
        texts.append(
            f"Intervals over {len(seeds)} seeds are Student's t at 95 %, uncorrected for multiple comparisons."
        )
    return texts


def _invariance(measured: set[str], cite: Any) -> str:
    """What each of these measures of sharpness does not see."""
    logits = [key for key in flatness(invariant_to_logits=True) if key in measured]
    layers = [key for key in flatness(invariant_to_layers=True) if key in measured and key not in logits]
    said = ""
    if logits:
        said += (
            " Normalised logits are those of each example less their mean over the classes, divided by their 2-norm "
            f"{cite('andriushchenko')}."
        )
    if layers or logits:
        names = join_words([MEASURES[key].words for key in (*layers, *logits)])
        said += f" Invariant to rescaling of the layers of a ReLU network into an equal one {cite('dinh')}: {names}."
    if layers and logits:
        moved, free = (join_words([MEASURES[key].words for key in keys]) for keys in (layers, logits))
        said += f" The scale of the logits moves {moved}; it does not move {free}."
    return said


def _evaluated(records: Iterable[Record]) -> str:
    """From how many evaluations these slices are, in a sentence; empty where every point was evaluated."""
    return evaluation_sentence([record for record in records if isinstance(record, (LineSlice, PlaneSlice))])


def _statistics(records: Iterable[Record]) -> str:
    """What running statistics are on these lines, in a sentence; empty where no model has any."""
    slices = [record for record in records if isinstance(record, (LineSlice, PlaneSlice))]
    return sentences([one.batch_statistics for one in slices], of="slices")
