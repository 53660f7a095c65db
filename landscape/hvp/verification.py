"""Whether a recording is the model on all chunks: by its products where it was made, by its losses on the others."""

from __future__ import annotations

from torch import Tensor

from landscape.errors import ObjectiveError
from landscape.hvp.agreement import AGREEMENT, check_agreement, check_finite, direction, refusal
from landscape.hvp.linearized import Linearized, Residuals
from landscape.hvp.product import LossParts, SomeChunks
from landscape.hvp.reverse import Fresh


def check_recording(product: Linearized, parts: LossParts, theta: Tensor, *, first_known: bool = False) -> None:
    """Hold each recording against double backward on the first chunk that it is used for; and on every chunk the loss
    that was recorded along with it against the model's. The other products must be finite.

    A model that decides by its data may have been recorded on another branch, which shows in its loss. What was seen
    of the losses before is used again, so that this costs a product. ``first_known`` says that the first chunk has
    been checked. Where something differs, the products of all chunks decide; as they do where the model takes roots or
    norms, whose derivatives by double backward may be NaN on any chunk.

    Raises
    ------
    ObjectiveError
        If they disagree, or double backward is not finite.
    """
    v, checked, sound = direction(theta), set(), True
    for index in range(len(parts.shares)):
        residuals, out = product.on_chunk(index, None if first_known and index == 0 else v)
        if out is not None and residuals.traced not in checked:
            _check_product(SomeChunks(parts, [index], [1.0]), theta, v, out)
        checked.add(residuals.traced)
        finite = (out is None or bool(out.isfinite().all())) and not residuals.traced.singular
        sound = sound and finite and _same_loss(product, residuals, parts, index)
    if not sound:
        check_agreement(product, parts, theta)


def _check_product(chunk: LossParts, theta: Tensor, v: Tensor, out: Tensor) -> None:
    reference = Fresh(chunk, theta)(v)
    check_finite(reference, chunk, theta)
    if refused := refusal(chunk, theta, v, reference, out):
        raise ObjectiveError(f"it {refused}")


def _same_loss(product: Linearized, residuals: Residuals, parts: LossParts, index: int) -> bool:
    limit, recorded, seen = AGREEMENT[product.tensors[0].dtype], float(residuals.loss), parts.losses_seen

    def near(other: float) -> bool:
        return abs(recorded - other) <= limit * max(abs(recorded), abs(other))

    if seen is not None and near(seen[index]):
        return True
    with parts.borrowed():
        return near(parts.value(index, product.tensors))
