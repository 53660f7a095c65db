"""What the page on objectives and results shows runs, in its order, and means what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import landscape as ls
from tests.support.runs import SMALL, make_runs
from tests.support.synthetic_results import make_results

PAGE = Path(__file__).parents[2] / "docs" / "objectives.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def run(blocks: list[str], scope: dict) -> dict:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for block in blocks:
            exec(compile(block, "objectives.md", "exec"), scope)
    return scope


@pytest.fixture(scope="module")
def shown() -> dict:
    """Every name that the part on objectives defines."""
    return run([block for block in BLOCKS if "results" not in block], {})


def test_the_page_is_short_and_is_all_run():
    assert len(PAGE.read_text().splitlines()) <= 120
    assert len(BLOCKS) == 9
    for word in ("from_loss", "from_outputs", "weight=", "params=", "mode=", "chunk=", "interacting=", "batch["):
        assert any(word in block for block in BLOCKS), word


def test_the_loss_over_tokens_is_the_mean_over_all_that_count(shown):
    """Not the mean of the batches' means, whose numbers of tokens differ."""
    each = [
        functional.cross_entropy(
            shown["language_model"](batch["tokens"]).flatten(0, 1), batch["next"].flatten(), reduction="none"
        )[batch["keep"].flatten()]
        for batch in shown["batches"]
    ]
    assert shown["tokens"].loss() == pytest.approx(float(torch.cat(each).detach().mean()), rel=1e-6)
    means = torch.stack([part.detach().mean() for part in each]).mean()
    assert shown["tokens"].loss() != pytest.approx(float(means), rel=1e-6)
    with pytest.raises(ls.ObjectiveError, match="not a mean over examples.*weight="):
        ls.Objective.from_loss(shown["language_model"], shown["loss"], shown["batches"])


def test_every_way_to_say_it_gives_the_loss_that_torch_gives(shown):
    plain = float(functional.cross_entropy(shown["model"](shown["x"]), shown["y"]).detach())
    squares = sum(float(p.detach().square().sum()) for p in shown["model"].parameters())
    assert shown["objective"].loss() == pytest.approx(plain, rel=1e-6)
    assert shown["split"].loss() == pytest.approx(plain, rel=1e-6)
    assert shown["in_pieces"].loss() == pytest.approx(plain, rel=1e-6)
    assert shown["in_pieces"].num_chunks == 4
    assert shown["regularized"].loss() == pytest.approx(plain + 0.01 * squares, rel=1e-5)
    assert shown["G"].dim == shown["objective"].layout.size


def test_params_and_mode_ask_what_the_page_says(shown):
    assert shown["head"].layout.names == ("2.weight", "2.bias")
    assert shown["head"].layout.frozen == ("0.weight", "0.bias")
    first, norm, tanh, last = shown["normalized"]
    with torch.no_grad():
        hidden = first(shown["x"])
        hidden = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + norm.eps).sqrt()
        expected = functional.cross_entropy(last(tanh(hidden * norm.weight + norm.bias)), shown["y"])
    assert shown["as_trained"].loss() == pytest.approx(float(expected), rel=1e-5)


def test_the_contrastive_loss_is_the_mean_of_its_batches_as_they_come(shown):
    losses = [float(shown["contrast"](shown["encoder"], view).detach()) for view in shown["views"]]
    assert shown["pairs"].loss() == pytest.approx(sum(losses) / 3, rel=1e-6)


@pytest.fixture(scope="module", params=["made up", pytest.param("analyzed", marks=pytest.mark.slow)])
def folder(request, tmp_path_factory) -> Path:
    """Two optimizers × two seeds, three steps each."""
    made = tmp_path_factory.mktemp("page") / "demo"
    if request.param == "made up":
        return make_results(made, optimizers=("adam", "sgd"), steps=(1, 2, 3), vectors=False)
    ls.analyze(make_runs(made), SMALL)
    return made


def test_what_is_shown_of_results_runs(folder, tmp_path, monkeypatch, capsys):
    pytest.importorskip("xarray")
    monkeypatch.chdir(tmp_path)
    blocks = [block.replace("checkpoints/demo", str(folder)) for block in BLOCKS if "results" in block]
    assert len(blocks) == 3
    scope = run(blocks, {"ls": ls})
    said = capsys.readouterr().out
    results = scope["results"]
    assert said.startswith(repr(results))
    assert str(results["adam-s0"][-1].trace) in said
    assert str(results["adam-s0"][-1].value("lambda_max")) in said
    assert (tmp_path / "trace.pdf").exists()
    assert "@article{hutchinson," in said
    frame = scope["frame"]
    assert set(frame["run"]) == {"adam-s0", "adam-s1", "sgd-s0", "sgd-s1"}
    assert len(scope["barriers"]) == len(results.pairs)
    row = frame[(frame["run"] == "sgd-s1") & (frame["step"] == 3) & (frame["measure"] == "trace")]
    assert float(scope["data"]["trace"].sel(run="sgd-s1", step=3)) == row["value"].item()


def test_every_record_that_analyze_leaves_draws_itself(folder):
    for checkpoint in ls.load_results(folder)["adam-s0"]:
        for name, record in checkpoint.records.items():
            ax = record.plot()
            assert ax.get_xlabel(), name
