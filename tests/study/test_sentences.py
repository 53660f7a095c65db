"""What a sentence says of two arms is what the decision says, and its interval too."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from landscape.results import Eigenpairs
from landscape.store import ResultStore
from landscape.study import Arm, Study
from landscape.study.findings import Material
from landscape.study.sentences import findings
from tests.support.comparisons import store_runs


def told(folder: Path, arms: dict[str, np.ndarray], **changes) -> str:
    """The findings of arms with these traces, by seed; the trace takes λ_max's place as the measure that is judged."""
    count = len(next(iter(arms.values())))
    runs = [
        (
            f"{arm}-s{seed}",
            {"label": arm, "seed": seed, **({"batch_size": int(arm[-1])} if changes else {})},
            float(trace),
        )
        for arm, values in arms.items()
        for seed, trace in enumerate(values)
    ]
    store_runs(folder, runs)
    with ResultStore(folder) as store:
        for name, _, value in runs:
            top = np.array([value]), np.zeros((2, 0)), np.array([0.0]), np.array([True])
            pairs = Eigenpairs(*top, 10, "converged", "largest", "lanczos", 1e-3, 0, 2)
            store.write(name, 1, "eigenpairs", pairs, {})
    settings = [{"optimizer": "sgd", "batch_size": int(arm[-1])} if changes else {} for arm in arms]
    study = Study(
        "s", "?", "quadratic", tuple(map(Arm, arms, settings)), tuple(range(count)), **changes,
    )  # fmt: skip
    return "\n".join(findings(Material(study, [], [], folder)))


def test_the_best_arm_is_not_distinguishable_or_different_or_the_design_cannot_tell(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (3, 12))
    near = told(tmp_path / "near", {"a": np.exp(noise[0]), "b": np.exp(noise[1])})
    assert re.search(
        r"next is \w, of which it has .* times \(adjusted p = [\d.]+; not distinguishable with 12 seeds\)", near
    )
    far = told(tmp_path / "far", {"a": np.exp(noise[0]), "b": np.exp(noise[1] + 2)})
    assert re.search(r"next is b, of which it has 0\.1\d* \[0\.\d+, 0\.\d+\] times \(adjusted p = 0\.000488\)", far)
    few = told(tmp_path / "few", {name: np.exp(row[:4]) for name, row in zip("abc", noise, strict=True)})
    assert "; this design cannot tell: its smallest adjusted p is 0.38)" in few
    assert "3 where this design cannot tell" in few
    assert not any("chance" in text for text in (near, far, few))


def test_the_primary_measure_is_named_and_counted_apart(tmp_path):
    rng = np.random.default_rng(1)
    said = told(tmp_path, {"a": np.exp(rng.normal(0, 0.1, 8)), "b": np.exp(rng.normal(3, 0.1, 8))})
    assert "\nThe primary measure, for which the study was made, is λ_max; all others are secondary.\n" in said
    ends = "where training stopped 1 with a difference, of 1."
    begin = (
        "Of the comparisons of two arms in the primary measure, λ_max: at equal training loss 1 with a difference, of 1"
    )
    assert f"{begin}; {ends}" in said


@pytest.mark.parametrize("seed", range(20))
def test_no_interval_in_a_sentence_says_otherwise_than_its_verdict(seed, tmp_path):
    """Where arms are not distinguishable 1 lies in the interval as it is printed, else it does not."""
    rng = np.random.default_rng(seed)
    arms = {name: np.exp(rng.normal(shift, 0.3, 8)) for name, shift in zip("abc", (0, 0.3, rng.random()), strict=True)}
    said = told(tmp_path, arms)
    found = re.search(r"smallest λ_max.*of which it has [\d.]+ \[(>?)([\d.]+), (<?)([\d.]+)\] times \(([^)]*)\)", said)
    beyond, low, before, high, verdict = found.groups()
    inside = float(low) <= 1 <= float(high) and not ((beyond and low == "1") or (before and high == "1"))
    assert ("not distinguishable" in verdict) is inside


def test_within_a_setting_each_of_its_values_is_a_family(tmp_path):
    rng = np.random.default_rng(2)
    arms = {f"{name}-b{batch}": np.exp(rng.normal(0, 0.1, 8)) for batch in (1, 2) for name in "xy"}
    said = told(tmp_path, arms, within="batch_size")
    assert ", of 2" in said


def test_no_sentence_says_that_chance_could_have_made_it():
    """It may have, of anything: what can be said is what these seeds could tell."""
    package = Path(__file__).parents[2] / "landscape"
    assert not [path.name for path in package.rglob("*.py") if "chance could" in path.read_text()]
