"""The pages that list what there is: everything that can be measured, and what can be trained."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import landscape as ls
from landscape.optimizers.registry import OPTIMIZERS
from landscape.problems.registry import PROBLEMS
from scripts.documentation import moving_picture

ROOT = Path(__file__).parents[2]


def section(page: str, heading: str) -> str:
    text = (ROOT / "docs" / page).read_text("utf-8")
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def words(text: str) -> set[str]:
    """All that stands in code in the first column of a table, word by word."""
    return {
        word
        for row in re.findall(r"^\|.*$", text, flags=re.M)
        for code in re.findall(r"`([^`]+)`", row)
        for word in code.split()
    }


def test_every_problem_and_every_optimizer_is_on_the_page_of_trainings_and_nothing_else():
    assert words(section("trainings.md", "Problems")) - {"--data", "DIR"} == set(PROBLEMS)
    assert words(section("trainings.md", "Optimizers")) - {"--optimizer"} == set(OPTIMIZERS)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"[{len(OPTIMIZERS)} optimizers and {len(PROBLEMS)} problems]" in readme


def test_everything_measured_has_a_function_a_cost_and_an_error():
    text = (ROOT / "docs" / "measurements.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| (?!quantity)", line)]
    named = {name for row in rows for name in re.findall(r"`ls\.(\w+)", row)}
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 4, row
        assert all(cells), row
    for name in (
        "top_eigenpairs",
        "trace",
        "spectral_density",
        "sharpness",
        "evaluate_plane",
        "interpolate",
        "stability",
    ):
        assert name in named
    assert all(hasattr(ls, name) for name in named)


@pytest.mark.slow
def test_the_valley_of_the_moving_picture_is_the_measured_one():
    """The floor of its parabola, from slope and curvature, lies where the losses of the slice say, and as deep."""
    found = moving_picture.moments(steps=36, every=12)
    assert [moment.step for moment in found] == [12, 24, 36]
    for moment in found:
        floor = np.interp(moment.floor, moment.t, moment.loss)
        assert floor == pytest.approx(-moment.drop, abs=0.1 * moment.drop + 1e-5)
        assert floor <= moment.loss.min() + 0.1 * moment.drop + 1e-5
    first, *_ = moving_picture.pictures(found)
    assert first.size[0] > 2 * first.size[1]


def test_the_front_page_fits_a_screen_and_its_picture_moves():
    from PIL import Image

    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 120
    (picture,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme)
    with Image.open(ROOT / picture) as image:
        assert image.n_frames > 20  # an animated PNG
