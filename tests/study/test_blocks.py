"""Curvature by blocks along the runs of a study: against dense blocks, kept where it was measured, told and drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.func import functional_call

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.study import Arm, Blocks, Study
from landscape.study.blocks import blocks_sentences, draw_blocks, measure_blocks, read_blocks
from tests.support.studies import trained


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two arms, two seeds, measured at three checkpoints."""
    out = tmp_path_factory.mktemp("blocks")
    config = {"hidden": [3], "num_train": 40}
    study = trained(
        out / "runs", problem="mlp-digits", problem_config=config, paths=False, seeds=(0, 1),
        arms=(Arm("sgd", {"optimizer": "sgd"}), Arm("adam", {"optimizer": "adam", "lr": 0.01})),
        settings={"epochs": 6, "batch_size": 20},
        blocks=Blocks(groups="module", looks=3, probes=150, lambda_max=True),
    )  # fmt: skip
    measure_blocks(study, out, workers=1)
    return study, out


def dense_block(study, checkpoint, block):
    """The Hessian of the mean loss over the training data in the tensors of one module, by torch alone."""
    problem = study.problem_of(study.arms[0])
    model, (x, y) = checkpoint.model(problem), problem.data("train")
    named = {name: p.detach() for name, p in model.named_parameters()}
    inside = {name: p for name, p in named.items() if name.rpartition(".")[0] == block}
    sizes = [p.numel() for p in inside.values()]

    def loss(flat):
        parts = dict(zip(inside, flat.split(sizes), strict=True))
        full = named | {name: part.view_as(inside[name]) for name, part in parts.items()}
        return problem.loss_fn(functional_call(model, full, (x,)), y)

    return torch.func.hessian(loss)(torch.cat([p.flatten() for p in inside.values()])).double().numpy()


def test_traces_and_largest_eigenvalues_are_those_of_the_dense_blocks(measured):
    study, out = measured
    found = read_blocks(study, out)
    assert len(found) == 2 * 2 * 3 * 2
    for label in ("sgd", "adam"):
        run = CheckpointDir(out / "runs" / f"{label}-s1")
        rows = found[(found["arm"] == label) & (found["seed"] == 1)]
        assert rows["step"].drop_duplicates().to_list()[::2] == [0, run.steps[-1]]
        for row in rows[rows["step"] == run.steps[-1]].itertuples():
            dense = dense_block(study, run[-1], row.block)
            assert row.parameters == len(dense)
            assert abs(row.trace - np.trace(dense)) < 4 * row.trace_sem < 0.9 * abs(row.trace)
            assert row.lambda_max == pytest.approx(np.linalg.eigvalsh(dense)[-1], rel=0.05)


def test_the_sentence_names_the_block_with_most_of_the_trace_at_the_end(measured):
    study, out = measured
    found = read_blocks(study, out)
    first, second = blocks_sentences(study, found)
    run = CheckpointDir(out / "runs" / "sgd-s0")
    names = list(dict.fromkeys(found["block"]))
    shares = []
    for seed in (0, 1):
        last = CheckpointDir(out / "runs" / f"sgd-s{seed}")[-1]
        traces = [np.trace(dense_block(study, last, name)) for name in names]
        shares.append(np.array(traces) / sum(traces))
    largest = names[int(np.mean(shares, axis=0).argmax())]
    assert f"has: sgd {largest} (" in first
    assert second.startswith("The largest λ_max of a block there: sgd ")
    assert len(run) > 3  # it was not all of the checkpoints that were measured


def test_what_was_measured_is_kept_until_checkpoints_or_questions_change(measured):
    study, out = measured
    file = out / "blocks" / "sgd-s0.json"
    before = file.read_text()
    file.write_text(before.replace('"rows": [[0,', '"rows": [[0 ,'))  # the same, and known again
    kept = file.read_text()
    measure_blocks(study, out, workers=1)
    assert file.read_text() == kept != before
    file.write_text(json.dumps(json.loads(before) | {"asked": {}}))
    measure_blocks(study, out, workers=1)
    again, first = (np.array([row[4] for row in json.loads(text)["rows"]]) for text in (file.read_text(), before))
    assert again == pytest.approx(first, rel=1e-4)


def test_every_block_has_a_panel_with_a_line_for_every_arm(measured):
    study, out = measured
    drawing = draw_blocks(study, read_blocks(study, out))
    panels = drawing.figure.axes
    assert len(panels) == 2
    found = read_blocks(study, out)
    for ax in panels:
        assert len(ax.lines) == 2
        name = ax.get_title()
        sgd = found[(found["arm"] == "sgd") & (found["block"] == name)]
        last = sgd[sgd["step"] == sgd["step"].max()]["lambda_max"].median()
        assert ax.lines[0].get_ydata()[-1] == pytest.approx(last)
        assert ax.lines[0].get_xdata()[-1] == 6
    assert "λ_max of each diagonal block" in drawing.caption


def test_a_study_that_asks_for_no_blocks_has_none(tmp_path):
    study = Study("a", "?", "mlp-digits", (Arm("a"),), (0,))
    measure_blocks(study, tmp_path, workers=1)
    assert not list(tmp_path.iterdir())
    assert read_blocks(study, tmp_path) is None
    assert draw_blocks(study, None) is None
    assert blocks_sentences(study, None) == []


def test_what_blocks_cannot_be_is_refused_and_the_rest_comes_back_from_json():
    for wrong, said in (({"looks": 1}, "looks=1"), ({"probes": 1}, "probes=1"), ({"groups": "layer"}, "'layer'")):
        with pytest.raises(UsageError, match=said):
            Blocks(**wrong)
    study = Study("a", "?", "mlp-digits", (Arm("a"),), (0,), blocks=Blocks({"all": "*"}, examples=8))
    assert Study.from_json(study.to_json()) == study
    assert study.quick().blocks == Blocks({"all": ("*",)}, looks=2, probes=2, examples=16)
    with pytest.raises(UsageError, match="Blocks: .*'where'"):
        Study.from_json(study.to_json().replace('"looks"', '"where"'))
