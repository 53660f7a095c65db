"""Models that compute in a lower precision by themselves are measured, and the accuracy this leaves is stated."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from landscape.objective.arithmetic import lifted


class RootMeanSquare(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, h):
        f = h.float()
        return self.scale * (f * torch.rsqrt(f.square().mean(-1, keepdim=True) + 1e-6)).type_as(h)


class Attention(nn.Module):
    """A layer as language models have it: softmax in float32 whatever it is given."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.qkv, self.out = RootMeanSquare(width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, h):
        q, k, v = self.qkv(self.norm(h)).chunk(3, -1)
        weights = torch.softmax(q @ k.transpose(1, 2), -1, dtype=torch.float32).to(q.dtype)
        return h + self.out(weights @ v)


class Language(nn.Module):
    def __init__(self, layers=2, width=6, words=7, scale=0.5):
        super().__init__()
        self.words, self.norm = nn.Embedding(words, width), RootMeanSquare(width)
        self.layers = nn.Sequential(*(Attention(width) for _ in range(layers)))
        for p in self.parameters():
            if p.ndim > 1:
                nn.init.normal_(p, 0, scale)

    def forward(self, tokens):
        return (self.norm(self.layers(self.words(tokens))) @ self.words.weight.T).float()


class Collects(nn.Module):
    """It writes into a tensor that it makes itself, in torch's default type."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 4), nn.Tanh())
        self.head = nn.Linear(4, 7)

    def forward(self, x):
        out = torch.zeros(len(x), 4)
        out[:] = self.net(x)
        return self.head(out.to(x))


class Autocast(nn.Module):
    """An autocast of its own: its products are those of bfloat16 where it is given float32."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 7))

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.net(x).to(x.dtype)


def language(seed=0, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Language(**settings), (torch.randint(7, (16, 5)), torch.randint(7, (16, 5)))


def of_tokens(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def rows():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.randn(20, 5), torch.randint(7, (20,))


def made(cls):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cls()


def dense(model, loss, *, lift):
    """The Hessian by plain double backward of a float64 copy, with the model's casts, or without them."""
    twin = copy.deepcopy(model).double()
    tensors = list(twin.parameters())
    if lift:
        with lifted():
            value = loss(twin)
    else:
        value = loss(twin)
    flat = torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, tensors, create_graph=True)])
    lines = [torch.autograd.grad(entry, tensors, retain_graph=True) for entry in flat]
    return torch.stack([torch.cat([part.reshape(-1) for part in line]) for line in lines]).double()


@pytest.mark.parametrize(("layers", "scale"), [(1, 0.3), (2, 0.5), (3, 1.0), (4, 1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_language_models_with_float32_inside_are_accepted_at_any_size_of_weights(layers, scale, seed):
    model, data = language(seed, layers=layers, scale=scale)
    objective = ls.Objective(model, of_tokens, data, dtype=torch.float64)
    assert 1e-8 < objective.resolution < 1e-4
    assert "coarser inside: products to" in repr(objective)
    single = ls.Objective(model, of_tokens, data)
    assert single.resolution == torch.finfo(torch.float32).eps


def test_the_accuracy_stated_is_the_distance_from_exact_arithmetic():
    """Against the same network with its casts written out of it, by plain double backward in float64."""
    model, data = language()
    objective = ls.Objective(model, of_tokens, data, dtype=torch.float64)
    truth = dense(model, lambda m: of_tokens(m(data[0]), data[1]), lift=True)
    found = ls.HessianOperator(objective).dense()
    error = float((found - truth).norm() / truth.norm())
    assert error < 5 * objective.resolution < 100 * error


def test_casts_are_lifted_wherever_a_model_makes_them():
    """Exact arithmetic shows: the lifted Hessian is symmetric to 1e-14, that with casts to 1e-8."""
    for model, loss in [
        (language()[0], lambda m: of_tokens(m(language()[1][0]), language()[1][1])),
        (made(Collects), lambda m: F.cross_entropy(m(rows()[0].double()), rows()[1])),
    ]:
        for lift, low, high in [(True, 0, 1e-13), (False, 1e-10, 1e-4)]:
            matrix = dense(model, loss, lift=lift)
            assert low <= float((matrix - matrix.T).norm() / matrix.norm()) <= high


@pytest.mark.parametrize("cls", [Collects, Autocast])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_ways_to_be_coarse_inside_are_accepted_and_stated(cls, dtype):
    objective = ls.Objective(made(cls), F.cross_entropy, rows(), dtype=dtype)
    coarse = (cls is Autocast) == (dtype == torch.float32)  # autocast leaves float64 alone
    assert (objective.resolution > torch.finfo(dtype).eps) == coarse
    assert objective.resolution < (2e-2 if cls is Autocast else 1e-5)


def test_an_ordinary_model_is_as_exact_as_its_dtype():
    model = made(lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 7)))
    for dtype in (torch.float32, torch.float64):
        objective = ls.Objective(model, F.cross_entropy, rows(), dtype=dtype)
        assert objective.resolution == torch.finfo(dtype).eps
        assert "inside" not in repr(objective)


def test_a_wrong_second_derivative_is_still_refused_where_a_model_computes_in_float32_inside():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 7))

        def forward(self, x):
            return Once.apply(self.net(x).float()).to(x.dtype)

    class Once(torch.autograd.Function):
        """Its gradient is right, and has no derivative of its own."""

        @staticmethod
        def forward(ctx, x):
            ctx.slope = 2 * x.detach()
            return x**2

        @staticmethod
        def backward(ctx, gradient):
            return gradient * ctx.slope

    with pytest.raises(ls.ObjectiveError, match="second derivative is wrong"):
        ls.Objective(made(Cut), F.cross_entropy, rows())


def test_examples_that_are_fitted_to_the_last_digit_make_an_ordinary_model_no_coarser():
    """There float32 leaves few digits of each example's own curvature, and as many as ever of the whole data's."""
    model = made(lambda: nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 7)))
    x, y = rows()
    with torch.no_grad():
        model[2].weight.mul_(30)
    y = model(x).argmax(1)
    objective = ls.Objective(model, F.cross_entropy, (x, y))
    assert objective.loss() < 0.1
    assert objective.resolution == torch.finfo(torch.float32).eps
