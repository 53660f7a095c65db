"""What inspect says of a checkpoint, and the file read as its documentation tells."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from landscape.checkpoints import (
    describe_checkpoint,
    hashes_hold,
    load_checkpoint,
    save_checkpoint,
)
from tests.support.checkpoints import linear, make, stepped


def stepped_bias(path: Path) -> bytes:
    return load_checkpoint(path).params()["norm.bias"].numpy().tobytes()


def test_describe_shows_fields_tensors_and_whether_the_hashes_hold(saved):
    lines = dict(describe_checkpoint(saved))
    assert lines["step"] == "7"
    assert lines["problem"].startswith("mlp-digits  hidden=[100, 100]")
    assert lines["  short.weight"] == "3 × 5, bfloat16"
    assert lines["  short.bias"] == "3, bfloat16, frozen"
    assert lines["  head.weight"] == "tied to embed.weight"
    assert lines["metrics.accuracy_per_class"] == "[1, None]"
    assert lines["optimizer state"].startswith("Adam: exp_avg, exp_avg_sq, step for 6 tensors")
    assert lines["resume"] == "order, rng"
    assert lines["sha256"].endswith(" holds")
    assert hashes_hold(list(lines.items()))
    value = make().norm.bias.detach()
    stored = stepped_bias(saved)
    raw = saved.read_bytes()
    assert raw.count(stored) == 1
    saved.write_bytes(raw.replace(stored, value.add(9).numpy().tobytes()))
    lines = dict(describe_checkpoint(saved))
    assert not hashes_hold(list(lines.items()))
    assert "DOES NOT HOLD" in lines["sha256"]
    assert "DOES NOT HOLD" in lines["params_sha256"]
    bare = dict(describe_checkpoint(save_checkpoint(saved.parent, linear(2, 1), step=8)))
    assert bare["problem"] == "not named"


def test_the_documented_way_to_read_a_file_works(tmp_path, monkeypatch, capsys):
    readme = Path(__file__).parents[2] / "checkpoints" / "README.md"
    example = re.search(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)[1]
    model = linear(3, 2)
    metrics, optimizer = {"test_accuracy": 0.975}, stepped("Adam", model)
    save_checkpoint(tmp_path, model, step=690, problem="two-well", optimizer=optimizer, metrics=metrics)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(readme), "exec"), {})
    out = capsys.readouterr().out
    assert out == "two-well adam 690\ntest accuracy 0.975\nweight (2, 3) float32\nbias (2,) float32\n"


def test_the_documented_hash_of_the_parameters_can_be_computed_from_the_readme(saved):
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(load_checkpoint(saved).params().items()):
        raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for part in (f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode(), f"|u1({len(raw)},)".encode(), raw):
            digest.update(len(part).to_bytes(8, "little") + part)
    assert digest.hexdigest() == load_checkpoint(saved).params_sha256
