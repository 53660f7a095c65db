"""Published facts: every script of ``scripts/reproduce`` runs, says its claim and verdict, and draws its figure."""

from __future__ import annotations

import importlib
import json

import matplotlib.image
import numpy as np
import pytest

from tests.support.facts import FOLDER, load

SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "FACT = Fact(" in path.read_text())


def test_there_are_sixteen_at_least():
    assert len(SCRIPTS) >= 16


@pytest.fixture
def shared(monkeypatch):
    """Import a module of ``scripts/reproduce/shared`` or ``scripts`` by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.syspath_prepend(str(FOLDER.parent))
    return importlib.import_module


def finding(holds, *before):
    return {"holds": holds, "changes": [{"held_before": one} for one in before]}


def test_what_holds_after_a_change_is_counted_apart(shared):
    """A change of what held before, too, has not made the verdict; a claim that fails counts nowhere."""
    found = [
        finding(True),
        finding(True, False),
        finding(True, True),
        finding(True, True, False),
        finding(False, False),
    ]
    said = shared("facts").count_line(found)
    assert said.startswith("4 of 5 hold, 2 of them after a changed set-up, claim or criterion, 1 more after one")
    assert shared("facts").count_line(found[:1]) == "1 of 1 hold, 0 of them after a changed set-up, claim or criterion"


def test_the_page_keeps_what_is_not_run_anew(shared, tmp_path):
    """Of two facts one is measured again: its row and figure are new, the other's row stays as it was."""
    facts, out, docs = shared("facts"), tmp_path / "out", tmp_path / "docs"
    (docs / "figures" / "facts").mkdir(parents=True)
    out.mkdir()
    first = {"claim": "c", "source": "s", "changes": [], "caveat": "", "seconds": 1.0, "versions": {"landscape": "1"}}
    old = [first | {"name": name, "measured": f"{name} of old", "holds": True} for name in ("one", "two")]
    for name in ("one", "two"):
        (out / f"{name}.png").write_bytes(name.encode())
    facts.write_docs(old, out, docs)
    (out / "two.png").write_bytes(b"new")
    facts.write_docs([old[1] | {"measured": "anew", "holds": False}], out, docs)
    page = (docs / "facts.md").read_text()
    assert "| one of old | yes |" in page
    assert "| anew | **no** |" in page
    assert "two of old" not in page
    assert [(docs / "figures" / "facts" / f"{n}.png").read_bytes() for n in ("one", "two")] == [b"one", b"new"]


def test_the_page_of_facts_is_made_of_what_is_kept(shared):
    facts = shared("facts")
    assert (facts.DOCS / "facts.md").read_text() == facts.table(list(facts.kept().values()))


def test_a_name_that_is_no_fact_is_refused_with_those_there_are(shared):
    with pytest.raises(SystemExit, match="no fact is called catapults; there are .*catapult"):
        shared("facts").scripts(["catapults"])


def test_every_change_says_what_was_changed_and_why(monkeypatch):
    every = [load(path, monkeypatch).FACT for path in SCRIPTS]
    changes = [change for fact in every for change in fact.changes]
    assert len([fact for fact in every if any(not change.held_before for change in fact.changes)]) >= 8
    assert all(
        str(change).startswith(("Claim ", "Set-up ", "Criterion ")) and change.words[-1] == "." for change in changes
    )


def test_a_trend_is_one_over_all_places_where_neighbours_may_cross(shared):
    """Page's L of a table that rises in each row is the largest; its p is 1/(4!)³ for three rows of four."""
    trend = shared("shared.trends").trend
    rising = np.array([[1.0, 2.0, 3.0, 4.0]] * 3) + np.arange(3)[:, None]
    found = trend(rising, rising=True)
    assert found.p == pytest.approx(1 / 24**3)
    assert (found.tau, found.holds) == (1.0, True)
    assert not trend(rising, rising=False).holds
    crossed = np.array([[1.0, 3.0, 2.0, 5.0, 4.0, 6.0]] * 5)
    assert trend(crossed, rising=True).holds
    assert trend(crossed, rising=True).tau == pytest.approx(1 - 2 * 2 / 15)  # two of fifteen pairs are inverted


def test_noise_is_called_a_trend_as_seldom_as_the_level_says(shared):
    trends, rng = shared("shared.trends"), np.random.default_rng(0)
    false = np.mean([trends.trend(rng.standard_normal((5, 4)), rising=True).holds for _ in range(2000)])
    assert false <= trends.LEVEL + 3 * (trends.LEVEL / 2000) ** 0.5


@pytest.mark.parametrize(("best", "flagged"), [(0.1, True), (0.3, False), (1.0, True)])
def test_a_rate_at_the_edge_of_its_grid_is_flagged(shared, monkeypatch, best, flagged):
    tuning = shared("shared.tuning")

    def curve(problem, *, lr, **asked):
        return np.array([[0, 2.0], [9, abs(np.log(lr / best)) + 0.5]])

    monkeypatch.setattr(tuning, "curve", curve)
    found = tuning.tuned(None, "gd", rates=(0.1, 0.3, 1.0), seeds=(0, 1), epochs=1)
    assert (found.lr, found.at_edge) == (best, flagged)
    assert ("EDGE" in str(found)) is flagged
    assert str(found).startswith(f"0.5 at {best:g}")


@pytest.mark.parametrize(
    ("means", "rests"), [((1.01, 0.99, 1.0), True), ((1.03, 1.028, 1.032), True), ((1.04, 1.03, 1.045), False)]
)
def test_equal_to_a_threshold_needs_an_interval_within_the_margin(shared, means, rests):
    """Means around 1 and 1.03; not around 1.038, within the margin with an interval that reaches to 1.057."""
    stability = shared("shared.stability")
    paths = [{"step": np.arange(3), "sharpness": np.array([1.0, 5.0, 20 * mean])} for mean in means]
    case = stability.Case("η = 0.1", 20.0, paths)
    assert case.rests is rests
    assert case.at_first == pytest.approx(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_a_fact_runs_in_small_and_says_all_it_should(path, monkeypatch, tmp_path, capsys):
    script = load(path, monkeypatch)
    assert script.FACT.name == path.stem
    assert script.main(script.FACT, ["--quick", "--threads", "1", "--out", str(tmp_path)]) == 0
    finding = json.loads((tmp_path / f"{path.stem}.json").read_text())
    assert {"claim", "source", "measured", "holds", "seconds", "versions"} <= finding.keys()
    assert finding["quick"] is True
    assert any(character.isdigit() for character in finding["measured"]), "a measurement has numbers"
    assert any(year in finding["source"] for year in map(str, range(1900, 2027)))
    said = capsys.readouterr().out
    assert all(word in said for word in ("claim", "source", "measured", "quick: decides nothing"))
    image = matplotlib.image.imread(tmp_path / f"{path.stem}.png")
    assert image[..., :3].std() > 0.01, "nothing was drawn"
