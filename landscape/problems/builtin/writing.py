"""What a trained character model writes, and how much of it are words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from landscape.errors import UsageError
from landscape.problems.base import Problem
from landscape.problems.builtin.text import Alphabet, load_text
from landscape.problems.builtin.transformer import CharTransformer, continued

#: Of the config of a problem, by which its text is found.
_TEXT = ("file", "characters", "corpus_seed")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


def alphabet_of(config: Mapping[str, Any], data_dir: str | Path | None = None) -> Alphabet:
    """The characters of the text that a problem of this config is trained on.

    Raises
    ------
    UsageError
        If the config names no text, or its file cannot be read.
    """
    if not set(_TEXT) <= config.keys():
        raise UsageError("the problem is no character model: its settings name no text")
    file, characters, corpus_seed = (config[key] for key in _TEXT)
    return load_text(file, characters, corpus_seed, None if data_dir is None else Path(data_dir))[1]


def written(model: nn.Module, alphabet: Alphabet, prompt: str, *, length: int, temperature: float, seed: int) -> str:
    """The prompt and ``length`` characters more; for ``temperature`` 0 the likeliest ones.

    Raises
    ------
    UsageError
        If the model is none over characters, the prompt is empty, or has a character that is not in the alphabet.
    """
    if not isinstance(model, CharTransformer):
        raise UsageError(f"a {type(model).__name__} is no character model")
    tokens = alphabet.encode(prompt)
    if not len(tokens):
        raise UsageError("the prompt is empty; give at least one character")
    return alphabet.decode(continued(model, tokens, length, temperature=temperature, seed=seed))


def text_of(problem: Problem, alphabet: Alphabet, split: str) -> str:
    """The training or test text, as the sequences of a character problem hold it."""
    return alphabet.decode(problem.data(split)[0].flatten())


def share_of_words(text: str, known: str) -> float:
    """Which share of the words of a text occur in another one; the first and the last, which may be parts, left out.

    NaN of a text without words.

    >>> share_of_words("og the cat zat the do", "The cat and the dog.")
    0.75
    """
    words, there = _WORD.findall(text)[1:-1], set(_WORD.findall(known))
    return sum(word in there for word in words) / len(words) if words else float("nan")
