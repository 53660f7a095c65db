"""Losses over pairs of the examples of a batch: batches stay as they come, or the question is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import landscape as ls
from tests.support.batches import Frozen, hessian_by_differences

SIZES = (16, 16, 15)


def pairs(n=47, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, 4, generator=generator)
    return a, a + 0.1 * torch.randn(n, 4, generator=generator)


def batches(kind=lambda a, b: (a, b)):
    return [kind(a, b) for a, b in zip(*(part.split(SIZES) for part in pairs()), strict=True)]


def make_encoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))


def contrast(model, a, b):
    """Each example against all others of its batch, as CLIP and SimCLR have it."""
    u, v = F.normalize(model(a), dim=1), F.normalize(model(b), dim=1)
    return F.cross_entropy(u @ v.T / 0.5, torch.arange(len(u)))


def on_pair(model, batch):
    return contrast(model, *batch)


def by_hand(model):
    return sum(len(a) * contrast(model, a.double(), b.double()) for a, b in batches()) / sum(SIZES)


@pytest.fixture(scope="module")
def curvature():
    return hessian_by_differences(make_encoder(), by_hand)


def assert_right(objective, expected, tolerance):
    found = ls.HessianOperator(objective, route="fresh").dense().double()
    assert (found - expected).norm() <= tolerance * expected.norm()


def test_it_is_refused_with_the_word_that_helps():
    with pytest.raises(ls.ObjectiveError, match="not a mean over examples.*over pairs.*interacting=True"):
        ls.Objective.from_loss(make_encoder(), on_pair, batches())


@pytest.mark.parametrize("chunk", ["auto", 5, None])
@pytest.mark.parametrize("options", [{"interacting": True}, {"check": False}], ids=["interacting", "unchecked"])
def test_batches_stay_as_they_come_whatever_the_chunk(curvature, options, chunk):
    objective = ls.Objective.from_loss(make_encoder(), on_pair, batches(), chunk=chunk, **options)
    assert objective.interacting
    assert objective.num_chunks == 3
    assert_right(objective, curvature, 1e-6)
    assert_right(objective.rechunked(4), curvature, 1e-6)
    assert_right(objective.with_dtype(torch.float64), curvature, 1e-8)
    assert objective.restricted("0.*").num_chunks == 3
    assert objective.on_first(4).num_examples == 16
    assert objective.on_first(4).rechunked(5).num_chunks == 1


def test_one_big_batch_stays_one():
    a, b = pairs(300)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wide = torch.nn.Sequential(torch.nn.Linear(4, 20000), torch.nn.Tanh(), torch.nn.Linear(20000, 2))
    expected = float(contrast(wide, a, b).detach())
    for interacting in (True, False):
        objective = ls.Objective.from_loss(wide, on_pair, (a, b), interacting=interacting, check=False)
        assert objective.num_chunks == 1
        assert objective.loss() == pytest.approx(expected, rel=1e-5)
    mean = ls.Objective(wide, lambda u, v: (u - v).square().mean(), (a, torch.zeros(300, 2)), check=False)
    assert mean.num_chunks > 1  # a mean over examples is still cut, checked or not


def test_the_other_checks_still_run():
    with pytest.raises(ls.ObjectiveError, match="linear in all of θ"):
        ls.Objective.from_loss(make_encoder()[0], lambda m, b: m(b[0]).sum() / len(b[0]), batches(), interacting=True)
    torn = batches()
    torn[1][0][2, 1] = float("nan")
    with pytest.raises(ls.ObjectiveError, match="NaN or infinity, first in batch 1 of 3, example 2 of 16"):
        ls.Objective.from_loss(make_encoder(), on_pair, torn, interacting=True)


def test_a_weight_of_batches_need_not_add_up():
    objective = ls.Objective.from_loss(make_encoder(), on_pair, batches(), interacting=True, weight=lambda batch: 1.0)
    with torch.no_grad():
        expected = sum(float(contrast(make_encoder(), *batch)) for batch in batches()) / 3
    assert objective.loss() == pytest.approx(expected, rel=1e-6)
    assert objective.digest() != ls.Objective.from_loss(make_encoder(), on_pair, batches(), interacting=True).digest()


def test_batches_of_a_type_of_their_own_stay_whole_too(curvature):
    objective = ls.Objective.from_loss(
        make_encoder(), lambda m, batch: contrast(m, batch.x, batch.y), batches(Frozen), interacting=True
    )
    assert_right(objective, curvature, 1e-6)


def test_statistics_of_a_batch_in_train_mode_are_those_of_the_batches_as_they_come():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 4))

    def loss(output, target):
        return (output - target).square().mean()

    objective = ls.Objective(model, loss, batches(), mode="train", interacting=True, dtype=torch.float64)

    def one_by_one(twin):
        twin.train()
        return sum(len(a) * loss(twin(a.double()), b.double()) for a, b in batches()) / sum(SIZES)

    assert_right(objective, hessian_by_differences(model, one_by_one), 1e-6)


def test_the_same_examples_in_other_batches_are_another_question():
    def digest(data, **options):
        return ls.Objective.from_loss(make_encoder(), on_pair, data, **options).digest()

    a, b = pairs()
    seen = digest(batches(), interacting=True)
    assert seen == digest(batches(), check=False)
    assert seen != digest((a, b), interacting=True)
    assert seen != digest(list(zip(a.split(20), b.split(20), strict=True)), interacting=True)
    squares = lambda m, batch: (m(batch[0]) - m(batch[1])).square().mean()  # noqa: E731
    mean = [ls.Objective.from_loss(make_encoder(), squares, data, check=False) for data in (batches(), (a, b))]
    assert mean[0].digest() == mean[1].digest()
    assert not mean[0].interacting


def test_nothing_cuts_them():
    objective = ls.Objective.from_loss(make_encoder(), on_pair, batches(), interacting=True)
    for cut in (
        lambda: objective.subset([0, 1]),
        lambda: ls.over_subsets(objective, lambda part: part.loss()),
        lambda: ls.gradient_noise(objective, batch_size=4),
    ):
        with pytest.raises(ls.ObjectiveError, match="stay as they came, because their examples interact"):
            cut()
    supervised = ls.Objective(make_encoder(), lambda u, v: F.mse_loss(u @ u.T, v @ v.T), batches(), interacting=True)
    with pytest.raises(ls.ObjectiveError, match="examples interact: there is none"):
        ls.FisherOperator(supervised, kind="empirical")


def test_a_dataset_does_not_say_which_examples_stand_together(curvature):
    data = TensorDataset(*pairs())
    for options in ({"interacting": True}, {"check": False}):
        with pytest.raises(ls.ObjectiveError, match="Dataset does not say which examples stand together"):
            ls.Objective.from_loss(make_encoder(), on_pair, data, **options)
    loader = DataLoader(data, batch_size=16)
    assert_right(ls.Objective.from_loss(make_encoder(), on_pair, loader, interacting=True), curvature, 1e-6)


def test_a_slice_checks_itself_on_whole_batches():
    """Along a direction the differences of the losses are those of the caller's batches, more than 256 examples."""
    a, b = pairs(320)
    data = list(zip(a.split(80), b.split(80), strict=True))
    objective = ls.Objective.from_loss(make_encoder(), on_pair, data, interacting=True)
    d = torch.randn(objective.layout.size, generator=torch.Generator().manual_seed(1))
    line = ls.evaluate_line(objective, d, points=3)
    expected = hessian_by_differences(
        make_encoder(), lambda m: sum(contrast(m, x.double(), y.double()) for x, y in data) / 4
    )
    truth = float(d.double() @ expected @ d.double())
    assert line.curvature == pytest.approx(truth, rel=1e-4)
    assert line.curvature_agrees
