"""Data-sampling error on least squares, where the population is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import landscape as ls
from landscape.errors import ObjectiveError, UsageError
from landscape.results import Estimate, SamplingSpread
from tests.support.roundtrip import written_and_read

SPREADS = np.array([3.0, 1.0, 0.5])  # x ~ N(0, diag(s²)): the Hessian of ½(θᵀx − y)² is E xxᵀ, its trace Σ s²


def regression(count, seed, *, batches=None):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.standard_normal((count, 3)) * SPREADS)
    y = torch.zeros(count, 1, dtype=torch.float64)
    with torch.random.fork_rng():
        model = nn.Linear(3, 1, bias=False).double()
    data = (x, y) if batches is None else [(x[i : i + batches], y[i : i + batches]) for i in range(0, count, batches)]
    return x, ls.Objective(model, lambda f, t: ((f - t) ** 2).mean() / 2, data, check=False)


def exact_trace(part: ls.Objective) -> float:
    return float(ls.HessianOperator(part).dense().trace())


def exact_top(part: ls.Objective) -> float:
    return float(torch.linalg.eigvalsh(ls.HessianOperator(part).dense())[-1])


@pytest.mark.parametrize("batches", [None, 7])
def test_values_are_those_of_disjoint_subsets_that_hold_all_examples_once(batches):
    x, objective = regression(40, 0, batches=batches)
    seen = []

    def trace(part):
        seen.append(part)
        return exact_trace(part)

    spread = ls.over_subsets(objective, trace, num_subsets=4)
    assert [part.num_examples for part in seen] == [10, 10, 10, 10, 40]
    assert spread.full == pytest.approx(float((x**2).sum(1).mean()))
    # Equal disjoint subsets: a mean over examples is the mean over subsets exactly.
    assert spread.mean == pytest.approx(spread.full, rel=1e-12)
    assert spread.spread == pytest.approx(np.std(spread.values, ddof=1))
    assert spread.error == pytest.approx(spread.spread / 2)
    assert spread.sem_of_subset == pytest.approx(spread.spread / 2)
    assert len(set(spread.values.round(12))) == 4


@pytest.mark.slow
def test_the_error_is_the_standard_deviation_over_data_sets():
    """Σ s² of N examples has variance 2 Σ s⁴ / N; a mean of 60 squared errors knows it to a few per cent."""
    squared = []
    for seed in range(60):
        _, objective = regression(48, seed)
        squared.append(ls.over_subsets(objective, exact_trace, num_subsets=6).error ** 2)
    truth = 2 * (SPREADS**4).sum() / 48
    assert abs(np.mean(squared) - truth) <= 4 * stats.sem(squared)


@pytest.mark.parametrize(("quantity", "truth"), [(exact_trace, (SPREADS**2).sum()), (exact_top, SPREADS.max() ** 2)])
def test_intervals_cover_the_population_as_often_as_they_say(quantity, truth):
    """λ_max of a mean over examples is not a mean; its bias is far below its error at this gap and size."""
    hits = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((200, 3)) * SPREADS
        low, high = _spread_of(x, quantity, seed).interval()
        hits += low <= truth <= high
    assert stats.binom.ppf(0.001, 400, 0.95) <= hits


def _spread_of(x, quantity, seed):
    """As over_subsets would give it, on the second-moment matrix itself: 400 objectives would take a minute."""
    parts = np.random.default_rng(seed).permutation(len(x)).reshape(8, -1)
    read = np.trace if quantity is exact_trace else lambda a: np.linalg.eigvalsh(a)[-1]
    values = np.array([read(x[p].T @ x[p] / len(p)) for p in parts])
    return SamplingSpread(values, np.zeros(8), len(parts[0]), len(x), float(read(x.T @ x / len(x))), 0.0, False, seed)


def test_the_shortcut_above_gives_what_over_subsets_gives():
    x, objective = regression(200, 5)
    for quantity in (exact_trace, exact_top):
        ours = ls.over_subsets(objective, quantity, num_subsets=8, seed=3)
        short = _spread_of(x.numpy(), quantity, 3)
        np.testing.assert_allclose(ours.values, short.values, rtol=1e-12)
        assert ours.interval() == pytest.approx(short.interval())


def test_the_bias_of_fewer_examples_is_reported_apart():
    """The largest eigenvalue of few examples of a flat population is too large: +√(P/n)-like, not a matter of luck."""
    shifts = []
    for seed in range(30):
        x = np.random.default_rng(seed).standard_normal((60, 3))
        shifts.append(_spread_of_flat(x))
    assert np.mean([s.shift for s in shifts]) > 3 * stats.sem([s.shift for s in shifts])
    assert "shift on fewer examples" in str(shifts[0])


def _spread_of_flat(x):
    parts = x.reshape(4, 15, 3)
    values = np.array([np.linalg.eigvalsh(p.T @ p / 15)[-1] for p in parts])
    return SamplingSpread(values, np.zeros(4), 15, 60, float(np.linalg.eigvalsh(x.T @ x / 60)[-1]), 0.0, False, 0)


def test_independent_probe_noise_is_taken_out_and_common_probes_are_not():
    _, objective = regression(40, 1)
    noise = np.random.default_rng(0).normal(0, 50, 9)
    for fresh in (True, False):
        count = iter(range(9))

        def noisy(part, count=count, fresh=fresh):
            i = next(count)
            shared = 0.0 if not fresh else noise[i]
            return Estimate(exact_trace(part) + shared, sem=50.0, seed=i if fresh else 7)

        spread = ls.over_subsets(objective, noisy, num_subsets=8)
        assert spread.fresh_probes == fresh
        assert spread.probe_noise == pytest.approx(50)
        assert spread.full_sem == 50
        if fresh:
            expected = np.sqrt(max(spread.spread**2 - 2500, 0))
            assert spread.spread_from_data == pytest.approx(expected)
            assert spread.error < 0.5 * spread.spread
        else:
            plain = ls.over_subsets(objective, exact_trace, num_subsets=8)
            assert spread.error == pytest.approx(plain.error)
        low, high = spread.interval()
        assert high - low >= 4 * 50  # the probes' noise of the value on all data remains


def test_spread_of_a_trace_by_probes_needs_no_more_than_its_operator():
    _, objective = regression(40, 2)
    spread = ls.over_subsets(
        objective, lambda part: ls.trace(ls.HessianOperator(part), method="hutchinson", num_probes=8), num_subsets=4
    )
    assert not spread.fresh_probes
    assert spread.probe_noise > 0
    assert "common to all subsets" in str(spread)


def test_size_and_full_are_taken_as_given():
    _, objective = regression(40, 3)
    calls = []

    def quantity(part):
        calls.append(part.num_examples)
        return exact_trace(part)

    spread = ls.over_subsets(objective, quantity, num_subsets=3, size=5, full=Estimate(10.0, sem=0.5))
    assert calls == [5, 5, 5]
    assert (spread.full, spread.full_sem, spread.subset_size) == (10.0, 0.5, 5)
    assert spread.error == pytest.approx(spread.spread * np.sqrt(5 / 40))


def test_same_seed_same_split_and_another_seed_another():
    _, objective = regression(40, 4)
    a, b, c = (ls.over_subsets(objective, exact_trace, seed=s).values for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)


def test_a_subset_is_the_objective_on_those_examples():
    x, objective = regression(20, 6, batches=6)
    part = objective.subset([3, 17, 5])
    rows = x[[3, 17, 5]]
    torch.testing.assert_close(ls.HessianOperator(part).dense(), rows.T @ rows / 3)
    assert part.num_examples == 3
    assert objective.num_examples == 20
    for wrong in ([], [20], [-1]):
        with pytest.raises(UsageError, match="indices"):
            objective.subset(wrong)


def test_data_that_cannot_be_cut_are_refused():
    with torch.random.fork_rng():
        model = nn.Linear(2, 1).double()
    batches = [(torch.ones(n, 2, m, dtype=torch.float64), torch.ones(n, m, 1)) for n, m in ((3, 2), (4, 5))]
    objective = ls.Objective.from_loss(
        model,
        lambda m, b: m(b[0].transpose(1, 2)).square().mean() + 0 * b[1].sum(),
        batches,
        weight=lambda b: len(b[0]),
        check=False,
    )
    with pytest.raises(ObjectiveError, match="cannot be cut"):
        ls.over_subsets(objective, exact_trace)


def test_a_spread_is_stored_and_read_back(tmp_path):
    _, objective = regression(40, 7)
    spread = ls.over_subsets(objective, exact_trace)
    again = written_and_read(spread, tmp_path)
    assert str(again) == str(spread)
    with pytest.raises(UsageError, match="between 0 and 1"):
        spread.interval(2.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_subsets": 1}, "no spread"),
        ({"num_subsets": 41}, "do not fit into 40"),
        ({"num_subsets": 4, "size": 11}, "do not fit into 40"),
        ({"seed": None}, "seed=None"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    _, objective = regression(40, 0)
    with pytest.raises(UsageError, match=message):
        ls.over_subsets(objective, exact_trace, **options)


def test_a_quantity_that_is_no_number_is_refused():
    _, objective = regression(40, 0)
    with pytest.raises(UsageError, match="NoneType"):
        ls.over_subsets(objective, lambda part: None)
    with pytest.raises(UsageError, match="finite"):
        ls.over_subsets(objective, lambda part: float("nan"))
