"""How often intervals from drawn examples and probes cover the dense trace: 400 seeds, data draws in each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from landscape.estimators import block_table, diagonal, trace
from landscape.operators import HessianOperator
from tests.support.trained import LOSSES, STEPS, dense, trained

pytestmark = pytest.mark.campaign
SEEDS = 400


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("stage", STEPS)
def test_the_trace_to_ten_per_cent(loss, stage):
    H, truth = HessianOperator(trained(loss, stage), route="fresh"), float(dense(loss, stage).trace())
    found = [trace(H, method="split", tol=0.1, seed=s, strict=False, max_matvecs=12) for s in range(SEEDS)]
    hits = sum(low <= truth <= high for low, high in (e.interval() for e in found))
    off = np.mean([(e.value - truth) / e.sem for e in found])
    print(f"{loss}, {stage}: {hits / SEEDS:.3f} covered, mean error {off:+.2f} sem, {found[0].method}")
    assert hits >= stats.binom.ppf(0.001, SEEDS, 0.93)
    assert abs(off) <= 0.3


@pytest.mark.parametrize("loss", LOSSES)
def test_entries_and_layers_for_a_number_of_matvecs(loss):
    H, matrix = HessianOperator(trained(loss), route="fresh"), dense(loss).numpy()
    inside, layers = [], []
    for seed in range(SEEDS):
        low, high = diagonal(H, method="split", num_probes=8, seed=seed).interval()
        inside.append(((low <= np.diag(matrix)) & (np.diag(matrix) <= high)).mean())
        table = block_table(H, method="split", num_probes=8, lambda_max=False, seed=seed)
        first = table[table.names[0]].interval()
        layers.append(first[0] <= np.diag(matrix)[: table.sizes[0]].sum() <= first[1])
    print(f"{loss}: entries {np.mean(inside):.3f}, first layer {np.mean(layers):.3f}")
    assert np.mean(inside) >= 0.92
    assert sum(layers) >= stats.binom.ppf(0.001, SEEDS, 0.93)
