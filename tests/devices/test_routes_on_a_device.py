"""Every way to multiply by a Hessian, by name, and every kind of objective, on the pretended device."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from landscape.errors import ObjectiveError
from landscape.hvp.routes import ROUTES
from tests.support.networks import make
from tests.support.on_both_sides import Side, assert_same
from tests.support.pretended_device import counts, on_pretended_device

_COMPILED = [name for name in ROUTES if name.startswith("compiled")]
_NAMES = [name for name in ROUTES if name not in _COMPILED] + ["linearized/blocks-4", "forward/blocks-8"]
KINDS = ("mlp", "frozen", "cnn", "tied", "siamese")


def objective_on(device, kind, **options):
    model, loss, batches = make(kind)
    there = [tuple(t.to(device) for t in batch) for batch in batches]
    return ls.Objective(model.to(device), loss, there, **options)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@on_pretended_device
def test_each_route_gives_the_product_of_the_cpu(device, kind):
    here, there = (objective_on(place, kind) for place in ("cpu", device))
    v = ls.random_direction(here, ignore=None)
    expected = here.hvp(v)
    for route in _NAMES:
        H = ls.HessianOperator(there, route=route)
        product = H @ v
        assert product.device == device
        assert float((product.cpu() - expected).norm()) <= 1e-6 * float(expected.norm()), route
        assert_same(H @ torch.stack([v, 2 * v], 1), torch.stack([expected, 2 * expected], 1), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("route", _COMPILED)
@on_pretended_device
def test_what_cannot_be_compiled_for_a_device_is_refused_by_name(device, route):
    with pytest.raises(ObjectiveError, match=f"route='{route}' is impossible"):
        ls.HessianOperator(Side(device).objective, route=route)


@on_pretended_device
def test_layouts_of_images_are_tried_there_too(device):
    here, there = (objective_on(place, "cnn") for place in ("cpu", device))
    v = ls.random_direction(here)
    H = ls.HessianOperator(there, route="linearized/channels-last")
    assert_same(here.hvp(v), H @ v)


@pytest.mark.slow
@on_pretended_device
def test_the_planner_chooses_among_routes_and_another_point_takes_its_recording(device):
    side = Side(device)
    H = ls.HessianOperator(side.objective, expected_matvecs=10**6)
    assert {c.route for c in H.plan.candidates if not c.refused} >= {"fresh", "linearized"}, str(H.plan)
    v = side.another
    assert_same(H @ v, side.hessian @ v)
    assert_same(H.at(side.another) @ v, side.objective.hvp(v, side.another))


@pytest.mark.parametrize("where", ["model there, data here", "model here, data there", "both here, device="])
@on_pretended_device
def test_data_and_model_may_come_from_either_side(device, where):
    here, there = Side(torch.device("cpu")), Side(device)
    model = there.model if where.startswith("model there") else here.model
    data = there.data if where.endswith("data there") else here.data
    objective = ls.Objective(model, F.cross_entropy, data, device=device, chunk=13)
    loss, gradient = objective.loss_and_gradient()
    assert gradient.device == device
    assert_same([loss, gradient], list(here.objective.loss_and_gradient()))
    assert next(model.parameters()).device == (device if where.startswith("model there") else torch.device("cpu"))
    assert objective.digest() == here.objective.digest()
    assert objective.constants_digest() == here.objective.constants_digest()


@on_pretended_device
def test_other_forms_of_the_question_stay_on_the_device(device):
    here, there = Side(torch.device("cpu")).objective, Side(device).objective
    forms = {
        "float32": lambda o: o.with_dtype(torch.float32),
        "a subset": lambda o: o.subset([3, 1, 4]),
        "the first": lambda o: o.on_first(5),
        "other chunks": lambda o: o.rechunked(7),
        "normalised": lambda o: ls.logit_normalized(o),
    }
    for name, form in forms.items():
        ours, its = form(here), form(there)
        assert its.device == device, name
        assert_same(list(ours.loss_and_gradient()), list(its.loss_and_gradient()), rtol=1e-5)


@on_pretended_device
def test_the_model_is_left_as_it_was_there(device):
    objective = objective_on(device, "cnn")
    model = objective.module.model.train()
    before = copy.deepcopy(model.state_dict())
    H = ls.HessianOperator(objective)
    ls.top_eigenpairs(H, 1, strict=False)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.training
    assert all(p.grad is None and p.device == device for p in model.parameters())


@on_pretended_device
def test_a_product_reads_no_number_from_the_device(device):
    """Each read waits for all that is queued; what checks a product for NaN reads one, the product itself none."""
    side = Side(device)
    H, v = side.hessian, side.another
    H @ v
    counts.clear()
    H @ v
    assert counts["reads"] == counts["to the CPU"] == counts["to the device"] == 0


@on_pretended_device
def test_a_loss_with_tensors_of_its_own_and_one_of_a_whole_batch(device):
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("w", torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64))

        def forward(self, outputs, targets):
            return F.cross_entropy(outputs, targets, weight=self.w, reduction="none").mean()

    here, there = Side(torch.device("cpu")), Side(device)
    for make_one in (
        lambda s: ls.Objective(s.model, Weighted().to(s.device), s.data),
        lambda s: ls.Objective.from_loss(s.model, lambda m, b: F.cross_entropy(m(b[0]), b[1]), s.data),
    ):
        assert_same(list(make_one(here).loss_and_gradient()), list(make_one(there).loss_and_gradient()))
