"""Trace, layer traces and diagonal from examples that are drawn: right against dense Hessians, intervals that cover,
and a cost that does not grow with the data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from landscape.errors import NotConverged, ObjectiveError, UsageError
from landscape.estimators import block_table, diagonal, trace
from landscape.estimators.traces.over_examples import begun, sums_of, variance_of_total
from landscape.objective import Objective
from landscape.operators import HessianOperator, MatrixOperator
from tests.support.trained import LOSSES, STEPS, dense, trained


def hessian(loss: str = "softmax", stage: str = "end", **options: int) -> HessianOperator:
    return HessianOperator(trained(loss, stage, **options), route="fresh")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("stage", STEPS)
def test_the_trace_is_within_its_interval_widened_and_within_the_tolerance(loss, stage):
    found = trace(hessian(loss, stage), method="split", tol=0.1, seed=1, strict=False, max_matvecs=60)
    truth = float(dense(loss, stage).trace())
    assert abs(found.value - truth) <= 5 * found.sem
    low, high = found.interval()
    assert found.converged == (max(high - found.value, found.value - low) <= 0.1 * abs(found.value))
    assert found.products <= 61
    assert found.num_matvecs >= found.products


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("stage", STEPS)
def test_intervals_cover_with_examples_and_probes_drawn_anew_for_each_seed(loss, stage):
    """100 seeds against the dense trace, at a tolerance that decides the number of samples."""
    H, truth = hessian(loss, stage), float(dense(loss, stage).trace())
    found = [trace(H, method="split", tol=0.1, seed=s, strict=False, max_matvecs=20) for s in range(100)]
    hits = sum(low <= truth <= high for low, high in (e.interval() for e in found))
    assert hits >= stats.binom.ppf(0.001, 100, 0.92)


def test_the_same_seed_gives_the_same_number_and_another_seed_another():
    H = hessian()
    first, again, other = (trace(H, method="split", num_probes=6, seed=s) for s in (0, 0, 1))
    assert first.value == again.value != other.value
    np.testing.assert_array_equal(first.samples, again.samples)


def test_a_number_of_matvecs_is_kept_to_and_all_of_it_used():
    seen = []
    found = trace(hessian(), method="split", num_probes=12, progress=lambda *p: seen.append(p))
    assert found.num_matvecs <= 12
    assert found.products > 10
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(most == 12 for _, most in seen)


def test_the_cost_beside_one_pass_forward_does_not_grow_with_the_data():
    """Eight times the examples of the same clouds: example-products within 1.5 times, less the pass forward."""
    costs = []
    for count in (240, 1920):
        found = trace(hessian(count=count, chunk=240), method="split", tol=0.1, strict=False)
        assert found.converged
        costs.append((found.products - 1 / 6) * count)
    assert costs[1] <= 1.5 * costs[0]


def test_auto_takes_probes_of_all_of_the_hessian_where_they_have_less_error():
    """A loss from_loss cannot be split; its deflated probes are better than examples drawn alike."""
    whole = trained()
    model = whole.module.model
    objective = Objective.from_loss(
        model, lambda m, b: F.cross_entropy(m(b[0]), b[1]), whole.batches.joined, check=False, chunk=80
    )
    H = HessianOperator(objective, route="fresh")
    values, vectors = np.linalg.eigh(dense().numpy())
    found = trace(H, eigs=vectors[:, -12:], num_probes=64)
    assert "deflated" in found.method
    assert abs(found.value - values.sum()) <= 5 * found.sem
    assert found.num_matvecs <= 64


def test_auto_splits_a_trained_network():
    assert "G" in trace(hessian(), num_probes=16).method


def test_what_has_no_examples_says_so():
    with pytest.raises(UsageError, match="MatrixOperator"):
        trace(MatrixOperator(np.eye(3)), method="split")
    whole = trained()
    kept = Objective(whole.module.model, F.cross_entropy, [whole.batches.joined], interacting=True, check=False)
    with pytest.raises(ObjectiveError, match="one by one"):
        diagonal(HessianOperator(kept, route="fresh"), method="split")
    with pytest.raises(UsageError, match="tol= is not read by method='xdiag'"):
        diagonal(hessian(), method="xdiag", tol=0.1)


def test_a_tolerance_out_of_reach_raises_with_what_there_is():
    with pytest.raises(NotConverged, match="trace") as caught:
        trace(hessian(stage="start"), method="split", tol=1e-3, max_matvecs=8)
    assert caught.value.partial.num_matvecs <= 8
    with pytest.raises(NotConverged, match="diagonal"):
        diagonal(hessian(stage="start"), tol=1e-3, max_matvecs=8)


def test_an_absolute_tolerance_is_enough_by_itself():
    found = trace(hessian(), method="split", atol=2.0)
    low, high = found.interval()
    assert max(high - found.value, found.value - low) <= 2.0


@pytest.mark.parametrize("loss", LOSSES)
def test_the_diagonal_is_within_its_errors(loss):
    found = diagonal(hessian(loss), method="split", num_probes=30)
    truth = dense(loss).diagonal().numpy()
    low, high = found.interval()
    assert ((low <= truth) & (truth <= high)).mean() >= 0.9
    assert (np.abs(found.values - truth) <= 7 * found.sem + 1e-12).all()
    assert np.linalg.norm(found.values - truth) <= 0.1 * np.linalg.norm(truth)


def test_the_diagonal_to_a_tolerance():
    found = diagonal(hessian(), tol=0.1, max_matvecs=60)
    truth = dense().diagonal().numpy()
    assert np.linalg.norm(found.values - truth) <= 0.1 * np.linalg.norm(truth)
    assert found.num_matvecs <= 60


@pytest.mark.parametrize("limit", [30, 2000])
def test_where_there_is_no_split_probes_go_on_to_the_tolerance_or_the_limit(limit):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        half = torch.randn(30, 30, dtype=torch.float64)
    matrix = half @ half.T / 30
    found = diagonal(MatrixOperator(matrix), tol=0.05, max_matvecs=limit, strict=False)
    assert found.converged == (limit == 2000)
    assert found.num_matvecs <= limit
    apart = np.linalg.norm(found.values - matrix.diagonal().numpy()) / np.linalg.norm(matrix.diagonal().numpy())
    assert apart <= (0.06 if found.converged else 0.6)


@pytest.mark.parametrize("groups", ["module", "tensor", {"first": "0.*", "rest": ["2.*", "4.*"]}])
def test_layers_have_their_share_of_the_trace(groups):
    H = hessian()
    found = block_table(H, groups=groups, num_probes=12, method="split", lambda_max=False)
    for name, block in H.blocks(groups).items():
        truth = float(block.dense().trace())
        low, high = found[name].interval(0.999)
        assert low - 1e-12 <= truth <= high + 1e-12, name
    assert found.num_matvecs <= 12
    assert found.total == pytest.approx(found.trace.sum())


@pytest.mark.parametrize("count", [1, 4, 16, 40, 200])
def test_the_pilot_takes_a_few_products_at_most_however_few_the_examples(count):
    few = HessianOperator(trained().subset(range(count)), route="fresh")
    sampler, _ = begun(sums_of(few), seed=0, limit=1000, size_of=variance_of_total, progress=None)
    assert sampler.products <= 1.5 + 4 * (0.5 + 7 / 6)  # an example to see R, a pass forward, four samples of each


def test_the_trace_of_few_examples_is_within_its_error_and_costs_a_few_samples_of_each():
    H = HessianOperator(trained().subset(range(5)), route="fresh")
    truth = float(H.dense().trace())
    for seed in range(3):
        found = trace(H, method="split", tol=0.3, seed=seed, strict=False)
        assert abs(found.value - truth) <= 5 * found.sem
        assert found.products <= 120
