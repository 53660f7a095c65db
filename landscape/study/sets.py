"""Sets of arms that are compared with each other, where a study names them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

from landscape.errors import UsageError


def check_sets(sets: Mapping[str, Sequence[str]], labels: Collection[str]) -> None:
    """Refuse sets that leave an arm out, name one that is none, or have two arms in common.

    Raises
    ------
    UsageError
        The pair would be tested twice, and its p adjusted twice.
    """
    named = {label for members in sets.values() for label in members}
    if wrong := sorted(named ^ set(labels)):
        raise UsageError(f"within: each arm is in a set, and nothing else is; that does not hold of {', '.join(wrong)}")
    for (one, mine), (other, theirs) in combinations(sets.items(), 2):
        if len(both := sorted(set(mine) & set(theirs))) > 1:
            raise UsageError(
                f"within: {' and '.join(both[:2])} are compared in {one!r} and in {other!r}; in one set only"
            )


def sets_of(sets: Mapping[str, Sequence[str]], labels: Collection[str]) -> dict[str, list[str]]:
    """The sets with some of the arms, without those that none of them is in."""
    kept = {name: [label for label in members if label in labels] for name, members in sets.items()}
    return {name: members for name, members in kept.items() if members}
