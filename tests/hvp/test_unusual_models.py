"""Models that do unusual things when they are called are measured right by every route, or refused with the way out.

The truth is the matrix of central differences of plain gradients in float64.
"""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import landscape as ls
from tests.support.differences import hessian_by_differences, off
from tests.support.networks import seeded
from tests.support.products import ROUTES


def rows(count=20, width=4, classes=3):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.randn(count, width), torch.randint(classes, (count,))


class RunsAgain(nn.Module):
    """A part of it runs again during the backward pass."""

    def __init__(self, reentrant, whole=False):
        super().__init__()
        self.reentrant, self.whole = reentrant, whole
        self.a, self.b, self.c = nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def inner(self, h):
        return torch.tanh(self.b(torch.tanh(h)))

    def twice(self, h):
        return checkpoint(self.inner, h, use_reentrant=self.reentrant) * 2

    def forward(self, x):
        h = self.a(x)
        return self.c(checkpoint(self.twice if self.whole else self.inner, h, use_reentrant=self.reentrant))


class InSegments(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))

    def forward(self, x):
        return checkpoint_sequential(self.body, 2, x, use_reentrant=False)


def compiled_inside():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))
    model[0] = torch.compile(model[0], backend="eager")
    model[1] = torch.compile(model[1], backend="eager")
    return model


class CompiledMethod(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 3)

    @torch.compile(backend="eager")
    def fast(self, x):
        return torch.tanh(self.a(x)) ** 2

    def forward(self, x):
        return self.b(self.fast(x))


def weight_normalised():
    """torch's own second derivative of the fused operation takes the norm for a constant: 17 % off here."""
    norm = nn.utils.parametrizations.weight_norm
    return nn.Sequential(norm(nn.Linear(4, 3), dim=1), nn.Tanh(), norm(nn.Linear(3, 3)))


def made_in_inference_mode():
    with torch.inference_mode():
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 3))


NORMS = (nn.utils.parametrizations.weight_norm, nn.utils.weight_norm)
MODELS = {
    "non-reentrant checkpointing": lambda: RunsAgain(False),
    "reentrant checkpointing": lambda: RunsAgain(True),
    "checkpointing within checkpointing": lambda: RunsAgain(False, whole=True),
    "checkpointing in segments": InSegments,
    "compiled children": compiled_inside,
    "a compiled method": CompiledMethod,
    "weight normalisation": weight_normalised,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_such_models_have_the_hessian_of_the_function_they_compute(name, dtype):
    model, (x, y) = seeded(MODELS[name]), rows()
    model(x)  # a compiled model has run before, as it has after training
    truth = hessian_by_differences(model, lambda m: F.cross_entropy(m(x.double()), y))
    objective = ls.Objective(model, F.cross_entropy, (x, y), dtype=dtype)
    for route in ROUTES:
        assert off(ls.HessianOperator(objective, route=route).dense(), truth) < 1e-5, route
    assert off(ls.GaussNewtonOperator(objective).dense(), truth) < 1  # it exists; it is another matrix


def test_checkpointing_is_on_again_after_a_measurement():
    model, (x, y) = seeded(lambda: RunsAgain(False)), rows()
    before = torch.utils.checkpoint.CheckpointFunction
    runs = []
    model.b.register_forward_hook(lambda *_: runs.append(1))
    ls.Objective(model, F.cross_entropy, (x, y)).gradient()
    runs.clear()
    F.cross_entropy(model(x), y).backward()
    assert len(runs) == 2
    assert torch.utils.checkpoint.CheckpointFunction is before


def test_weight_normalisation_by_the_older_hook_is_that_of_the_parametrization_and_fused_again_afterwards():
    (x, y), fused = rows(), torch._weight_norm
    new, old = (seeded(lambda norm=norm: nn.Sequential(norm(nn.Linear(4, 3)), nn.Tanh())) for norm in NORMS)
    dense = [ls.HessianOperator(ls.Objective(m, F.cross_entropy, (x, y))).dense() for m in (new, old)]
    assert {name for name, _ in old.named_parameters()} == {"0.bias", "0.weight_g", "0.weight_v"}
    assert off(dense[0], dense[1].double()) < 1e-6
    assert torch._weight_norm is fused
    assert sys.modules["torch.nn.utils.weight_norm"]._weight_norm is fused


def test_models_and_data_made_in_inference_mode_are_measured_anywhere():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = made_in_inference_mode()
    x, y = rows()
    truth = hessian_by_differences(
        seeded(lambda: nn.Sequential(*_plain(model))), lambda m: F.cross_entropy(m(x.double()), y)
    )
    objective = ls.Objective(model, F.cross_entropy, (x, y))
    for route in ROUTES:
        assert off(ls.HessianOperator(objective, route=route).dense(), truth) < 1e-5, route
    with torch.inference_mode():
        held = ls.Objective(model, F.cross_entropy, (x.clone(), y.clone()))
        assert off(ls.HessianOperator(held).dense(), truth) < 1e-5
        assert ls.sharpness(held, measure="worst").value > 0
        assert ls.evaluate_line(held, ls.random_plane(held)[:, 0], points=3).curvature_agrees


def _plain(model):
    """The same layers with ordinary tensors."""
    twins = [nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 3)]
    for twin, made in zip(twins, model, strict=True):
        twin.load_state_dict({name: tensor.clone() for name, tensor in made.state_dict().items()})
    return twins


