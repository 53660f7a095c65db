"""A corpus for language models that needs no download: what a small child and a grown-up might say, from a grammar."""

from __future__ import annotations

import random

#: symbol → its expansions; a word in braces is expanded in turn. Earlier ones are likelier.
GRAMMAR: dict[str, tuple[str, ...]] = {
    "talk": ("{child}\n{adult}\n", "{child}\n{adult}\n{child}\n", "{adult}\n{child}\n"),
    "child": (
        "i want {thing}.", "{thing}! {thing}!", "where {thing} go?", "no {thing}.", "look, {a} {adjective} {toy}!",
        "i {verb} {toy}.", "my {toy}.", "{who} {verb} {food}.", "more {food}!", "that {a} {animal}?",
        "{sound}, {sound}!", "{who} gone.", "me do it.", "why?",
    ),
    "adult": (
        "yes, that is {a} {adjective} {animal}.", "what does the {animal} say?", "the {animal} says {sound}.",
        "do you want {food}?", "let us {verb} the {adjective} {toy}.", "where is the {toy}? there it is!",
        "{who} will {verb} {food} with you.", "look at the {animal} in the {place}.", "first {food}, then the {toy}.",
        "it is time to {bed}.", "put the {toy} in the {place}, please.", "did you see {who}?",
    ),
    "thing": ("{food}", "{toy}", "{food} now", "the {toy}"),
    "food": ("milk", "juice", "apple", "bread", "banana", "soup", "cookie", "water"),
    "toy": ("ball", "car", "book", "block", "doll", "train", "cup", "spoon"),
    "animal": ("dog", "cat", "duck", "cow", "bear", "bird", "fish", "sheep"),
    "sound": ("woof", "meow", "quack", "moo", "beep"),
    "adjective": ("big", "little", "red", "blue", "soft", "funny", "new"),
    "verb": ("see", "eat", "push", "throw", "find", "hold"),
    "who": ("mama", "dada", "nana", "baby"),
    "place": ("box", "garden", "kitchen", "bath"),
    "bed": ("sleep", "go to bed", "have a nap"),
    "a": ("a",),
}  # fmt: skip
#: The likelihood of an expansion falls by this factor from one to the next.
_FALL = 0.85
#: Every character the grammar can write, and then some: those of a text in English.
ALPHABET = "\n !,-.'?" + "abcdefghijklmnopqrstuvwxyz"


def corpus(length: int, *, seed: int = 0) -> str:
    """The first ``length`` characters of an endless conversation.

    Examples
    --------
    >>> corpus(40, seed=1) == corpus(80, seed=1)[:40]
    True
    """
    draw = random.Random(seed)
    pieces: list[str] = []
    written = 0
    while written < length:
        piece = _expanded("talk", draw)
        pieces.append(piece)
        written += len(piece)
    return "".join(pieces)[:length]


def _expanded(symbol: str, draw: random.Random) -> str:
    choices = GRAMMAR[symbol]
    text = draw.choices(choices, [_FALL**i for i in range(len(choices))])[0]
    while "{" in text:
        before, _, rest = text.partition("{")
        inner, _, after = rest.partition("}")
        text = before + _expanded(inner, draw) + after
    return text
