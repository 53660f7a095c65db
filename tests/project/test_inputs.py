"""24 kinds of input take few lines, and a few of them are measured here from the user's file to ``results.h5``."""

from __future__ import annotations

import re
import statistics

import numpy as np
import pytest
import torch

from tests.support.kinds import NEEDS, ROOT, assert_right, load_script

inputs = load_script()
PAGE = ROOT / "docs" / "inputs.md"


def test_the_median_kind_takes_five_lines_at_most_and_none_more_than_twelve():
    counts = [inputs.lines_of(kind) for kind in inputs.KINDS]
    assert len(counts) == 24
    assert statistics.median(counts) <= 5
    assert max(counts) <= 12


def test_lines_are_counted_as_they_stand():
    """By hand, of two files: the import is one."""
    assert inputs.code_of("lora").count("\n") == 0
    assert inputs.lines_of("lora") == 2
    assert inputs.lines_of("t5") == 7


def test_every_file_is_a_kind_and_uses_landscape_in_its_lines_alone():
    files = {path.stem for path in inputs.FOLDER.glob("*.py") if path.stem != "conftest"}
    assert files == set(inputs.KINDS)
    for kind in inputs.KINDS:
        source = (inputs.FOLDER / f"{kind}.py").read_text()
        others = source.replace(inputs.code_of(kind), "").replace("import landscape as ls\n", "")
        assert not re.search(r"\bls\.|landscape\b(?<!For landscape)", others), kind


def test_the_page_has_the_lines_as_they_are_and_a_row_for_each_kind():
    page = PAGE.read_text()
    for kind in inputs.KINDS:
        assert f"```python\n{inputs.code_of(kind)}\n```" in page, kind
        (row,) = re.findall(rf"^\| \[[^\]]+\]\(#{kind}\) \| (\d+) \|", page, flags=re.M)
        assert int(row) == inputs.lines_of(kind)
    assert page.startswith(inputs.INTRODUCTION)


def test_the_dense_hessian_is_that_of_a_closed_form():
    """Logistic regression: XᵀDX, D of the probabilities; held against nothing of landscape."""

    class Kind:
        class problem:
            mode = None

        draw = torch.Generator().manual_seed(0)
        data = torch.randn(9, 3, generator=draw), torch.randint(2, (9,), generator=draw).float()

        @staticmethod
        def whole(model, data):
            return torch.nn.functional.binary_cross_entropy_with_logits(model(data[0])[:, 0], data[1])

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1, bias=False)
    loss, hessian = inputs.dense(Kind, model)
    x = Kind.data[0].double().numpy()
    p = 1 / (1 + np.exp(-x @ model.weight.detach().double().numpy()[0]))
    expected = (x.T * (p * (1 - p))) @ x / 9
    np.testing.assert_allclose(hessian.numpy(), expected, rtol=1e-12, atol=1e-14)
    y = Kind.data[1].numpy()
    assert loss == pytest.approx(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gru", "gcn", "batchnorm", "table"])
def test_a_user_s_file_is_measured_right(kind, tmp_path):
    pytest.importorskip(NEEDS.get(kind, "torch"))
    assert_right(inputs.measured(kind, tmp_path))
