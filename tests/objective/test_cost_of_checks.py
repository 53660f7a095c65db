"""What it costs to make an objective, counted in examples and gradients; and how many are evaluated at a time."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from landscape.objective import chunks
from landscape.progress import listening

MEGABYTE = 2**20


class Counting(nn.Module):
    """Keeps ``width`` numbers an example for the backward pass, and counts examples by dtype."""

    def __init__(self, width):
        super().__init__()
        self.first, self.last = nn.Linear(3, 2), nn.Linear(2, 4)
        self.register_buffer("grid", torch.linspace(0.5, 1.5, width // 2))
        self.seen = Counter()

    def forward(self, x):
        self.seen[x.dtype] += len(x)
        spread = torch.tanh(self.first(x)[:, :, None] * self.grid)
        return self.last(spread.mean(2))


def made(kind, *arguments):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(*arguments)


def rows(count=16):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, generator=generator), torch.randint(4, (count,), generator=generator)


@pytest.fixture
def gradients(monkeypatch):
    """How often anything was differentiated."""
    counted, plain = Counter(), torch.autograd.grad

    def grad(*args, **options):
        counted["all"] += 1
        return plain(*args, **options)

    monkeypatch.setattr(torch.autograd, "grad", grad)
    return counted


@pytest.mark.parametrize(
    ("width", "few", "single", "double"),
    [(8, 12, 16 + 2 + 12 + 2 + 2 + 24, 24), (5 * MEGABYTE, 4, 16 + 2 + 4 + 2 + 2 + 8, 4)],
    ids=["small examples", "large ones"],
)
def test_a_sound_objective_costs_what_the_docstring_says(gradients, width, few, single, double):
    """All once; of a few what they keep, the same twice, a batch and its parts; a product and a gradient in float64."""
    model = made(Counting, width)
    objective = ls.Objective(model, F.cross_entropy, rows())
    assert objective.few == few
    assert model.seen == {torch.float32: single, torch.float64: double}
    assert gradients["all"] == 3  # the gradient with its graph, the product from it, and a gradient beside it
    # A loss is a third of a gradient, a product at most four; float64 takes twice as long.
    on_few = (single - objective.num_examples) / 3 + 2 * (4 + 1) * double / 2
    assert on_few <= 12 * objective.few


def test_without_a_check_only_a_few_examples_are_evaluated():
    model = made(Counting, 8)
    ls.Objective(model, F.cross_entropy, rows(), check=False)
    assert model.seen == {torch.float32: 2 + 12 + 24}


class Wide(nn.Module):
    """One layer of tanh: what it keeps of an example is as wide as the layer."""

    def __init__(self, width):
        super().__init__()
        self.first, self.last = nn.Linear(3, width), nn.Linear(width, 4)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


def test_a_chunk_keeps_several_times_as_much_as_theta_up_to_a_limit(monkeypatch):
    """8 numbers of θ a unit and at least one of each example: 16 MiB would be gone with eight examples."""
    width = 2**19
    model, theta_bytes, example = made(Wide, width), 4 * 8 * width, 4 * width
    objective = ls.Objective(model, F.cross_entropy, rows(100), check=False)
    assert 2 * theta_bytes <= objective.chunk * 2 * example <= 8 * theta_bytes
    monkeypatch.setattr(chunks, "MOST_BYTES", 20 * MEGABYTE)
    limited = ls.Objective(model, F.cross_entropy, rows(100), check=False)
    assert limited.chunk * example <= 20 * MEGABYTE
    assert limited.loss() == pytest.approx(objective.loss(), rel=1e-5)


def test_in_float64_a_chunk_is_half_as_long_and_short_where_there_are_filters():
    plain = ls.Objective(made(Counting, 8), F.cross_entropy, rows(200), chunk=100, check=False)
    assert plain.with_dtype(torch.float64).chunk == 50
    filters = made(lambda: nn.Sequential(nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(4, 4)))
    x, y = rows(200)
    images = ls.Objective(filters, F.cross_entropy, (x[:, None], y), chunk=100, check=False)
    assert images.with_dtype(torch.float64).chunk == 32


def test_what_is_begun_is_told_to_who_listens():
    heard = []
    with listening(lambda text, share: heard.append(text)):
        ls.HessianOperator(ls.Objective(made(Counting, 8), F.cross_entropy, rows()), expected_matvecs=1)
    assert heard[0] == "reading the data"
    assert heard[-2:] == ["checking derivatives", "choosing how to multiply"]
