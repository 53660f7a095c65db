"""Why a tool's eigenvalue is not the one of its place: ranked by |λ|, stopped early, other weights, or two of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.rounding import format_measured
from landscape.witness.causes import WEIGHTS, Side
from landscape.witness.ours import STATED, Ours
from landscape.witness.verdicts import Cause

_BY_MAGNITUDE = "it ranks by |λ|"
#: Products spent to see where an iteration that was cut short would have gone.
_FURTHER = 200
#: Two eigenvalues whose |λ| differ by less, relatively, are as good as equal to a tool that ranks by it.
_TIE = 1e-2


@dataclass(frozen=True)
class Eigenvalue:
    """What a tool found.

    Attributes
    ----------
    place : int
        In the tool's own order, from 0.
    value : float
    vector : (P,) tensor
        Of which ``value`` is the Rayleigh quotient.
    how : str
        What it stops by, in words.
    values, vectors : sequences
        What it had found before, and projects out.
    stated : float
        A residual that it states itself.
    further : callable, optional
        Value and residual where the tool itself comes with more work; left out, power iteration goes on.
    """

    place: int
    value: float
    vector: Tensor
    how: str
    values: Sequence[float] = ()
    vectors: Sequence[Tensor] = ()
    stated: float = 0.0
    further: Callable[[], tuple[float, float]] | None = None


def causes_of(found: Eigenvalue, ours: Ours) -> list[Cause]:
    """With our operator, then with batches weighed otherwise."""

    def reweighted() -> str | None:
        for name, words in WEIGHTS.items():
            operator = ours.reweighted(name)
            if operator is None:
                continue
            side = Side.of(operator, ours)
            if any(_is_at(found, wanted, error, side) for wanted, error in _in_order(side, found.place)):
                return words
            if (said := _on(side, found)) is not None:
                return f"{words}; and {said}"
        return None

    return [lambda: _on(Side.ours(ours), found), reweighted]


def _on(side: Side, found: Eigenvalue) -> str | None:
    in_order, by_magnitude = _in_order(side, found.place), _by_magnitude(side, found.place)
    if any(_is_at(found, *place, side) for place in by_magnitude):
        return _BY_MAGNITUDE
    if not _is_quotient(side, found):
        return None
    for places, ranked in ((in_order, ""), (by_magnitude, f"{_BY_MAGNITUDE}, and ")):
        for wanted, error in places:
            if (said := _stopped(side, found, wanted, error)) is not None:
                return ranked + said
    return _out_of_order(side, found) or _between_signs(side, found)


def _in_order(side: Side, place: int) -> list[tuple[float, float]]:
    values, residuals = side.top
    return [(float(values[place]), float(residuals[place]))] if place < len(values) else []


def _by_magnitude(side: Side, place: int) -> list[tuple[float, float]]:
    """What may stand in that place by |λ|: several, where they are as good as equal; nothing that is in order too."""
    values, residuals = side.by_magnitude
    if place >= len(values):
        return []
    size = abs(values[place])
    ties = [i for i, value in enumerate(values) if abs(abs(value) - size) <= _TIE * size]
    in_order = {wanted for wanted, _ in _in_order(side, place)}
    return [(float(values[i]), float(residuals[i])) for i in ties if float(values[i]) not in in_order]


def _is_at(found: Eigenvalue, wanted: float, error: float, side: Side) -> bool:
    return abs(found.value - wanted) <= error + side.rounding + found.stated + 1e-6 * abs(wanted)


def _unit(vector: Tensor) -> Tensor:
    unit: Tensor = vector.double() / vector.double().norm()
    return unit


def _slack(side: Side, found: Eigenvalue, Hu: Tensor) -> float:
    """What rounding, in single precision, may do to a quotient."""
    return side.rounding + STATED[torch.float32] * (float(Hu.norm()) + abs(found.value))


def _is_quotient(side: Side, found: Eigenvalue) -> bool:
    """Whether the value is the quotient of the tool's vector with this very operator: else no stopping explains it."""
    u = _unit(found.vector)
    Hu = side.multiply(u)
    return abs(float(u @ Hu) - found.value) <= _slack(side, found, Hu)