def contractive(model, batch):
    """Cross-entropy plus the size of the Jacobian by the inputs, through torch.func."""
    x, y = batch
    tensors = dict(model.named_parameters())

    def one(row):
        return torch.func.functional_call(model, tensors, (row[None],))[0]

    slopes = torch.vmap(torch.func.jacrev(one))(x)
    return F.cross_entropy(model(x), y) + (slopes**2).mean()


def curved(model, batch):
    """A penalty on the second derivative by the inputs: four derivatives in all."""
    x, y = batch

    def one(row):
        return model(row[None]).square().sum()

    bends = torch.vmap(torch.func.hessian(one))(x)
    return F.cross_entropy(model(x), y) + 0.1 * (bends**2).mean()


@pytest.mark.parametrize("loss", [contractive, curved])
def test_losses_that_use_functional_transforms_themselves_are_measured(loss):
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)))
    x, y = rows()
    truth = hessian_by_differences(model, lambda m: loss(m, (x.double(), y)))
    objective = ls.Objective.from_loss(model, loss, (x, y))
    assert off(ls.HessianOperator(objective).dense(), truth) < 1e-4
    assert off(ls.HessianOperator(objective, route="retained").dense(), truth) < 1e-4


def lazy():
    return nn.Sequential(nn.LazyLinear(3), nn.Tanh(), nn.LazyLinear(3))


def on_meta():
    with torch.device("meta"):
        return nn.Linear(4, 3)


def half_on_meta():
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3, device="meta"))


def quantised():
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)), {nn.Linear})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lazy, "lazy module has no shape yet; call the model once"),
        (on_meta, "meta device and has no values; load the weights first"),
        (half_on_meta, "'1.weight' is on the meta device"),
        (quantised, "'0' .* is quantised: its weights are whole numbers"),
    ],
)
def test_models_without_usable_weights_are_refused_with_the_way_out(make, words):
    model = seeded(make)
    with pytest.raises(ls.ObjectiveError, match=words):
        ls.Objective(model, F.cross_entropy, rows())


class Waves(nn.Module):
    """A filter in Fourier space: complex inside, and complex weights unless they are held as real ones."""

    def __init__(self, weight):
        super().__init__()
        self.weight, self.head = weight, nn.Linear(8, 3)

    def forward(self, x):
        w = self.weight if self.weight.is_complex() else torch.view_as_complex(self.weight)
        z = torch.fft.rfft(x, n=8)
        return self.head(torch.tanh(torch.fft.irfft(torch.cat([z[:, :3] * w, 0 * z[:, 3:]], 1), n=8)))


def complex_weight(trainable):
    return nn.Parameter(torch.randn(3, dtype=torch.cfloat), requires_grad=trainable)


def test_complex_parameters_are_refused_with_the_way_to_hold_them():
    model = seeded(lambda: Waves(complex_weight(True)))
    with pytest.raises(ls.ObjectiveError, match="'weight' is complex64.*view_as_real"):
        ls.Objective(model, F.cross_entropy, rows())
    assert ls.Objective(model, F.cross_entropy, rows(), params="head.*").layout.size == 27


@pytest.mark.parametrize("weight", [lambda: complex_weight(False), lambda: nn.Parameter(torch.randn(3, 2))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_complex_and_fixed_keeps_its_imaginary_part(weight, dtype):
    """A frozen complex weight, and complex numbers inside a model of real parameters."""
    model, (x, y) = seeded(lambda: Waves(weight())), rows()
    objective = ls.Objective(model, F.cross_entropy, (x, y), dtype=dtype)
    with torch.no_grad():
        assert objective.loss() == pytest.approx(float(F.cross_entropy(model(x), y)), rel=1e-6)
    found = ls.HessianOperator(objective).dense()
    if model.weight.is_complex():  # ``.double()`` leaves complex parameters as they are
        model.weight.data = model.weight.data.to(torch.cdouble)
    assert off(found, hessian_by_differences(model, lambda m: F.cross_entropy(m(x.double()), y))) < 1e-5


def test_complex_outputs_are_refused_by_gauss_newton_with_the_way_out():
    class Spectrum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 3)

        def forward(self, x):
            return torch.fft.fft(self.a(x)), self.a(x)

    x, _ = rows()
    objective = ls.Objective(seeded(Spectrum), lambda out, t: (out[0].abs() ** 2).mean() + out[1].mean(), (x, x))
    with pytest.raises(ls.ObjectiveError, match="view_as_real"):
        ls.GaussNewtonOperator(objective)
