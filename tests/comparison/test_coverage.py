"""What is printed covers: intervals and tests of simulated studies, from stored records to the texts of the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from landscape.comparison import cells, compare, contrasts
from landscape.results import Estimate, PointValue
from landscape.store import ResultStore, load_results

pytestmark = pytest.mark.slow

STUDIES = 300
SEEDS = 5
MEDIAN = 3.0
SPREAD = 0.8  # of the logarithms over seeds
RATIO = 1.7  # of the medians of the two arms
ALLOWED = stats.binom.interval(0.999, STUDIES, 0.95)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Of each, two arms on five seeds, which they share: lognormal traces, and gradient norms around 4 ± 1."""
    folder = tmp_path_factory.mktemp("studies")
    rng = np.random.default_rng(0)
    with ResultStore(folder) as store:
        for study in range(STUDIES):
            shared = rng.standard_normal(SEEDS)
            for arm, factor in (("a", RATIO), ("b", 1.0)):
                own = rng.standard_normal(SEEDS)
                traces = MEDIAN * factor * np.exp(SPREAD * (0.8 * shared + 0.6 * own))
                for seed, trace in enumerate(traces):
                    name = f"{study}{arm}-s{seed}"
                    store.describe_run(name, {"seed": seed, "config": {"arm": f"{study}{arm}", "study": study}})
                    store.write(name, 1, "trace", Estimate(trace), {})
                    store.write(name, 1, "point", PointValue(0.1, 4 + rng.standard_normal(), 2.0), {})
    return load_results(folder)


@pytest.fixture(scope="module")
def compared(studies):
    return compare(studies, by="arm")


def of(frame, measure):
    return frame[frame["measure"] == measure]


def test_the_interval_of_a_geometric_mean_covers_the_median_as_the_table_states_it_and_as_it_is_printed(compared):
    table = of(compared, "trace")
    second = table[table["group"].str.endswith("b")]
    assert set(second["scale"]) == {"log"}
    covered = ((second["gmean_low"] <= MEDIAN) & (second["gmean_high"] >= MEDIAN)).sum()
    assert ALLOWED[0] <= covered <= ALLOWED[1]
    printed = dict(zip(table["group"], dict(cells(compared)[1])["trace"], strict=True))
    covered = 0
    for group in second["group"]:
        centre, factor = map(float, printed[group].split(" ×/÷ "))
        covered += centre / factor <= MEDIAN <= centre * factor
    assert ALLOWED[0] <= covered <= ALLOWED[1]


def test_the_linear_interval_of_the_same_values_would_miss_their_mean_too_often(compared):
    """So the scale matters: were the geometric interval called right whatever it said, this would be too."""
    second = of(compared, "trace")[lambda t: t["group"].str.endswith("b")]
    mean = MEDIAN * np.exp(SPREAD**2 / 2)
    assert ((second["low"] <= mean) & (mean <= second["high"])).sum() < ALLOWED[0]


def test_the_interval_of_a_ratio_covers_the_true_ratio_and_holms_p_is_no_smaller_than_p(studies):
    table = of(contrasts(studies, by="arm", within="study"), "trace")
    assert len(table) == STUDIES
    assert table["paired"].all()
    covered = ((table["single_low"] <= RATIO) & (table["single_high"] >= RATIO)).sum()
    assert ALLOWED[0] <= covered <= ALLOWED[1]
    assert ((table["low"] <= table["single_low"]) & (table["high"] >= table["single_high"])).all()
    assert set(table["verdict"]) == {"cannot tell"}  # five pairs: every interval reaches 1
    assert ((table["low"] <= 1) & (table["high"] >= 1)).all()
    assert (table["p_holm"] >= table["p"]).all()


def test_arms_that_are_equal_are_called_different_as_seldom_as_the_level_says(studies):
    """Gradient norms have one distribution in both arms; five pairs reach p = 2/32 at least, never 5 %."""
    table = of(contrasts(studies, by="arm", within="study"), "grad_norm")
    assert isinstance(table, pd.DataFrame)
    assert len(table) == STUDIES
    assert (table["p"] >= 2 / 32).all()
    rejected = (table["p"] <= 2 / 32).sum()
    low, high = stats.binom.interval(0.999, STUDIES, 2 / 32)
    assert low <= rejected <= high
