"""What docs/frameworks.md shows runs, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow  # the libraries take seconds to load
PAGE = Path(__file__).parents[3] / "docs" / "frameworks.md"


def test_the_examples_of_the_page_run_in_order(capsys):
    for library in ("lightning", "torch_geometric", "peft"):
        pytest.importorskip(library)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    scope: dict[str, object] = {"__name__": "frameworks"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for block in blocks:
            exec(compile(block, PAGE.name, "exec"), scope)
    assert "λ1" in (said := capsys.readouterr().out), said
    assert "worst" in said
