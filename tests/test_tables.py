"""Tables: rows of strict JSON, a table that fits a terminal, CSV in full precision, LaTeX that is well formed."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from landscape.errors import ResultsError
from landscape.escaping.latex import latex_number, latex_sentence, latex_table, latex_text
from landscape.results import Estimate, PointValue, SpectralGap
from landscape.store import Results, ResultStore, load_results
from landscape.tables import Cell, caption_lines, final_rows, rows, text_table, write_tables
from tests.support.hostile import NAMES
from tests.support.latex import needs_latex
from tests.support.synthetic_results import eigenpairs, make_results, sharpness, tail_records
from tests.support.tables import one_run

# As the design promises them to whoever reads --json.
PROMISED = [
    "run", "optimizer", "seed", "step", "train_loss", "test_loss", "test_accuracy", "grad_norm", "lambda_max",
    "lambda_max_residual", "lambda_min", "spectral_gap", "spectral_ratio", "trace", "trace_sem", "sharpness_worst",
    "sharpness_average", "sharpness_adaptive_worst", "sharpness_adaptive_average", "converged", "seconds", "matvecs",
    "second_order_gain", "num_examples", "of_examples", "num_test_examples", "train_loss_source", "test_loss_source",
    "test_accuracy_source", "warning",
]  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return load_results(make_results(tmp_path_factory.mktemp("results"), vectors=False))


def printed(results: Results, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(text_table(results))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


# --- rows --------------------------------------------------------------------------------------------------------


def test_rows_have_the_promised_columns_in_the_promised_order(results):
    for row in rows(results):
        assert list(row) == PROMISED


def test_there_is_a_row_per_run_and_analysed_checkpoint(results, tmp_path):
    assert [(r["run"], r["step"]) for r in rows(results)] == [
        (r.name, c.step) for r in results.runs for c in r.checkpoints
    ]
    assert [(r["run"], r["step"]) for r in final_rows(results)] == [(run.name, 1344) for run in results.runs]
    with ResultStore(tmp_path) as store:
        store.describe_checkpoint("a", 5, {"train_loss": 1.0})  # described, nothing measured
        store.write("a", 3, "trace", Estimate(1.0), {})
        store.describe_run("b", {})
    read = load_results(tmp_path)
    assert [(r["run"], r["step"]) for r in rows(read)] == [("a", 3)]
    assert [(r["run"], r["step"]) for r in final_rows(read)] == [("a", 3)]


def test_rows_hold_what_the_records_hold(results):
    run = results.runs[0]
    row, records = final_rows(results)[0], run.last.records
    assert (row["run"], row["optimizer"], row["seed"]) == ("adam-s0", "adam", 0)
    assert row["lambda_max"] == records["eigenpairs"].values[0]
    assert row["lambda_max_residual"] == records["eigenpairs"].residuals[0]
    assert row["lambda_min"] == records["eigenpairs"].values[-1] < 0
    assert (row["spectral_gap"], row["spectral_ratio"]) == (records["gap"].value, records["gap"].ratio.value)
    assert (row["trace"], row["trace_sem"]) == (records["trace"].value, records["trace"].sem)
    assert row["sharpness_adaptive_worst"] == records["sharpness_adaptive_worst"].value
    assert row["grad_norm"] == records["point"].grad_norm
    assert (row["train_loss"], row["test_accuracy"]) == (
        run.last.metrics["train_loss"],
        run.last.metrics["test_accuracy"],
    )
    assert row["matvecs"] == sum(p["matvecs"] for p in run.last.provenance.values())
    assert row["seconds"] == pytest.approx(sum(p["seconds"] for p in run.last.provenance.values()))


def test_missing_and_infinite_numbers_are_null_in_strict_json(tmp_path):
    nan, inf = float("nan"), float("inf")
    records = {
        "point": PointValue(nan, inf, 1.0),
        "gap": SpectralGap(Estimate(nan, bound=nan), Estimate(inf, bound=inf)),
        "trace": Estimate(-inf, sem=nan),
        "sharpness_worst": dataclasses.replace(
            sharpness(np.random.default_rng(0), 1.0, True)["sharpness_worst"], value=nan
        ),
    }
    read = one_run(tmp_path, records, metrics={"train_loss": nan, "test_loss": inf})
    (row,) = json.loads(json.dumps(rows(read), allow_nan=False))
    numbers = PROMISED[PROMISED.index("train_loss") : PROMISED.index("converged")]
    assert {row[name] for name in [*numbers, "second_order_gain", "test_loss_source", "warning"]} == {None}
    assert row["train_loss_source"] == "measured"
    assert "null" in json.dumps(rows(read), allow_nan=False)
    assert printed(read, 100)


def test_an_end_of_the_spectrum_that_was_not_looked_for_is_missing(tmp_path):
    rng = np.random.default_rng(0)
    both = eigenpairs(rng, 10.0, which="both", k=2)
    cases = {
        "both": (both, 10.0, both.values[-1]),
        "largest": (eigenpairs(rng, 10.0, which="largest", k=2), 10.0, None),
        "smallest": (dataclasses.replace(both, which="smallest"), None, both.values[-1]),
        "magnitude": (dataclasses.replace(both, which="magnitude"), 10.0, both.values[-1]),
        "above": (dataclasses.replace(both, which="magnitude", values=np.abs(both.values)), 10.0, None),
        "below": (dataclasses.replace(both, which="magnitude", values=-np.abs(both.values)), None, -10.0),
    }
    for name, (eigs, top, bottom) in cases.items():
        (tmp_path / name).mkdir()
        (row,) = rows(one_run(tmp_path / name, {"eigenpairs": eigs}))
        assert (row["lambda_max"], row["lambda_min"]) == (top, bottom), name


def test_a_row_is_converged_only_if_every_record_of_it_is(results):
    assert [r["converged"] for r in final_rows(results)] == [True] * 5 + [False]
    assert all(r["converged"] is True for r in rows(results) if r["step"] < 1344)


def test_loss_and_gradient_come_from_the_other_source_where_one_is_missing(tmp_path):
    (row,) = rows(one_run(tmp_path, {"trace": Estimate(1.0)}, metrics={"grad_norm": 0.25}))
    assert (row["grad_norm"], row["train_loss"]) == (0.25, None)
    (tmp_path / "b").mkdir()
    (row,) = rows(one_run(tmp_path / "b", {"point": PointValue(0.5, 0.125, 1.0)}, metrics={"grad_norm": 9.0}))
    assert (row["grad_norm"], row["train_loss"]) == (0.125, 0.5)


# --- terminal ----------------------------------------------------------------------------------------------------


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


# --- files -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(results: Results, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tables")
    paths = write_tables(results, folder)
    assert sorted(paths) == sorted((folder / "tables").iterdir())
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_summary_csv_holds_every_row_to_the_last_bit(results, written):
    read = read_csv(written["summary.csv"])
    assert list(read[0]) == PROMISED
    for line, row in zip(read, rows(results), strict=True):
        for name, value in row.items():
            said = line[name]
            if value is None:
                assert said == ""
            elif isinstance(value, bool):
                assert said == str(value)
            else:
                assert type(value)(said) == value


def test_the_eigenvalue_csv_holds_every_eigenvalue_with_its_residual(results, written):
    read = read_csv(written["eigenvalues.csv"])
    assert len(read) == 6 * (3 * 2 + 10)
    last = results.runs[-1].last.records["eigenpairs"]
    lines = [line for line in read if line["run"] == "sgd-s1" and line["step"] == "1344"]
    assert [float(line["value"]) for line in lines] == last.values.tolist()
    assert [float(line["residual"]) for line in lines] == last.residuals.tolist()
    assert [line["converged"] == "True" for line in lines] == last.converged.tolist()
    assert [int(line["index"]) for line in lines] == list(range(1, 11))


def latex_body(text: str) -> list[str]:
    inside = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    return [line for line in inside.splitlines() if line.endswith(r"\\")]


@pytest.mark.parametrize("name", ["summary.tex", "comparison.tex"])
def test_latex_tables_have_equal_columns_and_balanced_braces(written, name):
    text = written[name]
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", code).group(1))
    header = next(line for line in code.splitlines() if line.endswith(r"\\"))
    for line in [header, *latex_body(code)]:
        assert len(re.split(r"(?<!\\)&", line)) == columns, line
        assert line.count("$") % 2 == 0
    plain = re.sub(r"\\[{}]", "", code)
    depth = np.cumsum([(c == "{") - (c == "}") for c in plain])
    assert (depth.min(), depth[-1]) == (0, 0)
    assert code.count(r"\begin{") == code.count(r"\end{")
    assert not re.search(r"(?<!\\)_(?!\{|\d|1|2)", re.sub(r"\$[^$]*\$", "", code))
    assert code.isascii()


def test_the_summary_in_latex_has_a_line_per_run_with_errors_and_stars(written):
    body = latex_body(written["summary.tex"])
    values, errors = body[::2], body[1::2]
    assert [line.split(" &")[0] for line in values] == [
        f"{o}-s{s}" for o in ("adam", "momentum", "sgd") for s in (0, 1)
    ]
    assert all(line.count(r"\pm") == 4 for line in errors)
    assert [line.count("^{*}") for line in values] == [0, 0, 0, 0, 0, 2]
    assert r"$^{*}$ not converged" in written["summary.tex"]


def test_names_with_special_characters_are_escaped_in_latex(tmp_path):
    name = "_&%#{$}\\~^"
    read = one_run(tmp_path, {"trace": Estimate(1.0)}, run=name)
    line = latex_body((write_tables(read, tmp_path)[1]).read_text())[0]
    assert line.startswith(r"\_\&\%\#\{\$\}\textbackslash{}\textasciitilde{}\textasciicircum{} &")
    assert latex_text("plain-1.5") == "plain-1.5"


def test_notes_in_latex_cannot_end_their_comment(tmp_path):
    with ResultStore(tmp_path) as store:
        store.describe({"skipped": [{"file": "a.h5", "reason": "two\nlines"}]})
    text = write_tables(load_results(tmp_path), tmp_path)[1].read_text()
    assert "% skipped: a.h5: two lines\n" in text


def test_numbers_within_a_sentence_become_math_and_digits_of_names_do_not():
    said = "lr1e-3 ends at (7.2 ± 1.3)e-7, local-0.5 at 2e-5, b-1 at 3.5; they differ by -0.04 [-0.1, 0.2] (4 %)."
    assert latex_sentence(said) == (
        r"lr1e-3 ends at $(7.2 \pm 1.3)\times 10^{-7}$, local-0.5 at $2\times 10^{-5}$, b-1 at 3.5; they differ by "
        r"$-0.04$ [$-0.1$, 0.2] (4 \%)."
    )


@pytest.mark.parametrize(
    ("printed_as", "latex"),
    [
        ("3.64 ± 0.23", r"$3.64 \pm 0.23$"),
        ("(1.235 ± 0.041)e-6", r"$(1.235 \pm 0.041)\times 10^{-6}$"),
        ("1.2e-5", r"$1.2\times 10^{-5}$"),
        ("1.5 ± ∞", r"$1.5 \pm \infty$"),
        ("−∞", r"$-\infty$"),
        ("—", "--"),
        ("not a number", "n/a"),
    ],
)
def test_printed_numbers_become_math(printed_as, latex):
    assert latex_number(printed_as) == latex


def overfull(folder: Path, tables: dict[str, str], packages: str = "booktabs,amsmath") -> list[float]:
    """Points by which lines of a normal article page are too wide, as pdflatex says."""
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")
    inputs = "".join(rf"\noindent\input{{{name}}}\par" for name in tables)
    page = rf"\documentclass{{article}}\usepackage{{{packages}}}\begin{{document}}{inputs}\end{{document}}"
    (folder / "paper.tex").write_text(page)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=folder, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    log = (folder / "paper.log").read_text(errors="replace")
    return [float(found) for found in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", log)]


@needs_latex
def test_the_latex_tables_fit_a_page_of_the_article_class(written, tmp_path):
    assert overfull(tmp_path, {name: written[name] for name in ("summary.tex", "comparison.tex")}) == []


@needs_latex
@pytest.mark.parametrize("arms", [NAMES[:11], NAMES[11:]])
def test_tables_of_many_arms_with_hostile_names_compile_and_fit(arms, tmp_path):
    read = load_results(make_results(tmp_path, optimizers=arms, seeds=(0,), steps=(1,), vectors=False))
    texts = {path.name: path.read_text() for path in write_tables(read, tmp_path) if path.suffix == ".tex"}
    assert set(texts) == {"summary.tex", "comparison.tex"}
    assert overfull(tmp_path, texts) == []


def test_a_comparison_is_written_only_where_there_are_two_groups(results, tmp_path):
    single = load_results(make_results(tmp_path, optimizers=("gd",), steps=(1,), vectors=False))
    stale = write_tables(results, tmp_path)
    assert {"comparison.csv", "comparison.tex"} < {path.name for path in stale}
    names = {path.name for path in write_tables(single, tmp_path)}
    assert names == {"summary.csv", "summary.tex", "eigenvalues.csv"}
    assert {path.name for path in (tmp_path / "tables").iterdir()} == names


def test_the_comparison_csv_keeps_means_to_the_last_bit(results, written):
    from landscape.comparison import compare

    frame = compare(results)
    for line, row in zip(read_csv(written["comparison.csv"]), frame.itertuples(), strict=True):
        assert (line["group"], line["measure"], int(line["n"])) == (row.group, row.measure, row.n)
        assert float(line["mean"]) == row.mean
        assert math.isclose(float(line["low"]), row.low, rel_tol=0)


def test_a_table_that_cannot_be_written_is_one_clear_error_and_the_old_one_stays(results, tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    with pytest.raises(ResultsError, match="cannot write"):
        write_tables(results, blocked)
    write_tables(results, tmp_path)
    before = (tmp_path / "tables" / "summary.csv").read_text()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("landscape.store.whole.os.replace", full)
        with pytest.raises(ResultsError, match="No space left"):
            write_tables(results, tmp_path)
    assert (tmp_path / "tables" / "summary.csv").read_text() == before
    assert not list((tmp_path / "tables").glob("*.tmp"))


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


def test_lines_below_a_table_are_no_wider_than_a_page():
    globs = ",".join(f"encoder.layers.{i}.attention.*" for i in range(12))
    text = latex_table(["run", "loss"], [["a", "$1$"]], below=[f"over the parameters {globs} alone", "short"])
    lines = re.findall(r"footnotesize (.*)} ", text)
    assert lines[-1] == "short"
    assert max(map(len, lines)) <= 80 + 10  # escapes are longer than what they show
    assert "".join(lines[:-1]).replace(" ", "").count("encoder.layers.") == 12
