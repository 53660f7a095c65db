"""The page in a real browser: no error, nothing wider than the screen, and every figure follows what is chosen."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from landscape.report import write_report
from landscape.store import load_results
from tests.support.browser import CHROMIUM, browse, printed
from tests.support.hostile import NAMES
from tests.support.page_results import with_path_and_edge
from tests.support.synthetic_results import make_results

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no browser here"), pytest.mark.slow]

FIGURES = ("verdict", "surfaces", "flatness", "spectrum", "ellipses", "slices", "between", "matrix", "training", "runs")
#: What each figure shows, as a text that changes when it is drawn otherwise.
STATE = """
const states = () => Object.fromEntries($$("[data-fig]:not([hidden])").map(section => [section.dataset.fig,
  (section.querySelector(".panels") || section.querySelector(".plot") || section.querySelector("tbody")).innerHTML
  + [...section.querySelectorAll("tbody tr")].map(row => row.hidden)]));
"""


@pytest.fixture(autouse=True, scope="module")
def no_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landscape.plots.draw_all", lambda results, folder: [])
        yield


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    results = make_results(tmp_path_factory.mktemp("page") / "runs")
    return write_report(results).read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "theme"), [(360, "light"), (768, "dark"), (1280, "light"), (1920, "dark")])
def test_no_error_is_seen_and_nothing_is_wider_than_the_screen(html, tmp_path, width, theme):
    said = browse(html, tmp_path, width=width, query=f"?theme={theme}", script=STATE + """
      await wait(300);
      const isCut = box => box.width && (box.left < -1 || box.right > innerWidth + 1);
      const cut = $$("svg[role=img] text").filter(t => isCut(t.getBoundingClientRect())).map(t => t.textContent);
      const theme = document.documentElement.dataset.theme, canvases = $$("#panels canvas").length;
      return { figures: Object.keys(states()), theme, cut, canvases };
    """)  # fmt: skip
    assert said["seen"] == []
    assert said["overflow"] <= 0
    assert set(said["told"]["figures"]) == set(FIGURES)
    assert said["told"]["theme"] == theme
    assert said["told"]["cut"] == []
    assert said["told"]["canvases"] == 3


def test_what_is_chosen_once_changes_every_figure(html, tmp_path):
    said = browse(html, tmp_path, script=STATE + """
      const before = states();
      $("#groups .chip").click();
      await wait(300);
      const after = states(), without = $$("#runs tbody tr:not([hidden])").length;
      $("#groups .chip").click();
      $$("#seeds .chip")[1].click();
      await wait(200);
      const seeds = states(), first = $$("#runs tbody tr:not([hidden])").length;
      return { same: Object.keys(before).filter(name => before[name] === after[name]), without, first,
               sameSeeds: Object.keys(before).filter(name => before[name] === seeds[name]) };
    """)  # fmt: skip
    assert said["seen"] == []
    assert said["told"]["same"] == []
    assert said["told"]["without"] == 4
    assert said["told"]["first"] == 3
    # The panels show the first seed that is chosen, which is still there.
    assert set(said["told"]["sameSeeds"]) <= {"surfaces"}


def test_the_slider_moves_what_was_measured_at_other_steps(html, tmp_path):
    said = browse(html, tmp_path, script=STATE + """
      const before = states(), slider = $("#step");
      slider.value = 0;
      slider.dispatchEvent(new Event("input"));
      await wait(100);
      const after = states();
      return { moved: Object.keys(before).filter(name => before[name] !== after[name]), out: $("#stepout").textContent,
               stamps: $("#stamps").textContent, heard: $("#say").textContent };
    """)  # fmt: skip
    assert said["seen"] == []
    assert {"spectrum", "training", "ellipses"} <= set(said["told"]["moved"])
    assert said["told"]["out"] == "1320"
    assert said["told"]["heard"] == "step 1320"
    assert "surfaces of step 1344: none at the chosen step" in said["told"]["stamps"]


def test_a_row_a_key_and_a_heading_do_what_they_say(html, tmp_path):
    said = browse(html, tmp_path, script="""
      $("#runs tbody tr button").click();
      await wait(300);
      const focus = $("#focus").selectedOptions[0].textContent, dim = $$("#spectrum [data-run].dim").length;
      document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
      await wait(300);
      const left = $$(".dim").length;
      $('#runs th[data-key="lambda_max"] button').click();
      const sorted = $$("#runs tbody tr").map(row => row.dataset.name);
      $('#runs th[data-key="lambda_max"] button').click();
      const back = $$("#runs tbody tr").map(row => row.dataset.name);
      $("#runs input[type=search]").value = "sgd";
      $("#runs input[type=search]").dispatchEvent(new Event("input"));
      const canvas = $("#panels canvas"), pen = () => canvas.toDataURL();
      const still = pen();
      canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
      for (let k = 0; k < 40 && pen() === still; k++) await wait(100);
      const turned = pen() !== still;
      const columns = $$("#runs th").length;
      $$(".pick input").find(box => !box.checked).click();
      return { focus, dim, left, sorted, back, found: $$("#runs tbody tr:not([hidden])").length, turned,
               more: $$("#runs th").length - columns, drawn: new Set(still).size > 20 };
    """)  # fmt: skip
    told = said["told"]
    assert said["seen"] == []
    assert told["focus"] == "adam-s0"
    assert told["dim"] > 0
    assert told["left"] == 0
    assert told["sorted"][0].startswith("sgd")
    assert told["back"] == told["sorted"][::-1]
    assert told["found"] == 2
    assert told["turned"]
    assert told["more"] == 1


def test_a_link_opens_the_page_at_a_step_a_run_and_a_map(html, tmp_path):
    said = browse(html, tmp_path, query="?step=1330&run=sgd-s1&height=map#spectrum", script="""
      const run = $("#focus").selectedOptions[0].textContent, maps = $$("#panels .map").length;
      return { step: $("#stepout").textContent, run, maps, top: Math.abs($("#spectrum").getBoundingClientRect().top) };
    """)  # fmt: skip
    assert said["seen"] == []
    assert said["told"]["step"] == "1328"
    assert said["told"]["run"] == "sgd-s1"
    assert said["told"]["maps"] == 3
    assert said["told"]["top"] < 450


def test_the_step_moves_surfaces_and_the_path_and_the_threshold_are_drawn(tmp_path):
    results = load_results(make_results(tmp_path / "r", optimizers=("sgd", "adam"), seeds=(0,)))
    made = replace(results, runs=tuple(map(with_path_and_edge, results.runs)))
    said = browse(write_report(made, tmp_path / "o").read_text(), tmp_path, script="""
      await wait(800);
      const pictures = () => $$("#panels canvas").map(canvas => canvas.toDataURL());
      const before = pictures(), slider = $("#step");
      slider.value = 0;
      slider.dispatchEvent(new Event("input"));
      await wait(800);
      const moved = pictures().every((picture, i) => picture !== before[i]), gap = $("#stamps").textContent;
      $('#surfaces [data-value="plane_pca"]').click();
      await wait(800);
      const share = $("#stamps").textContent;
      $('#surfaces [data-value="map"]').click();
      return { moved, gap, share, dots: $$("#panels .map circle").length,
               dotted: $$('#training path[stroke-dasharray="2 3"]').length,
               titles: $$("#training h3").map(title => title.textContent) };
    """)  # fmt: skip
    told = said["told"]
    assert said["seen"] == []
    assert told["moved"]
    assert "1 point not finite: gap" in told["gap"] or "2 points not finite: gap" in told["gap"]
    assert "this plane holds 71 % of the path" in told["share"]
    assert told["dots"] == 2 * 3
    assert told["dotted"] == 2
    assert "Curvature and its threshold" in told["titles"]


def test_hostile_names_run_nothing_and_break_nothing(tmp_path):
    arms = (*NAMES[:6], NAMES[8], NAMES[11], NAMES[12], NAMES[17])
    results = load_results(make_results(tmp_path / "r", optimizers=arms, seeds=(0,), steps=(5, 6)))
    html = write_report(results, tmp_path / "out").read_text(encoding="utf-8")
    said = browse(html, tmp_path, width=360, script="""
      window.alert = () => seen.push("alert");
      $$(".chip").slice(0, 3).forEach(chip => chip.click());
      $("#flatness .numbers-button").click();
      return { chips: $$("#groups .chip").length, tags: $$("#groups script, #panels script, .numbers script").length };
    """)  # fmt: skip
    assert said["seen"] == []
    assert said["overflow"] <= 0
    assert said["told"] == {"chips": len(arms), "tags": 0}


def test_one_run_with_two_records_is_a_whole_page(tmp_path):
    results = load_results(make_results(tmp_path / "r", optimizers=("sgd",), seeds=(0,), steps=(10,)))
    run = results.runs[0]
    few = replace(run.last, records={k: run.last.records[k] for k in ("point", "eigenpairs")}, metrics={})
    lone = replace(run, checkpoints=(few,), info={})
    html = write_report(replace(results, runs=(lone,), pairs=(), info={}), tmp_path / "o").read_text()
    said = browse(html, tmp_path, width=768, script=STATE + """
      return [Object.keys(states()), $("#bar").hidden, $$(".contents a").map(a => a.textContent)];
    """)  # fmt: skip
    figures, no_bar, contents = said["told"]
    assert said["seen"] == []
    assert said["overflow"] <= 0
    assert set(figures) == {"verdict", "spectrum", "ellipses", "runs"}
    assert no_bar
    assert "Surfaces" not in contents
    assert "Runs" in contents


def test_print_gives_pages_with_every_figure(html, tmp_path):
    pdf = printed(html, tmp_path)
    pages = len(re.findall(rb"/Type\s*/Page[^s]", pdf))
    assert 4 <= pages <= 14, "every number of every run is on paper only where a reader opened it"


def test_two_hundred_runs_are_drawn_and_followed(tmp_path):
    arms = tuple(f"arm{i}" for i in range(20))
    results = make_results(tmp_path / "r", optimizers=arms, seeds=tuple(range(10)), steps=(5, 6), vectors=False)
    path = write_report(results, tmp_path / "out")
    assert path.stat().st_size < 8_000_000
    said = browse(path.read_text(encoding="utf-8"), tmp_path, width=360, script="""
      $$("#groups .chip").slice(0, 15).forEach(chip => chip.click());
      await wait(400);
      return { rows: $$("#runs tbody tr:not([hidden])").length, panels: $$("#panels canvas").length };
    """)  # fmt: skip
    assert said["seen"] == []
    assert said["overflow"] <= 0
    assert said["told"] == {"rows": 50, "panels": 5}
