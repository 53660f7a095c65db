"""Language models over characters: of a text file, or of a generated corpus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

import torch
from torch import Tensor
from torch.nn import functional

from landscape.checks import check_count, check_not_negative, check_seed, check_share
from landscape.errors import UsageError
from landscape.problems.base import Examples, Problem
from landscape.problems.builtin.child_speech import ALPHABET, corpus
from landscape.problems.builtin.transformer import CharTransformer
from landscape.problems.recipe import Recipe

#: Sequences whose activations are held at once during training.
AT_ONCE = 16


@dataclass(frozen=True)
class Alphabet:
    """Characters and their numbers."""

    letters: str

    def encode(self, text: str) -> Tensor:
        """Numbers (T,) of a text.

        Raises
        ------
        UsageError
            If a character is not in the alphabet.
        """
        number = {letter: i for i, letter in enumerate(self.letters)}
        if strange := sorted(set(text) - set(number)):
            raise UsageError(f"{''.join(strange)!r} is not among the characters that were trained on: {self.letters!r}")
        return torch.tensor([number[letter] for letter in text], dtype=torch.int64)

    def decode(self, tokens: Tensor) -> str:
        """The text of numbers (T,)."""
        return "".join(self.letters[i] for i in tokens.tolist())


def char_transformer(
    *,
    file: str | None = None,
    characters: int = 200_000,
    context: int = 256,
    width: int = 384,
    layers: int = 6,
    heads: int = 6,
    dropout: float = 0.0,
    test_fraction: float = 0.1,
    corpus_seed: int = 0,
    data_dir: str | Path | None = None,
) -> Problem:
    """A decoder of 6 layers, 6 heads and width 384 that predicts the next character; mean cross-entropy over tokens.

    Parameters
    ----------
    file : str, optional
        Name of a text file in ``data_dir``. Left out, a conversation between a small child and a grown-up is made up.
    characters : int
        Of the text, from its start; fewer where the file has fewer.
    context : int
        Characters the model sees. The text is cut into pieces of this length, the last ``test_fraction`` of them for
        testing.
    """
    for name, value in (("context", context), ("width", width), ("layers", layers), ("heads", heads)):
        check_count(name, value)
    check_count("characters", characters)
    check_seed(corpus_seed, name="corpus_seed")
    check_share("test_fraction", test_fraction)
    if width % heads:
        raise UsageError(f"width={width} must be a multiple of heads={heads}")
    if check_not_negative("dropout", dropout) >= 1:
        raise UsageError(f"dropout={dropout!r} must be below 1: it is a share")
    text, alphabet = load_text(file, characters, corpus_seed, None if data_dir is None else Path(data_dir))
    train, test = _sequences(alphabet.encode(text), context, test_fraction)
    vocabulary = len(alphabet.letters)
    return Problem(
        build=partial(
            CharTransformer,
            vocabulary=vocabulary, context=context, width=width, layers=layers, heads=heads, dropout=dropout,
        ),
        loss_fn=functional.cross_entropy,
        loss_name="cross_entropy per character",
        train=train,
        test=test,
        num_classes=vocabulary,
        at_once=AT_ONCE,
        recipe=Recipe("adamw", batch_size=16, epochs=5, learning_rates={"adamw": 3e-4, "adam": 3e-4, "sgd": 0.1}),
    )  # fmt: skip


def char_transformer_small(
    *, file: str | None = None, characters: int = 50_000, context: int = 64, width: int = 64, layers: int = 2,
    heads: int = 4, dropout: float = 0.0, test_fraction: float = 0.1, corpus_seed: int = 0,
    data_dir: str | Path | None = None,
) -> Problem:  # fmt: skip
    """The same in small: 2 layers of 4 heads, width 64, a context of 64; 106,000 parameters, trained in a minute."""
    problem = char_transformer(
        file=file, characters=characters, context=context, width=width, layers=layers, heads=heads, dropout=dropout,
        test_fraction=test_fraction, corpus_seed=corpus_seed, data_dir=data_dir,
    )  # fmt: skip
    recipe = Recipe("adamw", batch_size=16, epochs=10, learning_rates={"adamw": 2e-3, "adam": 2e-3, "sgd": 0.3})
    return problem.with_recipe(recipe)


def load_text(file: str | None, characters: int, corpus_seed: int, data_dir: Path | None) -> tuple[str, Alphabet]:
    """The text and its alphabet: of the generated corpus a fixed one, of a file the characters it has."""
    if file is None:
        return corpus(characters, seed=corpus_seed), Alphabet(ALPHABET)
    if data_dir is None:
        raise UsageError(f"file={file!r} needs the folder it lies in: --data DIR (data_dir=)")
    name = PurePath(file)
    if name.is_absolute() or name.drive or ".." in name.parts:
        raise UsageError(f"file={file!r} must be the name of a file within the folder {data_dir}")
    try:
        if not (data_dir / file).is_file():
            raise FileNotFoundError("there is no such file")
        text = (data_dir / file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {data_dir / file} as text in UTF-8: {error}") from error
    # The alphabet is that of the whole file, so that it does not change with ``characters``.
    return text[:characters], Alphabet("".join(sorted(set(text))))


def _sequences(tokens: Tensor, context: int, test_fraction: float) -> tuple[Examples, Examples]:
    """``((N, T), (N, T))``: pieces of the text, and the characters that follow each of theirs."""
    count = (len(tokens) - 1) // context
    if count < 2:
        raise UsageError(f"{len(tokens)} characters are too few for a context of {context}; two pieces are the least")
    inputs, targets = (
        tokens[: count * context].view(count, context),
        tokens[1 : count * context + 1].view(count, context),
    )
    held_out = min(count - 1, max(1, round(test_fraction * count)))
    return (inputs[:-held_out], targets[:-held_out]), (inputs[-held_out:], targets[-held_out:])
