"""What was measured against a number that arms differ in, beside its closed form, where a study asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real

from landscape import plots
from landscape.plots.drawing import Drawing
from landscape.plots.style import two_factors
from landscape.study.arms import Arm
from landscape.study.design import Study
from landscape.study.quantities import Quantity, compared

#: Settings whose names are no words.
SAID = {"lr": "learning rate"}
#: More panels than these do not stand side by side.
MOST = 4


def draw_doses(study: Study, quantities: Sequence[Quantity]) -> Drawing | None:
    """A panel for each quantity that is known in closed form, or of them all where none is; None if not asked for."""
    if not study.against:
        return None
    own = {arm.label: number for arm in study.arms if (number := number_of(arm, study.against)) is not None}
    found = {}
    known = [quantity for quantity in quantities if quantity.known]
    for quantity in (known or [quantity for quantity in quantities if quantity.is_told])[:MOST]:
        sets = {
            name: [
                (own[label], list(quantity.values[label].values()), quantity.known.get(label))
                for label in labels
                if label in own and quantity.values.get(label)
            ]
            for name, labels in _sets(study, own)
        }
        if sets := {name: arms for name, arms in sets.items() if arms}:
            found[quantity.words] = sets
    if not found:
        return None
    said = SAID.get(study.against, study.against.replace("_", " "))
    return Drawing(
        "doses",
        f"Measured against the {said}",
        f"What was measured where training stopped against the {said} of an arm: dots at the median over seeds, with "
        f"bars from the lowest to the highest.{' Dashed: the closed form at the minimum.' if known else ''}",
        plots.dose_panels(found, said),
    )


def _sets(study: Study, numbers: Mapping[str, float]) -> list[tuple[str, list[str]]]:
    """The sets that are compared; where each has one number alone, the arms by what else their labels say."""
    sets = compared(study)
    if any(len({numbers[label] for label in labels if label in numbers}) > 1 for _, labels in sets):
        return sets
    found: dict[str, list[str]] = {}
    for label, (first, _) in (two_factors(numbers) or {}).items():
        found.setdefault(first, []).append(label)
    return [*found.items()] or sets


def number_of(arm: Arm, key: str) -> float | None:
    """The arm's own number of this name, among its settings or those of its problem; None where it has none."""
    value = {**arm.settings, **arm.settings.get("problem_config", {})}.get(key)
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None
