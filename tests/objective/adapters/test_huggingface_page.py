"""What docs/huggingface.md shows runs; adapters of PEFT are asked in their own parameters."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch

import landscape as ls
from tests.support.heads import Own, build, data
from tests.support.products import seeded_vector

peft = pytest.importorskip("peft")
PAGE = Path(__file__).parents[3] / "docs" / "huggingface.md"


@pytest.mark.slow
def test_the_examples_of_the_page_run_in_order():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 3
    scope: dict[str, object] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for block in blocks:
            exec(compile(block, "huggingface.md", "exec"), scope)
            if "F = " in block:  # before PEFT puts its layers into the model
                v = torch.randn(scope["objective"].layout.size)
                exact = scope["G"] @ v
                assert (scope["F"] @ v - exact).norm() <= 1e-4 * exact.norm()
    assert scope["adapter"].layout.size == 2 * (2 * 16 + 2 * 48)  # A (2, 16) and B (48, 2) of each of two layers


@pytest.mark.slow
@pytest.mark.filterwarnings("error:the loss of")
def test_products_by_an_adapter_alone_are_torchs():
    """Everything else is frozen; LoRA's B is moved away from zero, where half of the Hessian would vanish."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["c_attn"], fan_in_fan_out=True)
        model = peft.get_peft_model(build("causal"), config).eval()
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
    objective = ls.Objective.from_huggingface(model, data("causal"), params="*lora*", chunk=4)
    own = Own(model, data("causal"))
    v = seeded_vector(objective.layout.size, 0)
    exact = own.product(v)
    for route in ("fresh", "linearized"):
        assert (ls.HessianOperator(objective, route=route) @ v - exact).norm() <= 1e-10 * exact.norm()
