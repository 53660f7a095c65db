"""The table fits a terminal and cuts nothing; its caption names what did not converge and what was skipped."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from landscape.results import Estimate, PointValue, SpectralGap
from landscape.store import ResultStore, load_results
from landscape.tables import Cell, caption_lines, final_rows, rows, write_tables
from tests.support.synthetic_results import eigenpairs, make_results, sharpness, tail_records
from tests.support.tables import one_run, printed


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits_the_terminal_and_cuts_nothing(results, width):
    lines = printed(results, width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    if width >= 100:
        for run in results.runs:
            assert sum(line.split()[:1] == [run.name] for line in lines) == 1


@pytest.mark.parametrize("relative", [3e-5, 3e-4, 3e-3])
@pytest.mark.parametrize("decade", [-7, -5, -3, 0, 3, 6])
def test_a_table_of_wide_numbers_with_wide_errors_loses_digits_and_no_column(tmp_path, decade, relative):
    big = 1.23456789 * 10.0**decade
    generator = np.random.default_rng(0)
    made = eigenpairs(generator, big, which="both", k=2, converged=False)
    records = {
        "point": PointValue(loss=0.1234567 * big, grad_norm=0.0123456 * big, param_norm=1.0),
        "eigenpairs": dataclasses.replace(made, residuals=relative * abs(made.values)),
        "gap": SpectralGap(Estimate(big, bound=3e-4 * big), Estimate(123.456789, bound=0.123)),
        "trace": Estimate(-37 * big, sem=0.01 * big),
        **sharpness(generator, big, False),
    }
    read = one_run(tmp_path, records, run="momentum-lr0.1-s0")
    lines = printed(read, 80)
    assert "…" not in "".join(lines)
    assert sum("sharp." in line for line in lines[:4]) == 1
    shown = next(line for line in lines if line.startswith(" momentum")).replace(" *", "").split()
    row = final_rows(read)[0]
    measures = ("train_loss", "grad_norm", "lambda_max", "spectral_ratio", "trace", "lambda_min", "sharpness_worst")
    assert [float(text) for text in shown[2:]] == pytest.approx([row[name] for name in measures], rel=0.05)


def test_the_table_shows_values_over_errors_and_marks_what_did_not_converge(results):
    lines = printed(results, 100)
    row = final_rows(results)[0]
    at = next(i for i, line in enumerate(lines) if line.split()[:1] == ["adam-s0"])
    assert f"{100 * row['test_accuracy']:.1f}" in lines[at]
    shown = float(lines[at].split()[4])
    assert abs(shown - row["lambda_max"]) <= row["lambda_max_residual"]
    records = results.runs[0].last.records
    eigs, ratio, tr = records["eigenpairs"], records["gap"].ratio, records["trace"]
    pairs = [(eigs.values[0], eigs.residuals[0]), (ratio.value, ratio.error), (tr.value, tr.sem)]
    pairs.append((eigs.values[-1], eigs.residuals[-1]))
    showing = [error >= 0.5 * 10.0 ** (np.floor(np.log10(abs(value))) - 3) for value, error in pairs]  # of four digits
    assert lines[at + 1].count("±") == sum(showing) > 0
    starred = [line for line in lines if re.search(r"\d \*", line)]
    assert [line.split()[0] for line in starred] == ["sgd-s1"]
    assert starred[0].count("*") == 2


def test_the_caption_names_what_did_not_converge_and_what_was_skipped(results, tmp_path):
    text = "\n".join(caption_lines(results))
    assert "not converged: sgd-s1 step 1344: eigenpairs, sharpness_worst" in text
    assert "skipped: sgd-s1/step_00001312.h5: truncated" in text
    assert "step 1344" in text
    clean = load_results(make_results(tmp_path, optimizers=("gd",), vectors=False, all_converged=True, skipped=False))
    assert "converged" not in "\n".join(caption_lines(clean))
    assert "skipped" not in "\n".join(caption_lines(clean))


def test_a_run_named_like_markup_is_printed_as_it_is_named(tmp_path):
    read = one_run(tmp_path, {"trace": Estimate(1.0)}, run="[red]a[/red]")
    assert any("[red]a[/red]" in line for line in printed(read, 120))


def test_empty_results_say_that_nothing_was_analysed(tmp_path):
    with ResultStore(tmp_path) as store:
        store.describe({"skipped": [{"file": "a.h5", "reason": "foreign"}]})
    read = load_results(tmp_path)
    text = "\n".join(printed(read, 80))
    assert "nothing was analysed" in text
    assert "a.h5: foreign" in text
    assert rows(read) == final_rows(read) == []
    assert all(path.exists() for path in write_tables(read, tmp_path))


def test_a_gap_without_eigenpairs_still_has_its_cell(tmp_path):
    gap = tail_records(np.random.default_rng(0), 10.0)["gap"]
    read = one_run(tmp_path, {"gap": gap})
    ratio = str(gap.ratio).split(" ± ")[0]  # type: ignore[attr-defined]
    assert any(ratio in line and "—" in line for line in printed(read, 100))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-0.00193024 ± 0.00000055", "-0.0019302"),
        ("-0.0099631 ± 0.0000032", "-0.0099631"),
        ("123456.789 ± 0.012", "123456.789"),
        ("1234567.8912 ± 0.0012", "1234567.89"),
        ("(1.2 ± 0.1)e-6", "1.2e-6"),
        ("12345678901", "12345678901"),
    ],
)
def test_a_number_wider_than_its_column_loses_decimals_and_not_its_column(text, value):
    assert Cell(text).narrow().split("\n")[0].split(" ")[0] == value


def test_a_trace_that_its_error_swallows_is_said_to_be_not_resolved_and_the_caption_says_how(tmp_path):
    generator = np.random.default_rng(0)
    samples = np.array([-50.0, 60.0, -40.0, 46.0])
    records = {
        **tail_records(generator, 10.0),
        "trace": Estimate(4.0, sem=float(samples.std(ddof=1) / 2), samples=samples, method="hutchinson"),
    }
    read = one_run(tmp_path, records)
    lines = printed(read, 80)
    assert any("n.r." in line for line in lines)
    assert any(line.startswith("n.r.: not resolved") for line in caption_lines(read))
    clear = one_run(tmp_path / "clear", records | {"trace": Estimate(4.0, sem=0.01, samples=samples)})
    assert not any("n.r." in line for line in [*printed(clear, 80), *caption_lines(clear)])
