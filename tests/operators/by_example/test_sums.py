"""Trace and diagonal as sums over examples, against dense matrices in float64: exact parts exactly, drawn ones in the
mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.errors import ObjectiveError
from landscape.estimators.probes import probe
from landscape.objective import Objective
from landscape.operators import GaussNewtonOperator, HessianOperator
from landscape.operators.by_example import Sample, SumsOverExamples, Term
from landscape.operators.by_example.drawing import Probe, pick, systematic
from landscape.operators.by_example.probed import ResidualTerm
from tests.support.networks import TiedTransformer

COUNT = 40


def focal(logits: Tensor, labels: Tensor) -> Tensor:
    """No likelihood, and not convex in the logits."""
    p = logits.softmax(-1).gather(1, labels[:, None])[:, 0]
    return (-((1 - p) ** 2) * p.log()).mean()


def of_tokens(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


class Scaled(nn.Module):
    """One number for each example, times a parameter without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = net(1)(), nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.inner(x)[:, 0]


def one_of(term: Term, count: int, rng: np.random.Generator, probe: Probe) -> np.ndarray:
    """One sample, from ``count`` drawn examples."""
    return term.samples([term.sample(count, rng, probe)])[0]


def classes(width: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(0, width, (COUNT,))


def net(outputs: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, outputs))


def floats(width: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(COUNT, width, dtype=torch.float64)


LOSSES: dict[str, tuple[Any, Any, Any, Any]] = {
    "softmax": (net(4), F.cross_entropy, floats(3), classes(4)),
    "softmax with weights of classes": (
        net(4), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0, 0.5, 2.0], dtype=torch.float64)), floats(3), None,
    ),
    "smoothed labels": (net(3), nn.CrossEntropyLoss(label_smoothing=0.2), floats(3), classes(3)),
    "squared error": (net(2), F.mse_loss, floats(3), floats(2)),
    "yes or no": (
        net(2), F.binary_cross_entropy_with_logits, floats(3), lambda: torch.randint(0, 2, (COUNT, 2)).double(),
    ),
    "huber": (net(2), F.smooth_l1_loss, floats(3), floats(2)),
    "squared error of one number": (
        lambda: nn.Sequential(*net(1)(), nn.Flatten(0)), F.mse_loss, floats(3),
        lambda: torch.randn(COUNT, dtype=torch.float64),
    ),
    "yes or no of one number, and a scale that is one": (
        Scaled, F.binary_cross_entropy_with_logits, floats(3), lambda: torch.randint(0, 2, (COUNT,)).double(),
    ),
    "huber of one number": (
        lambda: nn.Sequential(*net(1)(), nn.Flatten(0)), F.smooth_l1_loss, floats(3),
        lambda: torch.randn(COUNT, dtype=torch.float64),
    ),
    "focal": (net(3), focal, floats(3), classes(3)),
    "tokens": (
        TiedTransformer, of_tokens, lambda: torch.randint(0, 5, (COUNT, 4)), lambda: torch.randint(0, 5, (COUNT, 4)),
    ),
}  # fmt: skip


def objective_of(name: str, *, chunk: int = 13) -> Objective:
    make, loss, inputs, targets = LOSSES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model, x = make().double(), inputs()
        y = targets() if targets else torch.randint(0, 4, (COUNT,))
    weighed = name == "softmax with weights of classes"
    weight = (lambda batch: float(loss.weight[batch[1]].sum())) if weighed else None
    return Objective(model, loss, (x, y), chunk=chunk, weight=weight, check=False)


def signs(objective: Objective, first: int) -> Callable[[int], Tensor]:
    return lambda index: probe(first + index, objective.layout.size, seed=0)


def by_tensor(objective: Objective, diagonal: np.ndarray) -> np.ndarray:
    return np.array([diagonal[where].sum() for where in objective.layout.slices().values()])


