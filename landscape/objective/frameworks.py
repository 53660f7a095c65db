"""Objectives of models that are written for other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn
from typing_extensions import Self, Unpack

from landscape.objective import losses
from landscape.objective.adapters import graphs, huggingface
from landscape.objective.adapters.lightning import StepLoss
from landscape.objective.options import Options


class FromFrameworks:
    """The ways into an objective from Lightning, PyTorch Geometric and Hugging Face."""

    @classmethod
    def from_loss(
        cls, model: nn.Module, loss: Callable[[Any, Any], Tensor], data: Any, **options: Unpack[Options]
    ) -> Self:
        """Of ``loss(model, batch)``."""
        raise NotImplementedError

    @classmethod
    def from_outputs(
        cls,
        model: nn.Module,
        outputs: Callable[[Any, Any], Any],
        loss: Callable[[Any, Any], Tensor],
        data: Any,
        **options: Unpack[Options],
    ) -> Self:
        """Of ``loss(outputs(model, batch), batch)``."""
        raise NotImplementedError

    def _build(self, module: losses.LossModule, loss_name: str, data: Any, options: Options) -> None:
        raise NotImplementedError

    @classmethod
    def from_lightning(
        cls, module: nn.Module, loader: Any, *, step: str = "training", **options: Unpack[Options]
    ) -> Self:
        """Objective of the loss that ``training_step`` of a LightningModule returns; no Trainer is needed.

        ``step="validation"`` takes that of ``validation_step``. Logging is silent. The loss is a mean over examples, or
        over what ``weight(batch)`` counts (:mod:`landscape.objective.adapters.lightning`).
        """
        plain = losses.plain_module(module, options.get("device"))
        return cls.from_loss(plain, StepLoss(plain, step), loader, **options)

    @classmethod
    def from_graphs(
        cls,
        model: nn.Module,
        loss: losses.LossFn,
        loader: Any,
        *,
        nodes: str | None = None,
        outputs: Callable[[Any, Any], Any] | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """Objective of ``loss(output, batch.y)`` on graphs of PyTorch Geometric, in batches that stay as they come.

        The mean runs over graphs; over nodes with ``nodes="all"``, or those of a mask with ``nodes="train_mask"``.
        ``outputs(model, batch)`` says how the model is called (:mod:`landscape.objective.adapters.graphs`).
        """
        made: Any = graphs.objective_of(cast(Any, cls.from_outputs), model, loss, loader, nodes, outputs, dict(options))
        return cast(Self, made)

    @classmethod
    def from_huggingface(cls, model: nn.Module, data: Any, **options: Unpack[Options]) -> Self:
        """Objective of ``model(**batch).loss`` for models of transformers and PEFT, a mean over all labels that count.

        ``data`` is a loader of dicts, a list of dicts (batches, or examples, which are padded), what a tokenizer
        returned, or a ``datasets.Dataset``; of its columns those that the model takes are used. Labels −100 and padding
        do not count; a causal model without labels predicts the texts themselves. The loss is spelled out from the
        model's logits and held against its own on the first examples, so that Gauss-Newton and Fisher matrices can be
        had; where they differ, the model's own is taken, with a warning. Logits of a large vocabulary are made a few
        tokens at a time. The keyword arguments are those of :class:`Objective`; ``weight`` follows from the labels.
        """

        def make(module: losses.LossModule, name: str, data: Any, options: Any) -> Any:
            made = cls.__new__(cls)
            made._build(module, name, data, options)
            return made

        return cast(Self, huggingface.build(make, model, data, options))
