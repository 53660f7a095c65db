"""Two networks with their neurons matched, and what averaging does to the spread of what neurons give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landscape.errors import UsageError
from landscape.results.base import Array, Record
from landscape.rounding import format_value

_SHOWN = 6


@dataclass(frozen=True, eq=False, repr=False)
class Alignment(Record):
    """θ_b with its neurons in the order that suits θ_a best; the same function as θ_b.

    It is taken as a vector wherever θ is: ``interpolate(objective, theta_a, alignment)``.

    Attributes
    ----------
    theta : (P,) array
        θ_b permuted, entry by entry: ``theta = theta_b[order]``.
    order : (P,) array of int
    tensors : tuple of str
        What θ is made of, by name.
    distance_before, distance : float
        ``‖θ_a − θ_b‖`` as they came, and ``‖θ_a − theta‖``.
    output_change : float
        Largest difference between the outputs of θ_b and of ``theta`` in float64 on a few examples, of the largest
        output: rounding.
    groups : tuple of str
        M groups of neurons, named after the first layer they stand in. ``in each`` is one within another, as the
        neurons within each head.
    sizes, copies : (M,) arrays of int
        Neurons of each, and permutations: more than one where they may differ from head to head.
    alike_before, alike : (M,) arrays
        How alike the two networks are where each group stands: the cosine between their weights, or activations there,
        as they came and as they were matched.
    where : tuple of str
        ``fc1.weight[0], fc1.bias[0], fc2.weight[1]``: the dimensions of tensors in which each stands.
    permutations : (Σ copies·size,) array of int
        Of all groups, one after the other; :meth:`permutation` has those of one.
    buffers : tuple of str
        Running statistics, and what else is permuted along with θ; ``buffer_sizes`` and ``buffer_order``, as ``order``.
    dropped : tuple of str
        Groups that were seen in the trace, but whose permutations change the outputs.
    similarity : float
        ``⟨θ_a, theta⟩`` over what is permuted, or the sum of the correlations or products of activations.
    similarity_before : float
    method, reason : str
        ``"weights"`` or ``"activations"``, and why the search ended.
    sweeps, assignments, restarts, seed : int
        Sweeps of the best of the ``restarts`` searches, assignment problems of all.
    without_rule : tuple of str
        Operations of which it is not known what they do to axes: what they meet stays where it is.
    """

    theta: Array
    order: Array
    tensors: tuple[str, ...]
    distance_before: float
    distance: float
    output_change: float
    groups: tuple[str, ...]
    sizes: Array
    copies: Array
    alike_before: Array
    alike: Array
    where: tuple[str, ...]
    permutations: Array
    buffers: tuple[str, ...]
    buffer_sizes: Array
    buffer_order: Array
    dropped: tuple[str, ...]
    similarity: float
    similarity_before: float
    method: str
    reason: str
    sweeps: int
    assignments: int
    restarts: int
    seed: int
    without_rule: tuple[str, ...] = ()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.theta, dtype=dtype) if copy is False else np.array(self.theta, dtype=dtype)

    # So torch takes foreign vectors; a copy, since a record stays as it is.
    def __dlpack__(self, **asked: Any) -> Any:
        return self.theta.copy().__dlpack__(**asked)

    def __dlpack_device__(self) -> Any:
        return self.theta.__dlpack_device__()

    def permutation(self, group: str) -> Array:
        """(copies, size): neuron ``i`` of the result is neuron ``permutation[·, i]`` of θ_b.

        Raises
        ------
        UsageError
            If there is no group of that name.
        """
        if group not in self.groups:
            raise UsageError(f"no group {group!r}; there are {', '.join(self.groups)}")
        return dict(self._each())[group]

    def permuted(self, vectors: Any) -> Array:
        """Vectors of the second network, (P,) or (P, K), such as gradients or eigenvectors, in the same order.

        Raises
        ------
        UsageError
            If they are not of length P.
        """
        given = np.asarray(vectors.detach().cpu() if hasattr(vectors, "detach") else vectors)
        if given.ndim not in (1, 2) or len(given) != len(self.order):
            raise UsageError(f"vectors of shape {given.shape} do not fit: θ has shape ({len(self.order)},)")
        found: Array = given[self.order]
        return found

    @property
    def moved(self) -> Array:
        """(M,): the share of neurons of each group that change their place."""
        return np.array([float(np.mean(rows != np.arange(rows.shape[1]))) for _, rows in self._each()])

    def _each(self) -> Iterator[tuple[str, Array]]:
        at = 0
        for name, size, copies in zip(self.groups, self.sizes.tolist(), self.copies.tolist(), strict=True):
            yield name, self.permutations[at : at + size * copies].reshape(copies, size)
            at += size * copies

    def _lines(self) -> list[tuple[str, str]]:
        before, after = format_value(self.distance_before), format_value(self.distance)
        shown = [
            f"{name} ({size}{f' × {copies}' if copies > 1 else ''})"
            for name, size, copies in zip(self.groups, self.sizes.tolist(), self.copies.tolist(), strict=True)
        ]
        rest = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
        moved = self.moved @ (self.sizes * self.copies) / max((self.sizes * self.copies).sum(), 1)
        return [
            ("distance to θ_a", f"{after}, {before} before"),
            ("groups", ", ".join(shown[:_SHOWN]) + rest),
            ("moved", f"{100 * float(moved):.0f} % of the neurons"),
            ("outputs changed by", f"{self.output_change:.1e} of the largest"),
            ("method", f"{self.method}, {self.reason}"),
            *(("not permuted", remark) for remark in self.dropped),
            *(
                [("not permuted", f"what meets {', '.join(self.without_rule)}: there is no rule for it")]
                if self.without_rule
                else []
            ),
        ]


@dataclass(frozen=True, eq=False, repr=False)
class Repaired(Record):
    """A point between two networks, with what its neurons give reset to the spread that they have in the two.

    It is taken as a vector wherever θ is, where there are no running statistics.

    Attributes
    ----------
    theta : (P,) array
        Of the same model.
    t : float
        Where between θ_a (0) and θ_b (1).
    loss, loss_before : float
        At ``theta``, and at the plain average, whose running statistics, if there are any, are the average of the two.
    loss_a, loss_b : float
        At the ends.
    layers : tuple of str
        L layers, in the order in which they are called.
    spread_before, spread : (L,) arrays
        The root mean square, over neurons, of the standard deviation in the average ÷ that wanted, before and after.
    without_shift : tuple of str
        Layers without a bias of their own: their means could not be set.
    skipped : tuple of str
        Layers that were left as they are, with the reason.
    batch_statistics : str
        ``"recompute"`` where running statistics were gathered anew at ``theta``.
    buffers : tuple of str
        Those statistics by name, with their sizes and, one after the other, their values.
    """

    theta: Array
    t: float
    loss: float
    loss_before: float
    loss_a: float
    loss_b: float
    layers: tuple[str, ...]
    spread_before: Array
    spread: Array
    without_shift: tuple[str, ...]
    skipped: tuple[str, ...]
    batch_statistics: str = ""
    buffers: tuple[str, ...] = ()
    buffer_sizes: Array = field(default_factory=lambda: np.empty(0, dtype=int))
    buffer_values: Array = field(default_factory=lambda: np.empty(0))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.theta, dtype=dtype) if copy is False else np.array(self.theta, dtype=dtype)

    def __dlpack__(self, **asked: Any) -> Any:
        return self.theta.copy().__dlpack__(**asked)

    def __dlpack_device__(self) -> Any:
        return self.theta.__dlpack_device__()

    @property
    def chord(self) -> float:
        """``(1 − t)·L(θ_a) + t·L(θ_b)``."""
        return (1 - self.t) * self.loss_a + self.t * self.loss_b

    @property
    def barrier(self) -> float:
        """How far the loss here stands above the chord."""
        return self.loss - self.chord

    @property
    def barrier_before(self) -> float:
        """The same of the plain average."""
        return self.loss_before - self.chord

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("loss", f"{format_value(self.loss)} at t = {self.t:g}, {format_value(self.loss_before)} before"),
            ("above the chord", f"{format_value(self.barrier)}, {format_value(self.barrier_before)} before"),
        ]
        if self.layers:
            least = int(np.argmin(np.where(np.isfinite(self.spread_before), self.spread_before, math.inf)))
            lines.append(
                (
                    "spread",
                    f"of {len(self.layers)} layers reset; in {self.layers[least]} it had fallen to "
                    f"{100 * float(self.spread_before[least]):.0f} %",
                )
            )
        if self.batch_statistics:
            lines.append(("running statistics", "gathered anew from the data"))
        if self.without_shift:
            lines.append(("means not set", ", ".join(self.without_shift[:_SHOWN]) + ": no bias"))
        return [*lines, *(("left as they are", words) for words in _by_reason(self.skipped))]


def _by_reason(remarks: tuple[str, ...]) -> list[str]:
    """``a, b: why`` for all that have one reason.

    >>> _by_reason(("a: shared", "b: no weight", "c: shared"))
    ['a, c: shared', 'b: no weight']
    """
    names: dict[str, list[str]] = {}
    for remark in remarks:
        name, _, reason = remark.partition(": ")
        names.setdefault(reason, []).append(name)
    return [
        f"{', '.join(some[:_SHOWN])}{f' and {len(some) - _SHOWN} more' if len(some) > _SHOWN else ''}: {reason}"
        for reason, some in names.items()
    ]