@pytest.mark.parametrize("name", LOSSES)
def test_the_part_of_the_losss_curvature_is_exact(name):
    objective = objective_of(name)
    truth = GaussNewtonOperator(objective).dense().diagonal().numpy()
    entries, tensors = (SumsOverExamples(objective, entries=e).terms[0] for e in (True, False))
    np.testing.assert_allclose(entries.exact(), truth, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(tensors.exact(), by_tensor(objective, truth), rtol=1e-9)
    assert tensors.work == pytest.approx(tensors.exact_work)


FAST = ("softmax", "squared error", "focal")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in LOSSES]
)
def test_drawn_parts_have_the_mean_of_the_dense_matrices(name):
    """G, and R = H − G, by tensor of θ: 150 samples within 4.5 standard errors of the truth."""
    objective = objective_of(name)
    hessian = HessianOperator(objective, route="fresh").dense().diagonal().numpy()
    gauss_newton = GaussNewtonOperator(objective).dense().diagonal().numpy()
    sums, rng = SumsOverExamples(objective), np.random.default_rng(0)
    assert sums.reason == ""
    for term, truth in zip(sums.terms, (gauss_newton, hessian - gauss_newton), strict=True):
        expected = by_tensor(objective, truth)
        samples = np.array([one_of(term, 48, rng, signs(objective, 3 * r)) for r in range(150)])
        sem = samples.std(axis=0, ddof=1) / np.sqrt(150)
        assert (np.abs(samples.mean(axis=0) - expected) <= 4.5 * sem + 1e-9).all(), term.name
        assert sem.sum() < np.abs(gauss_newton).sum() / 4


@pytest.mark.slow
def test_the_diagonal_is_drawn_entry_by_entry():
    objective = objective_of("softmax")
    truth = HessianOperator(objective, route="fresh").dense().diagonal().numpy()
    sums, rng = SumsOverExamples(objective, entries=True), np.random.default_rng(0)
    samples = sum(np.array([one_of(term, 48, rng, signs(objective, 3 * r)) for r in range(400)]) for term in sums.terms)
    sem = samples.std(axis=0, ddof=1) / 20
    assert (np.abs(samples.mean(axis=0) - truth) <= 5 * sem).all()


def test_a_loss_that_does_not_say_where_the_model_ends_is_one_term_of_all_of_it():
    whole = objective_of("softmax")
    model, (x, y) = whole.module.model, whole.batches.joined
    objective = Objective.from_loss(
        model, lambda m, b: F.cross_entropy(m(b[0]), b[1]) + 0.1 * sum(p.square().sum() for p in m.parameters()),
        (x, y), check=False,
    )  # fmt: skip
    truth = by_tensor(objective, HessianOperator(objective, route="fresh").dense().diagonal().numpy())
    sums, rng = SumsOverExamples(objective), np.random.default_rng(0)
    assert [term.name for term in sums.terms] == ["H"]
    assert "from_loss" in sums.reason
    samples = np.array([one_of(sums.terms[0], 32, rng, signs(objective, 2 * r)) for r in range(100)])
    assert (np.abs(samples.mean(axis=0) - truth) <= 4.5 * samples.std(axis=0, ddof=1) / 10).all()


def test_a_penalty_inside_the_loss_is_seen_and_not_split():
    whole = objective_of("softmax")
    model, data = whole.module.model, whole.batches.joined

    def penalised(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels) + sum(p.square().sum() for p in model.parameters())

    sums = SumsOverExamples(Objective(model, penalised, data, check=False))
    assert [term.name for term in sums.terms] == ["H"]
    assert "reads the parameters" in sums.reason


@pytest.mark.parametrize("options", [{"interacting": True}, {"mode": "train", "chunk": None}])
def test_examples_that_cannot_be_taken_one_by_one_are_refused(options):
    objective = objective_of("softmax")
    twin = Objective(objective.module.model, F.cross_entropy, [objective.batches.joined], check=False, **options)
    with pytest.raises(ObjectiveError, match="one by one"):
        HessianOperator(twin, route="fresh").over_examples()


