"""Options by name: defaults written out, unknown ones refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from landscape.checks import check_choice
from landscape.errors import UsageError


@dataclass(frozen=True)
class OneOf:
    """An option that is one of a few words; the first is the default."""

    words: tuple[str, ...]


def with_defaults(owner: str, defaults: Mapping[str, Any], options: Mapping[str, Any] | None) -> dict[str, Any]:
    """All options of ``owner``, those left out as ``defaults`` has them.

    Raises
    ------
    UsageError
        If an option is unknown, or of another type than its default.
    """
    options = dict(options or {})
    unknown = [key for key in options if key not in defaults]
    if unknown:
        raise UsageError(
            f"{owner} has no option {', '.join(map(repr, unknown))}; it has {', '.join(defaults) or 'none'}"
        )
    for key, value in options.items():
        default = defaults[key]
        if isinstance(default, OneOf):
            check_choice(f"{owner}: {key}", value, default.words)
            continue
        if isinstance(default, tuple):
            fits = isinstance(value, (tuple, list)) and len(value) == len(default) and all(map(is_number, value))
            options[key] = tuple(value) if fits else value
        elif isinstance(default, bool):
            fits = isinstance(value, bool)
        elif isinstance(default, int):
            fits = is_number(value) and value == int(value)
            options[key] = int(value) if fits else value
        else:
            fits = is_number(value)
        if not fits:
            raise UsageError(f"{owner}: {key}={value!r} does not fit; an example is {default!r}")
    plain = {key: value.words[0] if isinstance(value, OneOf) else value for key, value in defaults.items()}
    return {**plain, **options}


def is_number(value: Any) -> bool:
    """A number, of Python's or NumPy's, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)
