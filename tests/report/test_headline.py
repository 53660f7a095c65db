"""Sentences of the report at equal training loss, by numbers that are known by hand."""

from __future__ import annotations

from landscape.report.headline import headline
from landscape.store import load_results
from tests.support.loss_curves import store_curves


def told(folder, arms):
    """The headline of two seeds of each arm, whose losses and λ_max at two checkpoints are given."""
    runs = {}
    for name, (losses, tops) in arms.items():
        along = dict(zip(losses, tops, strict=True))
        for seed in (0, 1):
            runs[f"{name}-s{seed}"] = ({"label": name, "seed": seed}, losses, along.__getitem__)
    return headline(load_results(store_curves(folder, runs)))


def test_the_headline_is_the_comparison_at_equal_loss_and_the_ends_come_second_with_theirs(tmp_path):
    """By hand: adam passes 0.1 half way (in logarithms) between λ = 80 at 1 and λ = 20 at 0.01; sgd is 20 there."""
    said = told(tmp_path, {"adam": ((1.0, 0.01), (80.0, 20.0)), "sgd": ((0.5, 0.1), (50.0, 20.0))})
    assert said[0].startswith(
        "At a training loss of 0.1, each run read between checkpoints at 1 to 0.5 and 0.1 to 0.01,"
    )
    assert said[0].endswith("sgd 20, adam 40.")
    end = next(i for i, sentence in enumerate(said) if sentence.startswith("Where training stopped"))
    assert end > 0
    assert "adam 20 at a loss of 0.01" in said[end]
    assert "sgd 20 at a loss of 0.1" in said[end]
    assert not any("in the flattest" in sentence or "sharpest" in sentence for sentence in said)


def test_where_losses_differ_and_nothing_brackets_one_nobody_is_ranked_and_it_is_said_what_to_do(tmp_path):
    said = told(tmp_path, {"adam": ((0.02, 0.01), (8.0, 5.0)), "sgd": ((0.5, 0.1), (50.0, 20.0))})
    assert "differ by far (adam 0.01, sgd 0.1)" in said[0]
    assert "landscape match" in said[0]
    assert not any("flattest" in sentence for sentence in said)


def test_ends_of_one_loss_are_ranked(tmp_path):
    said = told(tmp_path, {"adam": ((0.1,), (5.0,)), "sgd": ((0.109,), (20.0,))})
    assert any("adam is flattest and sgd sharpest" in sentence for sentence in said)
    assert not any("landscape match" in sentence for sentence in said)
