"""The same question with the scale of the logits taken out: each example's are centred and divided by their norm."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from landscape.errors import ObjectiveError
from landscape.objective.objective import Objective

#: Logits of an example that differ by less than this many roundings of the largest are all the same.
_ROUNDINGS = 16
#: Of two classes the normalised logits say only which is larger: their loss is a staircase.
_LEAST_CLASSES = 3


class Normalization:
    """What is done with the logits: centred and at norm 1 over the dimension ``axis`` of classes."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def __call__(self, logits: Tensor) -> Tensor:
        return normalized(logits, self.axis)


def logit_normalized(objective: Objective) -> Objective:
    r"""The loss of the same model with normalised logits, which no factor on the last layer changes.

    .. math::
        \tilde f(x) = \frac{f(x) - \bar f(x)}{\|f(x) - \bar f(x)\|_2}, \qquad \bar f(x) = \frac 1 C \sum_c f_c(x)

    takes the place of the logits :math:`f(x) \in \mathbb{R}^C` of each example (or token, or pixel), so that it does
    not matter how the data are cut into chunks. Multiplying weight and bias of the last layer by a > 0 leaves every
    prediction, and this loss at every θ; the loss of plain logits it changes. An example whose logits are all equal has
    no direction: they stay zero, with no gradient.

    Parameters
    ----------
    objective : Objective
        Of a loss of class scores in one tensor, of at least three classes. It is known by its behaviour: on up to 12
        examples, a constant added to the scores of each must not change it, as with softmax and cross-entropy.

    Returns
    -------
    Objective
        Every question can be asked of it: ``loss``, ``HessianOperator``, ``sharpness`` … An evaluation costs what it
        cost before; making it costs one forward pass over up to 12 examples. An objective that was already normalised
        is returned as it is.

    Raises
    ------
    ObjectiveError
        For any other loss: squared errors, log-probabilities, one logit for two classes, and for objectives made by
        ``Objective.from_loss``, which do not say where the logits are.

    References
    ----------
    Andriushchenko, Croce, Müller, Hein, Flammarion (2023), ICML, where adaptive sharpness is taken of such logits; the
    formula is that of their published code (``LogitNormalizationWrapper``). With the root mean square over classes in
    the norm's place all logits would be √C times as large: other numbers with the same invariance.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 3)
    >>> data = torch.eye(2), torch.tensor([0, 2])
    >>> objective = Objective(model, torch.nn.functional.cross_entropy, data, dtype=torch.float64)
    >>> tripled, normalised = 3 * objective.theta, logit_normalized(objective)
    >>> abs(normalised.loss(tripled) - normalised.loss()) < 1e-12
    True
    >>> abs(objective.loss(tripled) - objective.loss()) < 1e-12
    False
    """
    if isinstance(objective.module.transform, Normalization):
        return objective
    twin = objective.with_constants({})
    twin.module = copy.copy(objective.module)
    twin.module.transform = Normalization(class_axis(objective))
    twin.loss_name = f"{objective.loss_name} of normalised logits"
    twin.linear = ()
    return twin


def normalized(logits: Tensor, axis: int) -> Tensor:
    """Logits less their mean over the classes, at 2-norm 1; zero where they are equal up to rounding."""
    sizes = logits.detach().abs().amax(axis, keepdim=True)
    centred = logits - logits.mean(axis, keepdim=True)
    largest = centred.detach().abs().amax(axis, keepdim=True)
    has_direction = (largest > _ROUNDINGS * torch.finfo(logits.dtype).eps * sizes) | largest.isnan()
    # The largest cancels from the result; without it squares of very small or very large logits would leave the range.
    scaled = centred / torch.where(has_direction, largest, torch.ones_like(largest))
    squares = scaled.square().sum(axis, keepdim=True)
    # Both branches stay finite, so that no gradient is 0 · ∞ where the logits are equal.
    length = torch.where(has_direction, squares, torch.ones_like(squares)).sqrt()
    return torch.where(has_direction, scaled / length, torch.zeros_like(scaled))


def class_axis(objective: Objective) -> int:
    """The dimension of the outputs over which the classes lie, seen on up to 12 examples.

    Raises
    ------
    ObjectiveError
        If the loss is none of class scores, or there are fewer than three classes.
    """
    if not objective.module.is_separable:
        raise ObjectiveError(
            f"{objective.loss_name} was made by Objective.from_loss, which does not say where the logits are. To "
            "normalise them, use Objective(model, loss_fn, data) with loss_fn(logits, target), or "
            "Objective.from_outputs(model, outputs, loss, data)"
        )
    few = objective.on_first(objective.few)
    parts, tensors = few.parts(), few.layout.split(few.theta)
    with parts.borrowed(), torch.enable_grad():  # the loss itself may differentiate
        chunk = parts.chunk(0)
        scores = parts.outputs(chunk, tensors)
        if not isinstance(scores, Tensor) or not scores.is_floating_point():
            raise ObjectiveError(f"the model returns a {type(scores).__name__}, not one tensor of logits to normalise")
        scores = scores.detach()
        axes = [axis - scores.ndim for axis in dict.fromkeys((1, scores.ndim - 1)) if 0 < axis < scores.ndim]
        before = float(parts.loss_of(scores, chunk).detach())
        moved = {axis: float(parts.loss_of(_raised(scores, axis), chunk).detach()) for axis in axes}
    return _only_axis(objective.loss_name, scores, before, moved)


def _raised(scores: Tensor, axis: int) -> Tensor:
    """A constant of its own added to the scores of each example, between once and twice the largest of all."""
    shape = list(scores.shape)
    shape[axis] = 1
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(scores)
    return scores + (1 + drawn) * _size(scores)


def _size(scores: Tensor) -> float:
    largest = float(scores.abs().max()) if scores.numel() else 0.0
    return largest or 1.0


def _only_axis(loss_name: str, scores: Tensor, before: float, moved: dict[int, float]) -> int:
    """The first dimension along which a constant changes nothing beyond rounding."""
    tolerance = torch.finfo(scores.dtype).eps ** 0.5 * (abs(before) + _size(scores))
    found = [axis for axis, after in moved.items() if abs(after - before) <= tolerance]
    for axis in found:
        if scores.shape[axis] >= _LEAST_CLASSES:
            return axis
    if found:
        raise ObjectiveError(
            f"normalised logits need at least three classes; outputs of shape {tuple(scores.shape)} have "
            f"{scores.shape[found[0]]}. Of two only the sign of their difference is left, and no loss of it bends"
        )
    seen = ", ".join(f"{after:.6g}" for after in moved.values()) or "no dimension of classes"
    raise ObjectiveError(
        f"{loss_name} is no loss of logits that could be normalised: with a constant added to all outputs of an "
        f"example it must stay, and it went from {before:.6g} to {seen} (outputs of shape {tuple(scores.shape)}). "
        "Squared errors, losses of probabilities or log-probabilities and single logits of two classes have no such "
        "scale: ask without normalisation"
    )
