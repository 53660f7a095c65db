"""One run in full: every record with its error, and whether its slices agree with its derivatives."""

from __future__ import annotations

from math import isfinite
from typing import Any

from landscape.results import (
    Crosscheck,
    Eigenpairs,
    Estimate,
    LineSlice,
    PlaneSlice,
    SamplingSpread,
    SecondOrderGain,
    Sharpness,
    SpectralMeasure,
)
from landscape.results.interpolated import evaluation_words
from landscape.results.resolution import resolved, towards_zero
from landscape.rounding import format_brief, format_measured, format_resolved, format_value, is_resolved
from landscape.store import RunResults
from landscape.store.catalogue import MEASURES


def run_details(run: RunResults) -> dict[str, Any]:
    """Name, setting, and (label, text, warning) rows of the last checkpoint."""
    if not run.checkpoints:
        return {"name": run.name or "run", "setting": "nothing measured", "rows": []}
    last = run.last
    rows: list[tuple[str, str, bool]] = []
    for name, record in last.records.items():
        rows += _rows_of(name, record, failed=name in last.not_converged)
    setting = [f"step {last.step}", *(f"{k} {v}" for k, v in _setting(run) if v is not None)]
    spent = list(last.provenance.values())
    seconds, matvecs = (sum(float(p.get(k) or 0) for p in spent) for k in ("seconds", "matvecs"))
    rows.append(("cost", f"{format_value(seconds, digits=3)} s, {int(matvecs)} matvecs at this checkpoint", False))
    return {"name": run.name or "run", "setting": ", ".join(setting), "rows": rows}


def disagreements(run: RunResults) -> list[str]:
    """The slices of the last checkpoint whose loss bends otherwise at the centre than its derivatives say."""
    if not run.checkpoints:
        return []
    found = []
    for name, record in run.last.records.items():
        if isinstance(record, PlaneSlice) and not record.curvature_agrees:
            found.append(name.replace("_", " "))
        # An interpolation has no centre.
        if isinstance(record, LineSlice) and record.kind != "interpolation" and not record.curvature_agrees:
            by = 100 * abs(record.curvature_slice / record.curvature - 1) if record.curvature else float("inf")
            size = f" (by {format_value(by, digits=2)} %)" if isfinite(by) else ""
            found.append((record.direction or name.replace("_", " ")) + size)
    return found


def _setting(run: RunResults) -> list[tuple[str, Any]]:
    config = run.config
    return [("optimizer", run.optimizer), ("lr", run.info.get("lr", config.get("lr"))), ("seed", run.seed),
            ("batch size", config.get("batch_size")), ("schedule", config.get("schedule"))]  # fmt: skip


def _rows_of(name: str, record: Any, *, failed: bool) -> list[tuple[str, str, bool]]:
    label = name.replace("_", " ")
    if isinstance(record, Eigenpairs):
        pairs = zip(record.values, record.bounds, record.converged, strict=True)
        values = ";  ".join(format_brief(v, r, digits=7) + ("" if ok else " (not converged)") for v, r, ok in pairs)
        if record.upper_bound is not None and record.upper_bound[1] < 1:
            bound, confidence = record.upper_bound
            values += (
                f"; the largest is at most {format_value(bound, digits=7)} with probability {100 * confidence:g} %"
            )
        return [("eigenvalues", f"{values}. {record.num_matvecs} matvecs, {record.reason}", failed)]
    if isinstance(record, SpectralMeasure):
        negative = resolved(record.negative_mass(), most=1.0, scale=100.0, unit=" %")
        rank = resolved(record.effective_rank(), most=float(record.dim))
        known = f", {record.num_known} eigenvalues taken out exactly" if record.num_known else ""
        how = f"{len(record.nodes)} probes × {record.num_steps} steps{known}"
        text = (
            f"mean eigenvalue {record.moment(1)}; with 95 % intervals, weight below zero {negative} and effective rank "
            f"{rank}; {f'all {record.dim} eigenvalues are known' if record.is_exact else how}"
        )
        return [("density", text, failed)]
    if isinstance(record, SecondOrderGain):
        each = "; ".join(
            f"δ = {d} λ₁: {descent}, over conjugate gradients {cg}" for d, descent, cg in record.by_damping
        )
        return [(label, f"at equal cost, {record.num_steps} products, over gradient descent, {each}", failed)]
    if isinstance(record, Estimate):
        interval = ""
        if record.sem is not None:
            interval = "; 95 % interval " + " … ".join(format_value(x, digits=3) for x in record.interval())
        measure, reach = MEASURES.get(name), towards_zero(record)
        number = format_measured(record.value, record.error)
        if measure is not None and measure.is_positive and reach is not None and not is_resolved(record.value, reach):
            number = format_resolved(record.value, reach)
        return [(label, f"{number}{interval}; {record.method}", failed)]
    if isinstance(record, LineSlice):
        said = f"dᵀHd = {format_value(record.curvature)}, from the slice "
        said += format_measured(record.curvature_slice, record.curvature_error)
        said += f": {_verdict(record)}{_evaluated(record)}"
        return [(f"slice: {record.direction or label}", said, not record.curvature_agrees)]
    if isinstance(record, PlaneSlice):
        size = f"{len(record.y)} × {len(record.x)} points, {', '.join(record.directions)}"
        said = f"{size}{_evaluated(record)}; centre curvature: {_verdict(record)}"
        return [(label, said, not record.curvature_agrees)]
    if isinstance(record, Sharpness):
        mark = "≥ " if record.kind == "lower bound" else ""
        text = f"{mark}{format_measured(record.value, record.error)} ({record.kind}, ρ = {format_value(record.rho)}; "
        return [(label, f"{text}{record.reference})", failed)]
    if isinstance(record, Crosscheck):
        return [("beside other tools", record.summary(), not record.stands)]
    if isinstance(record, SamplingSpread):
        measure = MEASURES.get(name.removeprefix("sampling_"))
        of = label if measure is None else measure.heading or measure.words
        shift = format_measured(record.shift, record.sem_of_subset)
        text = (
            f"{format_measured(record.full, record.error)} from the choice of examples, by {len(record.values)} "
            f"disjoint parts of {record.subset_size}; on these it is larger by {shift}"
        )
        return [(f"{of}, other data", text, failed)]
    return [(label, "; ".join(f"{a} {b}".strip() for a, b in record._lines()), failed)]


def _evaluated(record: LineSlice | PlaneSlice) -> str:
    """From how many evaluations, with which error; empty where every point was evaluated, as was asked."""
    return "".join(f"; {words}" for words in (evaluation_words(record), record.reason) if words)


def _verdict(record: LineSlice | PlaneSlice) -> str:
    return "agrees" if record.curvature_agrees else "DISAGREES: the loss bends otherwise than its derivatives say"