def _stopped(side: Side, found: Eigenvalue, wanted: float, error: float) -> str | None:
    """Whether its vector was still on its way to the wanted eigenvalue.

    A quotient lies inside the spectrum, so one beyond the wanted end is never explained so; one of a vector orthogonal
    to others may lie beyond its own by no more than the residuals of these.
    """
    u = _unit(found.vector)
    Hu, error = side.multiply(u), error + side.rounding
    residual = float((Hu - found.value * u).norm())
    if abs(found.value) > abs(wanted) + error + _slack(side, found, Hu) + _inexact(side, found.vectors):
        return None
    if abs(found.value - wanted) <= residual + error:
        share = 100 * residual / max(abs(found.value), 1e-300)
        return f"{found.how}, and its residual with that operator, {share:.2g} %, covers the difference"
    reached, residual = found.further() if found.further else _continued(side, u, found.vectors, wanted, error)
    if abs(reached - wanted) <= residual + error:
        return f"{found.how}; going on, it arrives at {format_measured(reached, residual)}"
    return None


def _out_of_order(side: Side, found: Eigenvalue) -> str | None:
    """Whether it is an earlier eigenvalue, short of which those before it stopped, all of them."""
    u = _unit(found.vector)
    residual = float((side.multiply(u) - found.value * u).norm())
    for values, residuals in (side.top, side.by_magnitude):
        for wanted, error in zip(values[: found.place], residuals[: found.place], strict=True):
            reach = residual + float(error) + side.rounding
            missed = all(abs(value - wanted) > max(reach, _TIE * abs(wanted)) for value in found.values)
            if missed and abs(found.value - wanted) <= reach:
                return f"{found.how} before it had found {wanted:.4g}, which comes here instead"
    return None


def _between_signs(side: Side, found: Eigenvalue) -> str | None:
    """Whether λ and −λ are both there, which power iteration cannot separate: its vector is one of H², not of H."""
    u = _unit(found.vector)
    Hu = side.multiply(u)
    square = float(Hu @ Hu)
    residual = float((side.multiply(Hu) - square * u).norm())
    values = np.concatenate([side.top[0], side.by_magnitude[0]])
    for wanted in side.by_magnitude[0]:
        both = np.abs(values + wanted).min() <= _TIE * abs(wanted)
        if both and residual <= 0.2 * square and abs(square - wanted**2) <= residual + 2 * _TIE * wanted**2:
            return f"power iteration cannot separate {abs(wanted):.4g} from −{abs(wanted):.4g}: its vector holds both"
    return None


def _inexact(side: Side, vectors: Sequence[Tensor]) -> float:
    """The residuals of vectors, together: how far projecting them out moves the eigenvalues that are left."""
    units = [_unit(v) for v in vectors]
    residuals = [(Hv - (v @ Hv) * v).norm() for v in units for Hv in [side.multiply(v)]]
    return float(torch.stack(residuals).norm()) if residuals else 0.0


def _continued(side: Side, u: Tensor, found: Sequence[Tensor], wanted: float, error: float) -> tuple[float, float]:
    """Power iteration from u, orthogonal to what was found before."""
    before = torch.linalg.qr(torch.stack([v.double() for v in found], dim=1))[0] if len(found) else None
    quotient = residual = 0.0
    for _ in range(_FURTHER):
        if before is not None:
            u = u - before @ (before.T @ u)
        u = u / u.norm()
        Hu = side.multiply(u)
        if before is not None:
            Hu = Hu - before @ (before.T @ Hu)
        quotient = float(u @ Hu)
        residual = float((Hu - quotient * u).norm())
        # A small residual beside the distance: it is at an eigenvalue, the wanted one or not.
        if residual <= max(0.01 * abs(quotient), error) and (
            abs(quotient - wanted) <= residual + error or residual <= 1e-4 * abs(quotient)
        ):
            break
        u = Hu
    return quotient, residual
