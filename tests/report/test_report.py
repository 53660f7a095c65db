"""The report: one file, offline, every number with its error, nothing cut off on a phone."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from landscape.comparison import Centre, compare
from landscape.errors import ResultsError
from landscape.report import write_report
from landscape.report.headline import headline
from landscape.rounding import format_value
from landscape.store import load_results
from tests.support.hostile import NAMES
from tests.support.synthetic_results import make_results


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles; spaces that do not break are spaces."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._silent = "", False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._silent = False

    def handle_data(self, data):
        if not self._silent:
            self.text += data.replace("\N{NO-BREAK SPACE}", " ").replace("\N{WORD JOINER}", "")


def read(path) -> str:
    """The text of a page, in one line."""
    return " ".join(Page(path.read_text()).text.split())


@pytest.fixture
def no_figures(monkeypatch):
    """For what only words can tell: drawing takes most of the time."""
    monkeypatch.setattr("landscape.plots.draw_all", lambda results, folder: [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = make_results(tmp_path_factory.mktemp("report") / "runs").parent
    write_report(path)
    return path


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text())


def test_it_loads_nothing_from_elsewhere(page, folder):
    for tag, attrs in page.tags:
        for name in ("src", "href", "action", "poster"):
            link = attrs.get(name)
            if link and tag != "a":
                assert link.startswith("data:"), f"<{tag} {name}={link[:60]}>"
            if link and tag == "a" and not link.startswith("#"):
                assert (folder / link).exists(), link


def test_every_link_within_the_page_leads_somewhere(page):
    names = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    inside = [attrs["href"] for tag, attrs in page.tags if tag == "a" and (attrs.get("href") or "").startswith("#")]
    assert len(inside) > 8
    assert {link[1:] for link in inside} <= names


def test_a_figure_that_the_page_does_not_draw_is_embedded_and_every_other_is_linked(page, folder):
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    linked = {attrs["href"] for tag, attrs in page.tags if tag == "a" and (attrs.get("href") or "").endswith(".pdf")}
    assert linked == {f"figures/{path.name}" for path in (folder / "figures").glob("*.pdf")}
    assert all(image["alt"] for image in images)
    drawn = {attrs["data-fig"] for _, attrs in page.tags if "data-fig" in attrs}
    assert {"verdict", "surfaces", "flatness", "spectrum", "slices", "training", "between", "runs"} <= drawn
    assert 0 < len(images) < len(linked)
    assert sum(tag == "figcaption" for tag, _ in page.tags) == len(images)


def test_it_stays_small_enough_to_send(folder):
    assert (folder / "report.html").stat().st_size < 1_500_000


def test_numbers_stand_with_their_errors(page, folder):
    results = load_results(folder)
    for run in results.runs:
        assert run.name in page.text
        assert str(run.last.records["trace"]) in page.text  # value ± sem
    assert "95 % interval" in page.text
    assert "lower bound" in page.text
    assert "agrees" in page.text


def test_what_did_not_converge_and_what_was_skipped_is_said_first(page, folder):
    results = load_results(folder)
    assert results.info["skipped"]
    for bad in results.info["skipped"]:
        assert bad["file"] in page.text
    failed = [run.name for run in results.runs for c in run.checkpoints if c.not_converged]
    assert failed
    before_table = page.text.split("End points")[1].split("Over seeds")[0]
    assert "Not converged" in page.text
    assert "*" in before_table


def test_the_methods_paragraph_has_the_numbers_of_this_analysis(page, folder):
    run = load_results(folder).runs[0]
    paragraph = page.text.split("Methods")[-1].split("Provenance")[0]
    density = run.last.records["density"]
    for said in (
        f"{run.info['num_parameters']:,} parameters",
        f"{run.info['num_examples']} training examples",
        f"{density.nodes.shape[0]} probes and {density.nodes.shape[1]} steps",
        f"{run.last.records['trace'].samples.size} sign vectors",
        "thick-restart Lanczos",
        "Hutchinson (1990)",
    ):
        assert said in paragraph, said
    cited = [int(n) for group in re.findall(r"\[([\d, ]+)\]", paragraph) for n in group.split(",")]
    references = (folder / "report.html").read_text().split('class="references"')[-1].split("</ol>")[0]
    listed = sum(tag == "li" for tag, _ in Page(references).tags)
    assert sorted(set(cited)) == list(range(1, listed + 1))


def test_the_headline_gives_every_mean_over_seeds_where_training_stopped_beside_its_loss(page, folder):
    frame = compare(folder)
    said = " ".join(page.text.split())
    for measure in ("lambda_max", "train_loss"):
        assert len(frame[frame["measure"] == measure]) == 3
    rows = {(row.group, row.measure): row for row in frame.itertuples()}
    for group in ("adam", "momentum", "sgd"):
        top = Centre(*(getattr(rows[group, "lambda_max"], key) for key in ("gmean", "gmean_low", "gmean_high")), "log")
        loss = format_value(rows[group, "train_loss"].gmean, digits=2)
        assert f"{group} {top} at a loss of {loss}" in said
    assert "That is no ranking: curvature follows the loss." in said
    assert "not a generalization claim" in page.text


def test_hostile_names_are_only_text(tmp_path):
    results = load_results(make_results(tmp_path / "r", optimizers=("adam", "sgd"), seeds=(0,), steps=(5,)))
    name = "<script>alert(1)</script>&\"'"
    runs = tuple(replace(run, name=f"{name}{i}") for i, run in enumerate(results.runs))
    skipped = [{"file": name, "reason": name}]
    hostile = replace(results, runs=runs, pairs=(), info={**results.info, "skipped": skipped, "command": name})
    html = write_report(hostile, tmp_path / "out").read_text()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_one_run_alone_and_missing_records_make_a_report(tmp_path):
    results = load_results(make_results(tmp_path / "r", optimizers=("sgd",), seeds=(0,), steps=(10,)))
    run = results.runs[0]
    few = replace(run.last, records={k: run.last.records[k] for k in ("point", "eigenpairs")}, metrics={})
    html = write_report(replace(results, runs=(replace(run, checkpoints=(few,)),), pairs=(), info={}), tmp_path / "o")
    text = " ".join(Page(html.read_text()).text.split())
    assert "λ_max =" in text
    assert "Over seeds" not in text
    assert '"planes"' not in html.read_text()


def test_a_killed_analysis_still_makes_a_report(tmp_path):
    """A run without any record, and a last checkpoint of which only the training's metrics are stored."""
    results = load_results(make_results(tmp_path / "r", optimizers=("adam", "sgd"), seeds=(0,), steps=(5, 6)))
    first, second = results.runs
    unmeasured = replace(first.last, step=7, records={}, provenance={})
    nothing_yet = replace(second, name="nothing-yet", checkpoints=())
    runs = (replace(first, checkpoints=(*first.checkpoints, unmeasured)), nothing_yet)
    text = read(write_report(replace(results, runs=runs, pairs=()), tmp_path / "out"))
    assert f"{first.name} ended, at step 6, with λ_max = " in text
    assert "nothing-yet nothing measured" in text
    none = (replace(first, checkpoints=()), nothing_yet)
    assert "Nothing was measured." in read(write_report(replace(results, runs=none, pairs=()), tmp_path / "none"))


