"""Hugging Face models as objectives: their own loss, spelled out where it is known, held against theirs."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from landscape.errors import LandscapeError, ObjectiveError, UsageError
from landscape.objective import vocabulary
from landscape.objective.adapters.columns import Columns
from landscape.objective.adapters.heads import Batch, Head, Tokens, base_of, candidates, is_generator
from landscape.objective.batches import can_cut, take
from landscape.objective.losses import LossModule, OwnLoss, plain_module

if TYPE_CHECKING:
    from landscape.objective import Objective

Make = Callable[[LossModule, str, Any, Mapping[str, Any]], "Objective"]

FEW = 12  # examples on which losses are compared
COMPARED_BYTES = 2**28  # of logits, at most, while they are
#: Of two losses of one batch, relative to 1 + |loss|: many models take theirs in float32, whatever they compute in.
_SAME = 2e-5
_INPUTS_ARE_LABELS = ", labels are the texts themselves"
_MASKING = (
    "For masked language models transformers.DataCollatorForLanguageModeling makes them, −100 where nothing is "
    "predicted; for classes they are a column labels"
)

_log = logging.getLogger("landscape.objective")


def build(make: Make, model: Any, data: Any, options: Mapping[str, Any]) -> Objective:
    """The objective of a model of transformers or PEFT; ``make(module, name, data, options)`` makes and checks one."""
    model = plain_module(model, options.get("device"))
    attention = str(getattr(getattr(base_of(model), "config", None), "_attn_implementation", None))
    if attention.startswith(("flash", "flex")):
        raise ObjectiveError(
            f"attention by {attention} has no second derivative: load the model with attn_implementation='sdpa' or "
            "'eager', or call model.set_attn_implementation('sdpa')"
        )
    columns = Columns(model)
    batches, note = _labelled(model, columns.batches(data))
    constants = {"use_cache": False} if "use_cache" in columns.accepted else {}
    few = _few(model, batches)
    seen: list[str] = []
    heads = list(candidates(model, few))
    for head in heads:
        module = HuggingFaceLoss(model, head, constants)
        reason = _differs(make, module, few, options, constants)
        if not reason:
            return _of_head(make, module, note, batches, few, options)
        seen.append(f"{head.name} {reason}")
    why = "; ".join(seen) or f"the head of a {type(base_of(model)).__name__} is not one that is known here"
    warnings.warn(
        f"the loss of {type(model).__name__} is taken from the model as it is ({why}): Hessians work, Gauss-Newton and "
        "Fisher matrices do not, for where the model ends and its loss begins is not known",
        stacklevel=4,
    )
    weight = options.get("weight") or (heads[0].count if heads else None)
    return make(ModelsOwnLoss(model, constants, why), "model(**batch).loss", batches, {**options, "weight": weight})


def _of_head(
    make: Make, module: HuggingFaceLoss, note: str, batches: list[Batch], few: Batch, options: Mapping[str, Any]
) -> Objective:
    head = module.head
    if options.get("weight") is not None:
        raise UsageError(f"weight= is not taken here: what the mean of the {head.name} runs over follows from labels")
    if module.prepare_vocabulary(few, options.get("dtype")):
        plain = HuggingFaceLoss(module.model, head, module.constants)
        if not _agree(make, module, plain, few, head, options):
            module.words = 0  # something is done to the logits after the head, such as a cap
    for remark in module.remarks:
        _log.info("%s", remark)
    return make(module, head.name + note, batches, {**options, "weight": head.count})


class HuggingFaceLoss(LossModule):
    """The loss of a head that is known, of the outputs it reads.

    Attributes
    ----------
    head : Head
    constants : dict
        What the model is called with besides the batch.
    words : int
        Size of a vocabulary whose logits are made a few tokens at a time and never kept; 0 where they are kept.
    """

    def __init__(self, model: nn.Module, head: Head, constants: Mapping[str, Any]) -> None:
        super().__init__()
        self.model, self.head, self.constants, self.words = model, head, dict(constants), 0
        self.likelihood = head.likelihood
        self._logits_bytes = 0

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What there is to know of its memory."""
        if not self._logits_bytes:
            return ()
        size = f"the logits of one text take {self._logits_bytes / 2**20:.0f} MiB"
        if not self.words:
            return (f"{size}; double backward keeps seven to ten times that for each text of a chunk",)
        at_once = vocabulary.WORKSPACE / 2**20
        return (f"{size}: they are made {at_once:.0f} MiB at a time and not kept, but for Gauss-Newton and Fisher",)

    def plain_outputs(self, batch: Any) -> Any:
        found = self._call(batch)
        outputs = tuple(getattr(found, field) for field in self.head.fields)
        return outputs if len(outputs) > 1 else outputs[0]

    def loss_of(self, outputs: Any, batch: Any) -> Tensor:
        return self.head.loss(outputs, batch)

    def mean_loss(self, batch: Any) -> Tensor:
        if not self.words or self.transform is not None or not isinstance(self.head, Tokens):
            return super().mean_loss(batch)
        hidden, targets = self.head.predicting(self._hidden(batch)), self.head.targets(batch)
        last: Any = _last_layer(self.model)
        total = vocabulary.vocabulary_loss(hidden, last.weight, last.bias, targets)
        return total / (targets >= 0).sum().clamp(min=1)

    def unseen_bytes(self, batch: Any, dtype: torch.dtype) -> int:
        if not self.words:
            return 0
        return int(batch["labels"].numel()) * self.words * dtype.itemsize

    def prepare_vocabulary(self, batch: Batch, dtype: torch.dtype | None) -> bool:
        """Settle whether the logits are too large to be kept; whether the loss without them is right is seen after."""
        last: Any = _last_layer(self.model) if isinstance(self.head, Tokens) else None
        if last is None or type(last) is not nn.Linear:
            return False
        each = 8 if torch.float64 in (dtype, last.weight.dtype) and dtype != torch.float32 else 4
        text = batch["labels"].shape[-1] * last.out_features * each
        if text > vocabulary.WORKSPACE:
            self.words, self._logits_bytes = last.out_features, text
        return bool(self.words)

    def _call(self, batch: Batch) -> Any:
        inputs = {key: value for key, value in batch.items() if key not in self.head.labels}
        return self.model(**inputs, **self.constants)

    def _hidden(self, batch: Batch) -> Tensor:
        """What the last layer is given; it is not run, nor what comes behind it."""
        found: list[Tensor] = []

        def take_and_stop(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found.append(inputs[0])
            raise _ReachedError

        last: Any = _last_layer(self.model)
        handle = last.register_forward_pre_hook(take_and_stop)
        try:
            self._call(batch)
        except _ReachedError as reached:
            reached.__traceback__ = None  # its frames hold everything that was computed
        finally:
            handle.remove()
        if not found:
            raise ObjectiveError("the model does not run its output embedding by calling it")
        return found[0]


class _ReachedError(Exception):
    """The hidden states have reached the last layer."""


class ModelsOwnLoss(OwnLoss):
    """``model(**batch).loss``, whatever that is."""

    def __init__(self, model: nn.Module, constants: Mapping[str, Any], why: str = "") -> None:
        super().__init__(model, self._loss)
        self._constants, self._why = dict(constants), why

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return ()

    def _loss(self, model: nn.Module, batch: Batch) -> Tensor:
        with _problem_type_kept(model):
            loss = getattr(model(**batch, **self._constants), "loss", None)
        if not isinstance(loss, Tensor):
            raise ObjectiveError(
                f"{type(model).__name__} gave no loss for a batch of {', '.join(batch)}: add the labels it takes. "
                f"{_MASKING}"
            )
        return loss

    def plain_outputs(self, batch: Any) -> Any:
        raise ObjectiveError(self._refusal())

    def loss_of(self, outputs: Any, batch: Any) -> Tensor:
        raise ObjectiveError(self._refusal())

    def _refusal(self) -> str:
        return (
            f"this objective is the model's own loss ({self._why}), which does not say where the model ends; a "
            "Gauss-Newton or Fisher matrix needs that: Objective.from_outputs(model, outputs, loss, data)"
        )


@contextmanager
def _problem_type_kept(model: nn.Module) -> Iterator[None]:
    """Classifiers write what they take their labels for into their config."""
    config: Any = getattr(base_of(model), "config", None)
    before = getattr(config, "problem_type", None)
    try:
        yield
    finally:
        if config is not None and getattr(config, "problem_type", None) != before:
            config.problem_type = before


def _last_layer(model: nn.Module) -> nn.Module | None:
    """The layer that gives the logits of words."""
    find = getattr(base_of(model), "get_output_embeddings", None)
    found: nn.Module | None = find() if find is not None else None
    return found


def _labelled(model: nn.Module, batches: Sequence[Batch]) -> tuple[list[Batch], str]:
    """The batches with what the model would make of their labels by itself; and a note where it was added here."""
    note, done = "", list[Batch]()
    for batch in batches:
        full = dict(batch)
        if "labels" not in batch and is_generator(model) and "input_ids" in batch:
            note = _INPUTS_ARE_LABELS
            hidden = full.get("attention_mask", torch.ones_like(full["input_ids"])) == 0
            full["labels"] = full["input_ids"].masked_fill(hidden, vocabulary.IGNORED)
        given = "decoder_input_ids" in full or "decoder_inputs_embeds" in full
        shifted = getattr(base_of(model), "prepare_decoder_input_ids_from_labels", None)
        encoder_decoder = getattr(getattr(base_of(model), "config", None), "is_encoder_decoder", False)
        if "labels" in full and encoder_decoder and not given and shifted is not None:
            full["decoder_input_ids"] = shifted(labels=full["labels"])
        done.append(full)
    if not any(key in full for full in done for key in ("labels", "start_positions")):
        raise ObjectiveError(
            f"the batches hold {', '.join(done[0])} and no labels, so {type(model).__name__} has no loss. {_MASKING}"
        )
    return done, note


def _few(model: nn.Module, batches: list[Batch]) -> Batch:
    """Some examples to compare losses on, of which something counts."""
    last: Any = _last_layer(model)
    words = len(last.weight) if isinstance(getattr(last, "weight", None), Tensor) else 1

    def counts(batch: Batch) -> bool:
        labels = batch.get("labels")
        return labels is None or labels.is_floating_point() or bool((labels[..., 1:] >= 0).any() or labels.ndim < 2)

    batch = next((batch for batch in batches if counts(batch)), batches[0])
    labels = batch.get("labels")
    each = words * 4 * (labels.shape[-1] if labels is not None and labels.ndim > 1 else 1)
    fewer: Batch = take(batch, slice(0, max(1, min(FEW, COMPARED_BYTES // each)))) if can_cut(batch) else batch
    return fewer if counts(fewer) else batch


def _differs(
    make: Make, module: HuggingFaceLoss, few: Batch, options: Mapping[str, Any], constants: Mapping[str, Any]
) -> str:
    """What shows that a head's loss is not the model's own; empty where they are one."""
    try:
        if not module.head.count(few):
            return "has nothing to count"
        ours, theirs = _losses(make, module, ModelsOwnLoss(module.model, constants), few, module.head, options)
    except LandscapeError as error:
        if "gave no loss" in str(error):
            raise
        return f"cannot be had ({error})"
    return "" if _equal(ours, theirs) else f"gives {ours:.6g} where the model gives {theirs:.6g}"


def _agree(make: Make, one: LossModule, other: LossModule, few: Batch, head: Head, options: Mapping[str, Any]) -> bool:
    try:
        return _equal(*_losses(make, one, other, few, head, options))
    except LandscapeError:
        return False


def _equal(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME * (1 + abs(other))


def _losses(
    make: Make, one: LossModule, other: LossModule, few: Batch, head: Head, options: Mapping[str, Any]
) -> tuple[float, float]:
    """Of two losses on the same examples, in the dtype that was asked for."""
    kept = {key: value for key, value in options.items() if key in ("params", "mode", "dtype", "device")}
    whole = {**kept, "weight": head.count, "check": False, "interacting": True}
    first = make(one, head.name, [few], whole)
    second = copy.copy(first)
    second.module = other
    return first.loss(), second.loss()
