"""Small models of ``transformers`` with each kind of head, data for them, and what torch makes of their own loss."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.objective.arithmetic import lifted
from tests.support.families import FAMILIES, PAD, WORDS

LENGTH = 6

#: Case -> family of the config, model class, kind of data, settings of its own.
HEADS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "causal": ("GPT-2", "GPT2LMHeadModel", "text", {}),
    "causal, rotary": ("Llama", "LlamaForCausalLM", "text", {}),
    "causal, no attention": ("Mamba2", "Mamba2ForCausalLM", "text", {}),
    "causal, capped": ("Gemma2", "Gemma2ForCausalLM", "text", {"final_logit_softcapping": 2.0}),
    "masked": ("BERT", "BertForMaskedLM", "holes", {}),
    "masked, distilled": ("DistilBERT", "DistilBertForMaskedLM", "holes", {}),
    "translation": ("T5", "T5ForConditionalGeneration", "pairs", {}),
    "tokens": ("BERT", "BertForTokenClassification", "tags", {}),
    "classes": ("DistilBERT", "DistilBertForSequenceClassification", "classes", {}),
    "classes, by last token": ("GPT-2", "GPT2ForSequenceClassification", "classes", {"num_labels": 3}),
    "labels": ("BERT", "BertForSequenceClassification", "labels", {}),
    "numbers": ("BERT", "BertForSequenceClassification", "numbers", {"num_labels": 1}),
    "several numbers": ("BERT", "BertForSequenceClassification", "three numbers", {"problem_type": "regression"}),
    "choices": ("BERT", "BertForMultipleChoice", "choices", {}),
    "answers": ("BERT", "BertForQuestionAnswering", "answers", {"num_labels": 2}),
    "images": ("ViT", "ViTForImageClassification", "images", {}),
}


def build(case: str, **settings: Any) -> nn.Module:
    """The model, in float64, its matrices five times as large as the library makes them; the same on each call."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    import transformers

    family, name, _, own = HEADS[case]
    config_name, _, _, common = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        config = getattr(transformers, config_name)(**{**common, **own, **settings})
        model = getattr(transformers, name)(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
    return model


def data(case: str, count: int = 8) -> dict[str, Tensor]:
    """One batch, with the labels that the model takes; texts padded on the right, the first ones full."""
    kind, generator = HEADS[case][2], torch.Generator().manual_seed(3)

    def drawn(most: int, *shape: int) -> Tensor:
        return torch.randint(most, shape, generator=generator)

    if kind == "images":
        return {"pixel_values": torch.randn(count, 1, 8, 8, generator=generator), "labels": drawn(3, count)}
    tokens = 3 + drawn(WORDS - 3, count, LENGTH)
    lengths = torch.tensor([LENGTH] * (count // 2) + [LENGTH - 1 - i % 3 for i in range(count - count // 2)])
    mask = (torch.arange(LENGTH) < lengths[:, None]).long()
    tokens = torch.where(mask == 1, tokens, PAD)
    batch = {"input_ids": tokens, "attention_mask": mask}
    if kind == "choices":
        return {**{k: v.reshape(count // 2, 2, LENGTH) for k, v in batch.items()}, "labels": drawn(2, count // 2)}
    if kind == "answers":
        return {**batch, "start_positions": drawn(2, count), "end_positions": 2 + drawn(2, count)}
    numbers = torch.randn(count, 3, generator=generator).double()
    labels = {
        "text": tokens, "pairs": tokens.flip(1), "holes": tokens.masked_fill(drawn(2, *tokens.shape) == 1, -100),
        "tags": drawn(3, *tokens.shape), "classes": drawn(3, count), "labels": drawn(2, count, 3).double(),
        "numbers": numbers[:, 0], "three numbers": numbers,
    }[kind]  # fmt: skip
    if labels.shape == tokens.shape:
        hidden = mask.flip(1) if kind == "pairs" else mask
        labels = labels.masked_fill(hidden == 0, -100)
    return {**batch, "labels": labels}


class Own:
    """``model(**batch).loss`` on one batch as a function of the parameters, in float64 all through."""

    def __init__(self, model: nn.Module, batch: dict[str, Tensor]) -> None:
        self.model, self.batch = model, batch
        self.named = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        self.fixed = {n: p.detach() for n, p in model.named_parameters() if not p.requires_grad}

    def output(self, theta: Tensor) -> Any:
        pieces = theta.split([t.numel() for t in self.named.values()])
        shaped = {n: piece.view(t.shape) for (n, t), piece in zip(self.named.items(), pieces, strict=True)}
        training = self.model.training
        self.model.eval()
        try:
            with lifted(), sdpa_kernel(SDPBackend.MATH):
                return functional_call(self.model, {**shaped, **self.fixed}, (), self.batch)
        finally:
            self.model.train(training)

    @property
    def theta(self) -> Tensor:
        return torch.cat([t.reshape(-1) for t in self.named.values()])

    def loss(self, theta: Tensor) -> Tensor:
        return self.output(theta).loss

    def product(self, v: Tensor) -> Tensor:
        """∇²L·v by torch's own double backward."""
        return torch.autograd.functional.hvp(self.loss, self.theta, v)[1]

    def dense(self) -> Tensor:
        return torch.autograd.functional.hessian(self.loss, self.theta)
