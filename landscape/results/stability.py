"""How far an optimizer's step is from where it no longer lowers the loss. ``K`` tensors or groups, ``P`` parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from landscape.results.base import Array, Record
from landscape.rounding import format_brief, format_measured, format_value


@dataclass(frozen=True, eq=False, repr=False)
class OptimizerUpdate(Record):
    """u, by which an optimizer would move θ per unit of its learning rate: ``θ ← θ − η·u``.

    Attributes
    ----------
    vector : (P,) array
        u, weight decay included.
    decay : (P,) array
        The part of u that is weight decay by itself, ``λθ``; zero where decay goes through the gradient, or is none.
    names : (K,) tuple of str
        Tensors of θ, in its order.
    sizes : (K,) array of int
    optimizer : str
        Classes that made the step.
    lr : float
        η, of the first group; where groups have rates of their own, u holds them relative to this one.
    slope, grad_norm : float
        ``gᵀu`` and ``‖g‖`` with the gradient g that the optimizer was fed.
    dtype : str
        In which the step was computed.
    seed : int
        Of the draws, where the optimizer makes any.
    """

    vector: Array
    decay: Array
    names: tuple[str, ...]
    sizes: Array
    optimizer: str
    lr: float
    slope: float
    grad_norm: float
    dtype: str = "float64"
    seed: int = 0

    @property
    def without_decay(self) -> Array:
        """(P,): u without decoupled weight decay, which lowers no loss."""
        return np.asarray(self.vector - self.decay)

    @property
    def has_decay(self) -> bool:
        """Whether u holds decoupled weight decay."""
        return bool(self.decay.any())

    @property
    def norm(self) -> float:
        """``‖u‖``."""
        return float(np.linalg.norm(self.vector))

    @property
    def alignment(self) -> float:
        """Cosine between u and the gradient: below 0 the step goes uphill; NaN where either is zero."""
        lengths = self.norm * self.grad_norm
        return self.slope / lengths if lengths > 0 else math.nan

    @property
    def rms(self) -> Array:
        """(K,): root mean square of u over each tensor."""
        starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype(int)
        return np.asarray(np.sqrt(np.add.reduceat(self.vector**2, starts) / self.sizes))

    def _lines(self) -> list[tuple[str, str]]:
        moved = int(np.count_nonzero(self.rms))
        decay = "none that stands by itself"
        if self.has_decay:
            share = float(np.linalg.norm(self.decay)) / self.norm if self.norm > 0 else math.nan
            decay = f"‖λθ‖ is {format_value(share, digits=2)} of ‖u‖, part of u"
        return [
            ("u", f"‖u‖ = {format_value(self.norm)}, of {self.optimizer} at η = {format_value(self.lr)}"),
            ("tensors moved", f"{moved} of {len(self.names)}"),
            ("cos(u, g)", format_value(self.alignment)),
            ("weight decay", decay),
        ]


@dataclass(frozen=True, eq=False, repr=False)
class DirectionalSharpness(Record):
    """``uᵀHu/‖u‖²``, the curvature along an update u, and what each pair of groups has in it.

    Attributes
    ----------
    value : float
    bound : float
        How far rounding may have moved it: the product with u against the sum of those with its parts, and what the
        products resolve.
    names : (K,) tuple of str
        Groups of parameters that together are θ.
    parts : (K, K) array
        ``uᵢᵀHᵢⱼuⱼ/‖u‖²``; they add up to the value.
    shares : (K,) array
        ``‖uᵢ‖²/‖u‖²``.
    slope : float
        ``gᵀu/‖u‖²``: on the quadratic model a step ``−ηu`` lowers the loss exactly where the value is below
        ``2·slope/η``.
    num_matvecs : int
    """

    value: float
    bound: float
    names: tuple[str, ...]
    parts: Array
    shares: Array
    slope: float
    num_matvecs: int

    @property
    def error(self) -> float:
        """The bound."""
        return self.bound

    @property
    def within(self) -> float:
        """What the groups have by themselves: the sum of ``uᵢᵀHᵢᵢuᵢ/‖u‖²``."""
        return float(np.trace(self.parts))

    @property
    def across(self) -> float:
        """What pairs of different groups have."""
        return float(self.parts.sum()) - self.within

    def threshold(self, lr: float) -> float:
        """``2gᵀu/(η‖u‖²)``: above it, on the quadratic model, the step raises the loss; ``2/η`` for u = g."""
        return 2 * self.slope / lr if lr > 0 else math.inf

    def __float__(self) -> float:
        return float(self.value)

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("uᵀHu/‖u‖²", format_measured(self.value, self.bound))]
        if len(self.names) > 1:
            lines.append(("within groups", format_measured(self.within, self.bound)))
            lines.append(("across groups", format_measured(self.across, self.bound)))
            most = int(np.argmax(np.abs(np.diag(self.parts))))
            lines.append(("most by itself", f"{self.names[most]}: {format_value(float(self.parts[most, most]))}"))
        return [*lines, ("matvecs", str(self.num_matvecs))]


#: norm → how it is written
NORMS = {"linf": "ℓ∞", "spectral": "spectral"}


@dataclass(frozen=True, eq=False, repr=False)
class GeneralizedSharpness(Record):
    """``max dᵀHd`` over ``‖d‖ ≤ 1`` in a norm that is not Euclidean: a value that is reached, and one that is not.

    Attributes
    ----------
    norm : {"linf", "spectral"}
    value : float
        The largest that an ascent reached: a lower bound.
    upper : float
        The maximum is not above it, with probability ``confidence``.
    confidence : float
    samples : (S,) array
        Where each start led.
    dual_norm : float
        ``‖g‖`` in the dual norm, of the gradient there: an optimizer that moves by ``η`` in this norm, as signSGD and
        Muon do, is steepest descent with step ``η/‖g‖``.
    converged : bool
        Whether the best ascent ended where no point of the ball promises more, to first order.
    num_matvecs, seed : int
    """

    norm: str
    value: float
    upper: float
    confidence: float
    samples: Array
    dual_norm: float
    converged: bool
    num_matvecs: int
    seed: int

    def threshold(self, lr: float) -> float:
        """``2‖g‖/η`` in the dual norm, for an optimizer whose step has length η in this norm."""
        return 2 * self.dual_norm / lr if lr > 0 else math.inf

    def __float__(self) -> float:
        return float(self.value)

    def _lines(self) -> list[tuple[str, str]]:
        mark = "" if self.converged else "   NOT CONVERGED"
        sure = "" if self.confidence >= 1 else f" at {100 * self.confidence:.4g} % confidence"
        return [
            (f"max dᵀHd, {NORMS.get(self.norm, self.norm)}", f"≥ {format_value(self.value)}{mark}"),
            ("not above", f"{format_value(self.upper)}{sure}"),
            ("starts", f"{len(self.samples)}, seed {self.seed}"),
            ("matvecs", str(self.num_matvecs)),
        ]


class StabilityRow(NamedTuple):
    """One measure of :class:`Stability` beside its threshold."""

    measure: str
    value: float
    error: float
    kind: str
    threshold: float
    rule: str
    ratio: float
    converged: bool


@dataclass(frozen=True, eq=False, repr=False)
class Stability(Record):
    """Measures of stability at one point of a training, each beside the value at which a quadratic becomes unstable.

    Attributes
    ----------
    measures : (K,) tuple of str
        Of ``lambda_max``, ``preconditioned_sharpness``, ``generalized_sharpness``, ``critical_sharpness``,
        ``batch_sharpness``, ``directional_sharpness``.
    values, errors : (K,) arrays
    kinds : (K,) tuple of str
        What each error is: ``"bound"``, ``"standard error"``, ``"lower bound"`` (then the error is NaN).
    thresholds : (K,) array
        NaN where there is none for this optimizer.
    rules : (K,) tuple of str
        The threshold in words, or why there is none.
    converged : (K,) array of bool
    absent, reasons : (M,) tuples of str
        Measures that do not apply here, and why.
    optimizer : str
    lr : float
        η.
    step : int
        Of the checkpoint; -1 where there is none.
    loss : float
    batch_size : int
        Of the batches; 0 where none was known.
    seed : int
    products : float
        Spent on it, in products with the Hessian of all data, a gradient as half of one, a loss as a sixth; NaN in
        records of another version.
    """

    measures: tuple[str, ...]
    values: Array
    errors: Array
    kinds: tuple[str, ...]
    thresholds: Array
    rules: tuple[str, ...]
    converged: Array
    absent: tuple[str, ...]
    reasons: tuple[str, ...]
    optimizer: str
    lr: float
    step: int
    loss: float
    batch_size: int
    seed: int
    products: float = math.nan

    @property
    def ratios(self) -> Array:
        """(K,): value ÷ threshold; at 1 the optimizer is at the edge of stability. NaN without a threshold."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.values / self.thresholds)

    @property
    def rows(self) -> tuple[StabilityRow, ...]:
        """The table, a row for each measure."""
        columns = (self.values, self.errors, self.kinds, self.thresholds, self.rules, self.ratios, self.converged)
        rows = zip(self.measures, *columns, strict=True)
        return tuple(
            StabilityRow(m, float(v), float(e), k, float(t), r, float(x), bool(c)) for m, v, e, k, t, r, x, c in rows
        )

    def __len__(self) -> int:
        return len(self.measures)

    def __iter__(self) -> Iterator[StabilityRow]:
        return iter(self.rows)

    def __getitem__(self, measure: str) -> StabilityRow:
        """The row of a measure; a KeyError says why there is none."""
        for row in self.rows:
            if row.measure == measure:
                return row
        why = dict(zip(self.absent, self.reasons, strict=True))
        raise KeyError(f"{measure}: {why.get(measure, 'there are ' + ', '.join(self.measures))}")

    def _lines(self) -> list[tuple[str, str]]:
        where = "" if self.step < 0 else f", step {self.step:,}"
        lines = [
            ("stability", f"{self.optimizer} at η = {format_value(self.lr)}, loss {format_value(self.loss)}{where}")
        ]
        for row in self.rows:
            bound = row.kind == "lower bound"
            value = f"≥ {format_value(row.value)}" if bound else format_brief(row.value, row.error)
            mark = "" if row.converged else "   NOT CONVERGED"
            lines.append((row.measure, f"{value}; {_against(row)}{mark}"))
        return [*lines, *((name, f"— {why}") for name, why in zip(self.absent, self.reasons, strict=True))]


def _against(row: StabilityRow) -> str:
    if math.isnan(row.threshold):
        return f"no threshold: {row.rule}"
    at_least = "at least " if row.kind == "lower bound" else ""
    return f"{at_least}{format_value(row.ratio, digits=3)} × {row.rule} = {format_value(row.threshold)}"
