"""What the models of a study write, and the loss over test data on the way there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.problems.builtin.child_speech import corpus
from landscape.problems.builtin.writing import share_of_words
from landscape.study import Arm, Study, Writing
from landscape.study.histories import draw_histories, read_losses, validation_sentences
from landscape.study.writing import prompt_of, read_samples, samples_sentences, write_samples
from tests.support.latex import compiled, needs_latex
from tests.support.studies import trained

CONFIG = {"characters": 4000, "context": 16, "width": 16, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def wrote(tmp_path_factory):
    """Two arms with batches of different sizes, two seeds; prompts are the beginning of the test text."""
    runs = tmp_path_factory.mktemp("chars")
    falling = {"optimizer": "sgd", "batch_size": 64, "schedule": "cosine"}
    arms = (Arm("adam", {"optimizer": "adam"}), Arm("sgd_b", falling))
    study = trained(
        runs, problem="char-transformer-small", problem_config=CONFIG, arms=arms, seeds=(0, 1), paths=False,
        settings={"epochs": 3, "save_losses": 1.05}, writing=Writing(length=40), histories=True, validation=True,
    )  # fmt: skip
    return study, runs


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[2] / "scripts" / "sample.py"
    spec = importlib.util.spec_from_file_location("sample_of_studies", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_samples_are_those_of_the_script_that_lets_a_model_write(wrote, script, capsys):
    study, runs = wrote
    samples = read_samples(study, runs)
    prompt = prompt_of(study)
    for row in samples[samples["seed"] >= 0].itertuples():
        how = ["--prompt", prompt, "--length", "40", "--temperature", "0.8", "--seed", "0"]
        assert script.main([str(runs / f"{row.arm}-s{row.seed}"), *how]) == 0
        assert capsys.readouterr().out == prompt + row.text + "\n"


def test_the_prompt_is_the_beginning_of_the_test_text_and_its_end_is_shown_too(wrote):
    study, runs = wrote
    count = (4000 - 1) // 16
    start = (count - round(0.1 * count)) * 16
    text = corpus(4000)
    assert prompt_of(study) == text[start : start + 32]
    first = read_samples(study, runs).iloc[0]
    assert (first["arm"], first["text"]) == ("the text", text[start + 32 : start + 72])
    given = Study("a", "?", "char-transformer-small", study.arms, (0, 1), writing=Writing("i want", length=5))
    assert prompt_of(given) == "i want"


def test_words_are_counted_that_occur_in_the_training_text(wrote):
    assert share_of_words("x dog dig it's y", "the dog: it's") == pytest.approx(2 / 3)
    assert np.isnan(share_of_words("one", "one"))
    study, runs = wrote
    (said,) = samples_sentences(read_samples(study, runs))
    assert "the text " in said
    assert "adam " in said
    assert samples_sentences(None) == []


@needs_latex
def test_the_table_of_samples_compiles_whatever_was_written(wrote, tmp_path):
    study, runs = wrote
    samples = read_samples(study, runs)
    samples.loc[1, "text"] = "50 % of\n\n#_{$}\\ é " + "eeee" * 40
    caption = write_samples(study, samples, tmp_path)
    assert "40 characters, drawn at temperature 0.8 with one seed" in caption
    assert len((tmp_path / "samples.tex").read_text().split(r"\\")) == 3 + 1  # the text and the first seed of two arms
    page = tmp_path / "page.tex"
    page.write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{samples.tex}\\end{document}"
    )
    assert "Output written on page.pdf" in compiled(page)


def test_a_prompt_that_cannot_be_written_on_and_a_problem_without_characters_are_refused_at_once():
    with pytest.raises(UsageError, match="'É' is not among the characters"):
        Study("a", "?", "char-transformer-small", (Arm("a"),), (0,), problem_config=CONFIG, writing=Writing("É"))
    with pytest.raises(UsageError, match="no character model"):
        Study("a", "?", "mlp-digits", (Arm("a"),), (0,), writing=Writing())
    with pytest.raises(UsageError, match="length=0"):
        Writing(length=0)


def test_the_sentence_on_the_test_loss_names_its_lowest_and_its_last(wrote):
    study, runs = wrote
    lowest, last, epochs = [], [], []
    for seed in (0, 1):
        run = CheckpointDir(runs / f"adam-s{seed}")
        losses = [checkpoint.metrics["test_loss"] for checkpoint in run]
        lowest.append(min(losses))
        last.append(losses[-1])
        epochs.append(run[int(np.argmin(losses))].metrics["epoch"])
    (said,) = validation_sentences(study, runs)
    middle = said.split("adam ")[1].split(";")[0]
    assert middle.startswith(f"{np.mean(lowest):.1f}"[:3])
    assert f"after {np.mean(epochs):g}" in middle
    assert middle.endswith("at the end")
    assert f"{np.mean(last):.1f}"[:3] in middle
    assert validation_sentences(Study("a", "?", "two-well", (Arm("a"),), (0,)), runs) == []


def test_arms_of_other_batches_are_drawn_against_epochs_with_the_test_loss_between(wrote):
    study, runs = wrote
    figure = draw_histories(study, runs).figure
    above, between, below = figure.axes
    assert [ax.get_ylabel() for ax in figure.axes] == ["training loss", "test loss", "step size"]
    assert below.get_xlabel() == "epoch"
    tests = read_losses(study, runs, "test_loss")
    for ax in (above, between):
        assert [line.get_xdata()[-1] for line in ax.lines] == [3, 3]
    ends = tests[(tests["arm"] == "adam")].groupby("seed")["value"].last()
    assert between.lines[0].get_ydata()[-1] == pytest.approx(ends.median())
    assert max(below.lines[0].get_xdata()) <= 3
    # Where losses fell, each seed saved at steps of its own, which are no places for a median over seeds.
    own = tests[tests["arm"] == "adam"].groupby("step")["seed"].nunique()
    assert (own < 2).any()
    assert len(above.lines[0].get_xdata()) == (own == 2).sum()