def test_one_optimizer_is_told_by_its_mean_and_no_run_is_dropped_in_silence(tmp_path):
    results = load_results(make_results(tmp_path / "r", optimizers=("sgd",), seeds=(0, 1, 2, 3, 4), steps=(5,)))
    sentences = headline(results)
    mean = math.prod(float(run.last.records["eigenpairs"].values[0]) for run in results.runs) ** (1 / 5)
    said = float(re.search(r"sgd, 5 runs, geometric mean .*: largest eigenvalue ([\d.]+) ×/÷", sentences[0]).group(1))
    assert said == pytest.approx(mean, rel=0.1)
    assert sentences[-1] == "The table has 2 more runs."


@pytest.mark.parametrize(("spread", "said"), [(1e-3, "do not overlap"), (0.9, "overlap, so these seeds do not settle")])
def test_the_headline_says_whether_the_intervals_settle_the_order(tmp_path, spread, said):
    results = load_results(make_results(tmp_path / "r", optimizers=("adam", "sgd"), steps=(5,)))
    factors = {"adam-s0": 10, "adam-s1": 10 * (1 + spread), "sgd-s0": 1, "sgd-s1": 1 + spread}
    runs = []
    for run in results.runs:
        eigs = run.last.records["eigenpairs"]
        eigs = replace(eigs, values=factors[run.name] * eigs.values / eigs.values[0])
        last = replace(run.last, records={"eigenpairs": eigs}, metrics={"train_loss": 0.1})
        runs.append(replace(run, checkpoints=(last,)))
    assert f"Their intervals, of sgd and adam, {said}" in " ".join(headline(replace(results, runs=tuple(runs))))


