"""How much a product may keep: what is free decides, where nobody says."""

from __future__ import annotations

import pytest
import torch

import landscape as ls
from landscape.hvp import memory
from landscape.operators.core import CoreOperator, draw_core
from tests.support.networks import make

GB = 2**30
CPU = torch.device("cpu")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with a thread on each of its cores, and files that say what is free on it."""

    def pretend(available=None, limit=None, used=None, threads=4, cores=4):
        places = {
            "system": available and f"MemTotal: 9 kB\nMemAvailable: {available // 1024} kB\n",
            "limit": limit,
            "used": used,
        }
        for name, content in places.items():
            (tmp_path / name).unlink(missing_ok=True)
            if content is not None:
                (tmp_path / name).write_text(f"{content}\n")
        monkeypatch.setattr(memory, "_SYSTEM", str(tmp_path / "system"))
        monkeypatch.setattr(memory, "_GROUPS", ((str(tmp_path / "limit"), str(tmp_path / "used")),))
        monkeypatch.setattr(memory.torch, "get_num_threads", lambda: threads)
        monkeypatch.setattr(memory.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)

    return pretend


def test_two_fifths_of_what_is_free_may_be_kept_and_at_least_two_gigabytes(machine):
    machine(available=50 * GB)
    assert memory.allowed(None, CPU) == 20 * GB
    machine(available=GB)
    assert memory.allowed(None, CPU) == 2 * GB
    machine()  # a system that does not say
    assert memory.allowed(None, CPU) == 2 * GB


def test_processes_side_by_side_share_it_by_their_threads(machine):
    machine(available=50 * GB, threads=1)
    assert memory.allowed(None, CPU) == 5 * GB
    machine(available=50 * GB, threads=16)
    assert memory.allowed(None, CPU) == 20 * GB


def test_a_container_has_what_its_limit_leaves(machine):
    machine(available=64 * GB, limit=24 * GB, used=4 * GB)
    assert memory.allowed(None, CPU) == 8 * GB
    machine(available=50 * GB, limit="max", used=4 * GB)
    assert memory.allowed(None, CPU) == 20 * GB


def objective_of(name):
    model, loss_fn, batches = make(name)
    return ls.Objective(model, loss_fn, batches, chunk=4, check=False)


@pytest.mark.parametrize("route", ["linearized", "retained", "linearized/channels-last"])
def test_a_named_route_that_does_not_fit_keeps_nothing_and_gives_the_same_bits(route):
    objective = objective_of("cnn")
    roomy, tight = (ls.HessianOperator(objective, route=route, memory=size) for size in (GB, 1000))
    twin = {"linearized": "forward", "retained": "fresh"}
    assert roomy.route == route
    assert tight.route == "/".join([twin[route.split("/")[0]], *route.split("/")[1:]])
    v = torch.linspace(-1, 1, roomy.dim)
    assert torch.equal(roomy @ v, tight @ v)


def test_a_core_keeps_what_all_the_data_could_not():
    objective = objective_of("mlp")
    H = ls.HessianOperator(objective, route="linearized")
    needed = H._product.kept_bytes
    tight = ls.HessianOperator(objective, route="linearized", memory=needed * 3 // 4)
    assert tight.route == "forward"
    core = CoreOperator(tight, draw_core(torch.ones(objective.num_examples).numpy(), objective.num_examples // 2))
    assert {term.route for _, term in core._terms} == {"linearized"}
