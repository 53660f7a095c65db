"""What is asked of a device: of a pretended torch.cuda, and of the settings of torch, which a CPU build has too."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

import landscape as ls
from landscape import device, hvp
from landscape.objective import chunks

CPU, CUDA, MPS = (torch.device(kind) for kind in ("cpu", "cuda", "mps"))
GPU = torch.device("cuda", 1)


@pytest.fixture
def cuda(monkeypatch):
    """A torch.cuda that remembers what it was asked."""
    seen = []
    generators = [torch.Generator() for _ in range(2)]
    fake = SimpleNamespace(
        seen=seen,
        default_generators=generators,
        synchronize=lambda of: seen.append(("synchronize", of)),
        mem_get_info=lambda of: (30, 100),
        memory_reserved=lambda of: 50,
        memory_allocated=lambda of: 40,
        max_memory_allocated=lambda of: 45,
        is_available=lambda: True,
        is_initialized=lambda: True,
        device_count=lambda: 2,
        current_device=lambda: 0,
        get_rng_state=lambda of: generators[of.index].get_state(),
        set_rng_state=lambda state, of: generators[of.index].set_state(state),
    )
    monkeypatch.setattr(torch, "cuda", fake)
    monkeypatch.setattr(torch, "get_device_module", lambda kind: fake)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: CUDA)
    return fake


def test_a_clock_waits_for_the_device_that_is_meant(cuda):
    device.synchronize(GPU)
    assert cuda.seen == [("synchronize", GPU)]
    device.synchronize(CPU)
    assert len(cuda.seen) == 1


def test_a_route_is_timed_with_the_device_at_rest_before_and_after(cuda, monkeypatch):
    order = []
    monkeypatch.setattr(cuda, "synchronize", lambda of: order.append("wait"))
    hvp.blocks.seconds(lambda: order.append("work"), GPU, 0.0)
    assert order == ["wait", "work", "wait"]


def test_free_memory_counts_what_torch_holds_and_has_not_handed_out(cuda):
    assert device.free_bytes(GPU) == 30 + (50 - 40)
    assert device.total_bytes(GPU) == 100
    assert device.peak_bytes(GPU) == 45
    assert device.free_bytes(CPU) is device.total_bytes(CPU) is device.peak_bytes(CPU) is None


def test_the_most_a_process_used_is_its_own_and_not_that_of_the_one_which_started_it():
    held = torch.ones(1_000_000_000, dtype=torch.uint8)
    mine = device.peak_of_process()
    asked = "from landscape.device import peak_of_process; print(peak_of_process())"
    child = int(subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout)
    assert mine > len(held)
    assert 5e6 < child < len(held)


def test_apples_gpus_are_asked_in_their_own_words(monkeypatch):
    fake = SimpleNamespace(
        synchronize=lambda: None, recommended_max_memory=lambda: 100, driver_allocated_memory=lambda: 30
    )
    monkeypatch.setattr(torch, "mps", fake)
    device.synchronize(MPS)
    assert (device.total_bytes(MPS), device.free_bytes(MPS), device.peak_bytes(MPS)) == (100, 70, 30)
    assert not device.has_float64(MPS)
    assert device.place_of_float64(MPS) == CPU
    assert device.place_of_float64(CUDA) == CUDA


def test_what_may_be_kept_is_what_was_asked_or_two_fifths_of_what_is_free(cuda):
    assert hvp.allowed(7, GPU) == 7
    assert hvp.allowed(None, GPU) == 16
    assert hvp.allowed(None, CPU) >= 2 * 2**30


def test_chunks_fill_a_share_of_a_device_and_the_caches_of_a_cpu(monkeypatch):
    x = torch.arange(60000.0).reshape(-1, 2).sin()
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(2, 1)
    objective = ls.Objective(model, torch.nn.functional.mse_loss, (x, x[:, :1]), check=False)
    scale = chunks.Scale(per_example=32768.0)
    assert chunks.automatic(objective, scale) <= chunks.CACHE_BYTES // 32768
    monkeypatch.setattr(chunks, "total_bytes", lambda of: 2 * 2**30)
    assert 0.9 * 2048 <= chunks.automatic(objective, scale) <= 2048  # 64 MiB


def test_generators_of_all_devices_end_where_they_began_and_begin_at_the_seed(cuda):
    cuda.default_generators[1].manual_seed(5)
    states = [g.get_state() for g in cuda.default_generators]
    drawn = []
    for _ in range(2):
        with device.generators_kept(device.accelerators(), seed=3):
            drawn.append([torch.rand(2), *(torch.rand(2, generator=g) for g in cuda.default_generators)])
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))
    assert all(torch.equal(g.get_state(), state) for g, state in zip(cuda.default_generators, states, strict=True))


def test_a_gpu_that_nobody_has_used_is_not_woken(cuda, monkeypatch):
    monkeypatch.setattr(cuda, "is_initialized", lambda: False)
    assert device.accelerators() == []


WAYS = {
    "set_float32_matmul_precision": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "allow_tf32": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "fp32_precision of products": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
    "fp32_precision of all": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "convolutions exact, recurrences not": lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),
    "nothing said": lambda: None,
}


@pytest.fixture
def settings_put_back(monkeypatch):
    """As where a GPU is in use, and all settings as torch has them."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    yield
    torch.backends.fp32_precision = "none"
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("way", WAYS)
def test_float32_is_exact_inside_however_less_was_asked_for_and_as_before_afterwards(way, settings_put_back):
    torch.set_float32_matmul_precision("highest")
    WAYS[way]()
    before = _in_force()
    assert (before == NOTHING_SAID) == (way == "nothing said")
    for _ in range(2):
        with device.full_precision():
            assert {*_in_force()} <= {"none", "ieee"}
            with torch.backends.cudnn.flags(enabled=False):  # as models do that differentiate recurrences twice
                pass
        assert _in_force() == before


#: oneDNN's products, convolutions and recurrences, then those of CUDA: torch's own defaults.
NOTHING_SAID = ["ieee", "none", "none", "ieee", "tf32", "tf32"]


def _in_force():
    return [place.fp32_precision for place in device._places(True)]


class Asks(torch.nn.Linear):
    """A model that notes in which precision it is run."""

    def forward(self, x):
        self.__dict__.setdefault("seen", []).append(torch.backends.cuda.matmul.fp32_precision)
        return super().forward(x).tanh()


def test_the_model_and_the_algebra_of_the_estimators_run_in_full_precision(settings_put_back):
    torch.set_float32_matmul_precision("high")
    with torch.random.fork_rng(devices=[]):
        model, x = Asks(2, 1), torch.arange(12.0).reshape(6, 2).sin()
    objective = ls.Objective(model, torch.nn.functional.mse_loss, (x, x[:, :1]))
    seen = []
    H = ls.HessianOperator(objective, route="fresh")
    ls.top_eigenpairs(H, 1, progress=lambda *_: seen.append(torch.backends.cuda.matmul.fp32_precision))
    assert set(model.seen) == set(seen) == {"ieee"}
    assert torch.get_float32_matmul_precision() == "high"


def test_cudnn_is_left_as_the_caller_has_it(monkeypatch):
    torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = True
    try:
        with device.plain_cudnn(enabled=False):
            inside = (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic)
            assert inside == (False, False, True)
        assert torch.backends.cudnn.enabled
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = False
