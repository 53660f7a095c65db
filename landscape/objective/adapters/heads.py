"""What outputs of a Hugging Face model are held against, by the kind of its head: the loss spelled out, its weight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from landscape.objective.vocabulary import IGNORED

Batch = Mapping[str, Tensor]


class Head(ABC):
    """A mean over what counts in a batch, of outputs that the model names.

    Attributes
    ----------
    name : str
        The loss, in records and digests.
    fields : tuple of str
        Of the model's output, which the loss reads.
    labels : tuple of str
        Of the batch, which the model is not given.
    likelihood : str or None
        Of which the loss is the negative logarithm.
    """

    name: str
    fields: tuple[str, ...] = ("logits",)
    labels: tuple[str, ...] = ("labels",)
    likelihood: str | None = None

    @abstractmethod
    def count(self, batch: Batch) -> float:
        """What the mean runs over in a batch."""

    @abstractmethod
    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Mean loss of outputs: a tensor, or a tuple of them in the order of ``fields``."""


class Tokens(Head):
    """Cross-entropy of tokens; those labelled −100 do not count. With ``shift`` 1 position t predicts token t + 1."""

    likelihood = "categorical"

    def __init__(self, *, shift: int, note: str = "") -> None:
        self.shift = shift
        self.name = ("cross-entropy of next tokens" if shift else "cross-entropy of tokens") + note

    def targets(self, batch: Batch) -> Tensor:
        """Flat, below zero where nothing counts."""
        return batch["labels"][..., self.shift :].flatten()

    def predicting(self, by_position: Tensor) -> Tensor:
        """Of outputs or hidden states (B, T, …) those that predict a target, flat (N, …)."""
        return by_position[:, : by_position.shape[1] - self.shift].flatten(0, 1)

    def count(self, batch: Batch) -> float:
        return float((self.targets(batch) != IGNORED).sum())

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        targets = self.targets(batch)
        total = F.cross_entropy(self.predicting(outputs), targets, ignore_index=IGNORED, reduction="sum")
        return total / (targets != IGNORED).sum().clamp(min=1)


class Classes(Head):
    """Cross-entropy of examples, each of one class."""

    name, likelihood = "cross-entropy", "categorical"

    def count(self, batch: Batch) -> float:
        return float((batch["labels"] != IGNORED).sum())

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        targets = batch["labels"].flatten()
        total = F.cross_entropy(outputs, targets, ignore_index=IGNORED, reduction="sum")
        return total / (targets != IGNORED).sum().clamp(min=1)


class Labels(Head):
    """Binary cross-entropy of labels, any number of them true of an example."""

    name, likelihood = "binary cross-entropy", "bernoulli"

    def count(self, batch: Batch) -> float:
        return float(len(batch["labels"]))

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, batch["labels"].to(outputs.dtype))


class Numbers(Head):
    """Squared error."""

    name, likelihood = "mean squared error", "gaussian"

    def count(self, batch: Batch) -> float:
        return float(len(batch["labels"]))

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        return F.mse_loss(outputs, batch["labels"].to(outputs.dtype).reshape(outputs.shape))


class Answers(Head):
    """Cross-entropy of the first and of the last token of an answer, halved; both lie in the text."""

    name = "cross-entropy of answers"
    fields, labels = ("start_logits", "end_logits"), ("start_positions", "end_positions")

    def count(self, batch: Batch) -> float:
        return float(len(batch["start_positions"]))

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        pairs = zip(outputs, self.labels, strict=True)
        first, last = (F.cross_entropy(logits, batch[label].flatten()) for logits, label in pairs)
        return (first + last) / 2


def base_of(model: nn.Module) -> nn.Module:
    """The model of the library, inside an adapter of PEFT or not."""
    found: Any = getattr(model, "get_base_model", None)
    inner: nn.Module = model if found is None else found()
    return inner


def is_generator(model: nn.Module) -> bool:
    """Whether labels that are missing are the tokens of the text itself."""
    return any("ForCausalLM" in name or "LMHeadModel" in name for name in _names(model))


def candidates(model: nn.Module, batch: Batch) -> Iterator[Head]:
    """What the loss of a model may be, by the name of its class; likeliest first, nothing where it is unknown."""
    config: Any = getattr(base_of(model), "config", None)
    names = _names(model)

    def called(*marks: str) -> bool:
        return any(mark in name for name in names for mark in marks)

    if set(Answers.labels) <= set(batch) and called("ForQuestionAnswering"):
        yield Answers()
    if "labels" not in batch:
        return
    if called("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"):
        both = (0, 1) if getattr(config, "is_encoder_decoder", False) else (1, 0)
        yield from (Tokens(shift=shift) for shift in both)
    elif called("ForMaskedLM", "ForTokenClassification"):
        yield Tokens(shift=0)
    elif called("Classification", "ForMultipleChoice"):
        yield _of_examples(config, batch["labels"])


def _of_examples(config: Any, labels: Tensor) -> Head:
    kinds: dict[str, type[Head]] = {
        "regression": Numbers, "single_label_classification": Classes, "multi_label_classification": Labels,
    }  # fmt: skip
    asked = getattr(config, "problem_type", None)
    if asked in kinds:
        return kinds[asked]()
    if getattr(config, "num_labels", None) == 1:
        return Numbers()
    return Labels() if labels.is_floating_point() else Classes()


def _names(model: nn.Module) -> list[str]:
    return [kind.__name__ for kind in type(base_of(model)).__mro__]