def test_a_slice_that_disagrees_with_its_derivatives_is_said_first(tmp_path, no_figures):
    results = load_results(make_results(tmp_path / "r", optimizers=("sgd",), seeds=(0,), steps=(5,)))
    run = results.runs[0]
    line = run.last.records["line_random_1"]
    line = replace(line, curvature_slice=1.25 * line.curvature)
    records = {"eigenpairs": run.last.records["eigenpairs"], "line_random_1": line}
    bad = replace(run, checkpoints=(replace(run.last, records=records),))
    text = read(write_report(replace(results, runs=(bad,)), tmp_path / "out"))
    assert f"sgd-s0: {line.direction} (by 25 %)" in text.split("Checks that disagree")[1].split("End points")[0]
    good = replace(
        run, checkpoints=(replace(run.last, records={**records, "line_random_1": run.last.records["plane"]}),)
    )
    assert "Checks that disagree" not in read(write_report(replace(results, runs=(good,)), tmp_path / "good"))


def test_an_analysis_from_python_tells_the_command_with_its_plan(folder, tmp_path, no_figures):
    results = load_results(folder)
    lone = replace(results.runs[0], checkpoints=())
    info = {**results.info, "command": "", "plan": {"plan": "quick", "trace_probes": 7, "device": None}}
    text = read(write_report(replace(results, runs=(lone,), pairs=(), info=info), tmp_path / "out"))
    assert f"landscape analyze {folder} --plan quick --trace-probes 7" in text
    assert "--device" not in text


@pytest.mark.slow
def test_the_same_results_give_the_same_report(folder, tmp_path):
    first = (folder / "report.html").read_bytes()
    again = write_report(load_results(folder), tmp_path / "again").read_bytes()
    assert first == again


def test_every_name_is_text_in_the_page_and_in_the_surface(tmp_path, no_figures):
    """Names of runs, labels, config values and reasons: no markup, nothing that turns or hides the text around it."""
    arms = (*NAMES[:6], NAMES[8], NAMES[11], NAMES[12])
    results = load_results(make_results(tmp_path / "r", optimizers=arms, seeds=(0,), steps=(5,)))
    skipped = [{"file": name, "reason": name} for name in NAMES]
    hostile = replace(results, info={**results.info, "skipped": skipped, "command": "</script><img onerror=x>"})
    html = write_report(hostile, tmp_path / "out").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in html
    assert "<img onerror" not in html
    assert not set("\x1b\x07\x9b\u202e\u2066\r") & set(html.split("<script>")[0])
    assert "\\x1b[31mred" in html
    assert "undecodable-\\udcff" in html
    labels = [b for tag, attrs in Page(html).tags for b in attrs.values() if b and "javascript:" in b]
    assert labels == []


def test_a_full_disk_is_one_clear_error(folder, no_figures, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResultsError, match="No space left"):
        write_report(folder, tmp_path)
