"""The controls of the page in a real browser: scales, copies, directions, pairs, and what the step moves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from landscape.report import write_report
from landscape.store import load_results
from tests.support.browser import CHROMIUM, browse
from tests.support.page_results import with_path_and_edge
from tests.support.synthetic_results import make_results

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no browser here"), pytest.mark.slow]


@pytest.fixture(autouse=True, scope="module")
def no_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landscape.plots.draw_all", lambda results, folder: [])
        yield


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    results = load_results(make_results(folder / "runs"))
    steep = replace(results, runs=tuple(_steeper(run) if run.label == "adam" else run for run in results.runs))
    return write_report(steep, folder / "out").read_text(encoding="utf-8")


def _steeper(run):
    """A plane whose loss is 100 times that of other groups: on one scale and on its own it looks otherwise."""
    plane = run.last.records["plane"]
    last = replace(run.last, records=run.last.records | {"plane": replace(plane, loss=100 * plane.loss)})
    return replace(run, checkpoints=(*run.checkpoints[:-1], last))


def test_one_scale_or_one_for_each_group_is_chosen_once_for_surfaces_maps_and_pairs(html, tmp_path):
    said = browse(html, tmp_path, query="?height=map", script="""
      const ticks = map => [...map.querySelectorAll("text")].map(t => t.textContent).join();
      const scales = () => $$("#panels .map").map(ticks);
      const pressed = () => $$('button[data-value="own"]').map(button => button.getAttribute("aria-pressed"));
      const pairs = () => $("#matrix .plot").textContent;
      const shared = scales(), stamps = $("#stamps").textContent, before = pressed();
      $('#surfaces button[data-value="own"]').click();
      await wait(300);
      const own = scales(), warned = $("#stamps").textContent, after = pressed(), matrix = pairs();
      $('#matrix button[data-value="shared"]').click();
      await wait(300);
      return { shared, own, stamps, warned, before, after, back: scales(), matrix, all: pairs() };
    """)  # fmt: skip
    told = said["told"]
    assert said["seen"] == []
    assert said["overflow"] <= 0
    assert len(set(told["shared"])) == 1
    assert len(set(told["own"])) > 1
    assert told["back"] == told["shared"]
    assert (told["before"], told["after"]) == (["false"] * 2, ["true"] * 2)
    assert "neither heights nor shades compare" not in told["stamps"]
    assert "neither heights nor shades compare" in told["warned"]
    assert "pairs shown" in told["matrix"]
    assert "all pairs" in told["all"]


def test_a_figure_is_copied_and_where_the_clipboard_is_refused_saved_and_said(html, tmp_path):
    said = browse(html, tmp_path, script="""
      const saved = [], copied = [];
      HTMLAnchorElement.prototype.click = function () { saved.push(this.download); };
      let refuses = false;
      Object.defineProperty(navigator, "clipboard", { value: {
        write: async items => {
          if (refuses) throw new DOMException("no", "NotAllowedError");
          for (const item of items) for (const type of item.types) copied.push([type, (await item.getType(type)).size]);
        },
        writeText: async text => copied.push(["text", text.length]),
      } });
      const press = async (id, label) => {
        $(`#${id} [aria-label="${label}"]`).click();
        for (let k = 0; k < 60 && !$(`#${id} .said`).textContent; k++) await wait(50);
        const words = $(`#${id} .said`).textContent;
        $(`#${id} .said`).textContent = "";
        return words;
      };
      const words = [await press("flatness", "Copy this figure as SVG"),
        await press("spectrum", "Copy this figure as PNG"),
        await press("surfaces", "Copy this figure as PNG"), await press("surfaces", "Copy this figure as SVG")];
      refuses = true;
      words.push(await press("spectrum", "Copy this figure as PNG"), await press("matrix", "Save this figure as SVG"));
      return { words, saved, copied: copied.map(c => c[0]), sizes: copied.map(c => c[1]) };
    """)  # fmt: skip
    told = said["told"]
    assert said["seen"] == []
    assert told["words"] == [
        "Copied as SVG", "Copied as PNG", "Copied as PNG",
        "Surfaces that turn are pixels: take PNG, or the map as SVG.",
        "The browser refused the clipboard. Saved as spectrum.png", "Saved as matrix.svg",
    ]  # fmt: skip
    assert told["saved"] == ["spectrum.png", "matrix.svg"]
    assert set(told["copied"]) == {"image/svg+xml", "text/plain", "image/png"}
    assert min(told["sizes"]) > 2000


def test_a_copied_figure_holds_all_panels_with_their_titles_and_no_style_of_the_page(html, tmp_path):
    said = browse(html, tmp_path, script="""
      let text = "";
      URL.createObjectURL = blob => { blob.text().then(t => { text = t; }); return "#"; };
      HTMLAnchorElement.prototype.click = () => {};
      $('#flatness [aria-label="Save this figure as SVG"]').click();
      for (let k = 0; k < 60 && !text; k++) await wait(50);
      const whole = new DOMParser().parseFromString(text, "image/svg+xml");
      return { root: whole.documentElement.tagName, panels: whole.documentElement.querySelectorAll("svg").length,
               there: $$("#flatness svg[role=img]").length,
               titles: $$("#flatness h3").every(h => text.includes(h.textContent)),
               style: /style="[^"]*(var\\(|color-mix|oklab)/.test(text) };
    """)  # fmt: skip
    told = said["told"]
    assert said["seen"] == []
    assert told["root"] == "svg"
    assert told["panels"] == told["there"] > 2
    assert told["titles"]
    assert not told["style"]


def test_slices_stand_beside_random_ones_whose_band_holds_every_direction(html, tmp_path):
    said = browse(html, tmp_path, script="""
      const select = $("#slices select"), names = [...select.options].map(o => o.textContent), show = async i => {
        select.value = i; select.dispatchEvent(new Event("change")); await wait(50);
        return [$$("#slices .plot svg").length, $$("#slices .band").length, $$("#slices [data-run]").length];
      };
      const drawn = [];
      for (let i = 0; i < names.length; i++) drawn.push(await show(i));
      await show(0);
      $$("#groups .chip")[0].click();
      await wait(300);
      return { names, drawn, bands: $$("#slices .band").length };
    """)  # fmt: skip
    told = said["told"]
    assert said["seen"] == []
    assert said["overflow"] <= 0
    drawn = {name: counts[:2] for name, counts in zip(told["names"], told["drawn"], strict=True)}
    assert told["names"][0] == "u₁ beside random"
    assert drawn["u₁ beside random"] == [2, 3]  # two panels; a band for each group in one of them
    assert drawn["along u₁"] == drawn["random direction 1"] == [1, 0]
    assert drawn["random directions, median and band"] == [1, 3]
    assert told["bands"] == 2


def test_the_matrix_shows_what_is_chosen(html, tmp_path):
    said = browse(html, tmp_path, width=360, script="""
      const select = $("#matrix select"), shown = () => $("#matrix svg").getAttribute("aria-label");
      const before = shown(), options = [...select.options].map(o => o.value);
      select.value = "distance";
      select.dispatchEvent(new Event("change"));
      return { before, after: shown(), options, tip: $("#matrix g[data-other]").dataset.tip };
    """)  # fmt: skip
    told = said["told"]
    assert said["seen"] == []
    assert said["overflow"] <= 0
    assert told["before"].startswith("barrier of the loss, at least: ")
    assert told["after"].startswith("distance in θ: ")
    assert {"barrier", "relative_barrier", "distance"} <= set(told["options"])
    assert "distance in θ" in told["tip"]
    assert "barrier of the loss" in told["tip"]


def test_the_step_moves_surface_spectrum_and_threshold_together_and_keeps_the_focus(tmp_path):
    results = load_results(make_results(tmp_path / "r", optimizers=("sgd", "adam"), seeds=(0,)))
    made = replace(results, runs=tuple(map(with_path_and_edge, results.runs)))
    said = browse(write_report(made, tmp_path / "o").read_text(), tmp_path, script="""
      await wait(800);
      const canvas = $("#panels canvas"), spectrum = () => $("#spectrum .plot").innerHTML;
      const edge = () => $$("#training .unit").map(u => u.textContent).find(t => t.startsWith("dotted"));
      canvas.focus();
      const before = [canvas.toDataURL(), spectrum(), edge()], slider = $("#step");
      slider.value = 0;
      slider.dispatchEvent(new Event("input"));
      await wait(900);
      const after = [canvas.toDataURL(), spectrum(), edge()], here = $$("#training .here").length;
      return { moved: before.map((b, i) => b !== after[i]), edge: edge(), here, kept: document.activeElement === canvas,
               label: canvas.getAttribute("aria-label") };
    """)  # fmt: skip
    told = said["told"]
    assert said["seen"] == []
    assert told["moved"] == [True, True, True]
    assert "at step 1320 at " in told["edge"]
    assert told["here"] > 2
    assert told["kept"]
    assert "step 1320" in told["label"]