def test_a_model_linear_in_its_parameters_leaves_nothing_to_probes():
    """R is zero, whether it is drawn or seen to be."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, x, y = nn.Linear(3, 2).double(), torch.randn(9, 3).double(), torch.randn(9, 2).double()
    objective = Objective(model, F.mse_loss, (x, y))
    sums = SumsOverExamples(objective)
    assert [term.name for term in sums.terms] == ["G"]
    residual = ResidualTerm(sums.terms[0]._outputs, entries=False)
    left = one_of(residual, 16, np.random.default_rng(0), signs(objective, 0))
    np.testing.assert_allclose(left, 0, atol=1e-12)


def test_examples_are_drawn_as_often_as_their_size_says_and_weighed_back():
    """Systematic draws: each count is the expected one rounded up or down, and Σ factor·x has the mean Σ x."""
    rng = np.random.default_rng(0)
    sizes, x = rng.random(30) ** 4, rng.standard_normal(30)
    sizes[[3, 7]] = 0.0
    x[[3, 7]] = 0.0
    found = []
    for _ in range(1000):
        rows, factors = systematic(sizes, 11, rng)
        counts, expected = np.bincount(rows, minlength=30), 11 * sizes / sizes.sum()
        assert (counts >= np.floor(expected - 1e-9)).all()
        assert (counts <= np.ceil(expected + 1e-9)).all()
        found.append((factors * x[rows]).sum())
    assert abs(np.mean(found) - x.sum()) <= 4 * np.std(found) / np.sqrt(1000)


def test_work_is_counted_in_example_products():
    objective = objective_of("softmax")
    sums, rng = SumsOverExamples(objective), np.random.default_rng(0)
    one_of(sums.terms[0], 20, rng, signs(objective, 0))
    work = 1 + COUNT / 6 + 20 * 0.5  # one example that shows that R is not zero, one pass forward, and 20 gradients
    assert sums.work == pytest.approx(work)
    one_of(sums.terms[1], 32, rng, signs(objective, 0))
    assert sums.work == pytest.approx(work + 32 * (1 + 1 / 6))


def test_at_least_as_many_as_there_are_are_taken_a_fixed_number_of_times():
    sizes = np.array([3.0, 0.0, 1.0, 6.0, 0.5])
    seen = [pick(sizes, 9, np.random.default_rng(seed)) for seed in range(3)]
    for rows, factors in seen:
        counts = np.bincount(rows, minlength=5)
        assert counts.sum() == 9
        assert counts[1] == 0
        assert (np.delete(counts, 1) >= 1).all()
        assert counts[3] == counts.max()
        np.testing.assert_allclose(np.bincount(rows, weights=factors, minlength=5), sizes > 0)
    assert len({tuple(rows) for rows, _ in seen}) > 1
    np.testing.assert_array_equal(np.sort(pick(sizes, 4, np.random.default_rng(0))[0]), [0, 2, 3, 4])


@pytest.mark.parametrize("name", ["softmax", "tokens", "squared error", "focal", "softmax with weights of classes"])
@pytest.mark.parametrize("entries", [False, True])
def test_samples_made_together_are_those_made_one_at_a_time(name, entries):
    """Seven samples of 16 in chunks of 13, against each by itself: the same chance, and the same to rounding."""
    for term in SumsOverExamples(objective_of(name), entries=entries).terms:
        together = term.samples(seven(term))
        alone = np.concatenate([term.samples([sample]) for sample in seven(term)])
        assert len(np.unique(together.sum(1))) == 7
        np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-12 * np.abs(alone).max())


def test_samples_of_all_of_a_hessian_made_together_are_those_made_one_at_a_time():
    whole = objective_of("softmax")
    model, data = whole.module.model, whole.batches.joined
    objective = Objective.from_loss(model, lambda m, b: F.cross_entropy(m(b[0]), b[1]), data, check=False)
    (term,) = SumsOverExamples(objective).terms
    alone = np.concatenate([term.samples([sample]) for sample in seven(term)])
    np.testing.assert_allclose(term.samples(seven(term)), alone, rtol=1e-9)


@pytest.mark.parametrize("name", ["softmax", "tokens"])
def test_of_few_examples_every_sample_is_of_all(name):
    """R by probes of all at once: z'Rz of the dense matrix itself, and G in the mean."""
    objective = objective_of(name).subset(range(6))
    gauss_newton = GaussNewtonOperator(objective).dense()
    dense = HessianOperator(objective, route="fresh").dense() - gauss_newton
    g, r = SumsOverExamples(objective).terms
    assert r.cell == 6
    products = [signs(objective, 9)(index) for index in range(2)]
    expected = np.mean([by_tensor(objective, (z * (dense @ z)).numpy()) for z in products], axis=0)
    np.testing.assert_allclose(one_of(r, 12, np.random.default_rng(0), signs(objective, 9)), expected, rtol=1e-8)
    rng = np.random.default_rng(0)
    samples = np.array([one_of(g, 6, rng, signs(objective, 0)) for _ in range(300)])
    sem = samples.std(axis=0, ddof=1) / 300**0.5
    expected = by_tensor(objective, gauss_newton.diagonal().numpy())
    assert (np.abs(samples.mean(axis=0) - expected) <= 4.5 * sem + 1e-12).all()


def seven(term: Term) -> list[Sample]:
    """Samples with the same chance each time they are asked for."""
    return [term.sample(16, np.random.default_rng(r), signs(term.objective, 50 * r)) for r in range(7)]
