"""Public model families built from their configs, no download: small, with all that is peculiar to each.

Loading ``transformers`` takes seconds, so it is loaded when a family is built.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.problems import Problem

WORDS, PAD, LENGTH = 13, 0, 7

_TEXT = {"vocab_size": WORDS, "pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": 2}
_LLAMA = {
    **_TEXT, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 32,
}  # fmt: skip
_BERT = {
    "vocab_size": WORDS, "pad_token_id": PAD, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 2, "max_position_embeddings": 32, "num_labels": 3,
}  # fmt: skip
_IMAGE = {
    "image_size": 8, "patch_size": 4, "num_channels": 1, "hidden_size": 8, "intermediate_size": 12,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 3,
}  # fmt: skip

#: Family -> config class, model class, what it is given, settings.
FAMILIES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "Llama": ("LlamaConfig", "LlamaForCausalLM", "text", _LLAMA),
    "Mistral": ("MistralConfig", "MistralForCausalLM", "text", {**_LLAMA, "sliding_window": 4}),
    "Qwen3": ("Qwen3Config", "Qwen3ForCausalLM", "text", {**_LLAMA, "head_dim": 4}),
    "Gemma2": ("Gemma2Config", "Gemma2ForCausalLM", "text", {**_LLAMA, "head_dim": 4, "query_pre_attn_scalar": 4}),
    "Phi3": ("Phi3Config", "Phi3ForCausalLM", "text", _LLAMA),
    "Mixtral": (
        "MixtralConfig", "MixtralForCausalLM", "text",
        {**_LLAMA, "num_local_experts": 3, "num_experts_per_tok": 2},
    ),
    "Mamba2": (
        "Mamba2Config", "Mamba2ForCausalLM", "text",
        {**_TEXT, "hidden_size": 8, "num_hidden_layers": 2, "num_heads": 4, "head_dim": 4, "state_size": 4,
         "n_groups": 1, "chunk_size": 4, "expand": 2},
    ),
    "GPT-2": (
        "GPT2Config", "GPT2LMHeadModel", "text",
        {**_TEXT, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 32},
    ),
    "GPT-NeoX": (
        "GPTNeoXConfig", "GPTNeoXForCausalLM", "text",
        {**_TEXT, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
         "max_position_embeddings": 32},
    ),
    "OPT": (
        "OPTConfig", "OPTForCausalLM", "text",
        {**_TEXT, "hidden_size": 8, "ffn_dim": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
         "max_position_embeddings": 32, "word_embed_proj_dim": 8},
    ),
    "T5": (
        "T5Config", "T5ForConditionalGeneration", "pairs",
        {**_TEXT, "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0},
    ),
    "BERT": ("BertConfig", "BertForSequenceClassification", "classes", _BERT),
    "DistilBERT": (
        "DistilBertConfig", "DistilBertForSequenceClassification", "classes",
        {"vocab_size": WORDS, "pad_token_id": PAD, "dim": 8, "hidden_dim": 12, "n_layers": 2, "n_heads": 2,
         "max_position_embeddings": 32, "num_labels": 3},
    ),
    "ViT": ("ViTConfig", "ViTForImageClassification", "images", _IMAGE),
    "ConvNeXt": (
        "ConvNextConfig", "ConvNextForImageClassification", "images",
        {"num_channels": 1, "patch_size": 2, "hidden_sizes": [4, 6], "depths": [1, 1], "num_stages": 2,
         "num_labels": 3},
    ),
}  # fmt: skip


class Wrapped(nn.Module):
    """A model of the library as a function of one tensor; where it is told to, it hides the padding."""

    def __init__(self, inner: nn.Module, kind: str, masked: bool) -> None:
        super().__init__()
        self.inner, self.kind, self.masked = inner, kind, masked

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "images":
            return self.inner(pixel_values=x).logits
        mask = {"attention_mask": (x != PAD).long()} if self.masked else {}
        if self.kind == "pairs":
            return self.inner(input_ids=x, decoder_input_ids=x.flip(1).clamp(min=1), use_cache=False, **mask).logits
        cached = {"use_cache": False} if self.kind == "text" else {}
        return self.inner(input_ids=x, **cached, **mask).logits


def of_words(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over texts of the mean loss of their words; padding does not count."""
    each = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=PAD)
    return (each.sum(1) / (targets != PAD).sum(1)).mean()


def data_of(kind: str, count: int = 12, seed: int = 5) -> tuple[Tensor, Tensor]:
    """Random examples; texts of uneven length, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "images":
        return torch.randn(count, 1, 8, 8, generator=generator), torch.randint(3, (count,), generator=generator)
    tokens = torch.randint(3, WORDS, (count, LENGTH), generator=generator)
    for row in range(count):
        tokens[row, LENGTH - row % 3 :] = PAD
    if kind == "classes":
        return tokens, torch.randint(3, (count,), generator=generator)
    return tokens, torch.where(tokens == PAD, PAD, tokens.roll(-1, 1).clamp(min=3))


def build(family: str, *, masked: bool = False, scale: float = 1.0) -> Wrapped:
    """A model of a family, its matrices ``scale`` times as large as the library makes them."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    import transformers

    config_name, model_name, kind, settings = FAMILIES[family]
    model = getattr(transformers, model_name)(getattr(transformers, config_name)(**settings))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
    return Wrapped(model, kind, masked).eval()


def problem(family: str = "Llama", masked: bool = False, scale: float = 1.0) -> Problem:
    """For ``--problem tests.support.families:problem``."""
    kind = FAMILIES[family][2]
    return Problem(
        build=lambda: build(family, masked=masked, scale=scale),
        loss_fn=F.cross_entropy if kind in ("images", "classes") else of_words,
        loss_name="cross-entropy",
        train=data_of(kind),
        test=data_of(kind, seed=6),
        num_classes=3 if kind in ("images", "classes") else WORDS,
    )
