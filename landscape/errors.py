"""The errors landscape raises. Each message says what was wrong with which value, what was expected, and what to do."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class LandscapeError(Exception):
    """Base of every error of this package."""


class UsageError(LandscapeError, ValueError):
    """An argument is outside what the function accepts."""


class ObjectiveError(LandscapeError):
    """Model, loss and data do not form a well-posed objective."""


class CheckpointError(LandscapeError):
    """A checkpoint file or folder cannot be used."""


class ResultsError(LandscapeError):
    """A results file cannot be used."""


class ForeignError(LandscapeError):
    """Code that is not ours, such as a model, a loss or a problem, raised something else; ``__cause__`` is that."""


class ModelError(ObjectiveError, ForeignError, RuntimeError):
    """The caller's model or loss raised an error of its own when it was called; that error is the cause."""

    @classmethod
    def of(cls, error: Exception) -> ModelError:
        """What was raised, in one line, and where in the caller's code."""
        said = in_one_line(error)
        hint = ""
        if any(words in said for words in ("same dtype", "should be the same", "scalar type", "same device")):
            hint = ". Tensors that a model or loss brings along must follow those it is given: constant.to(output)"
        return cls(f"the model or loss raised {said}{hint}")


class NotConverged(LandscapeError):
    """An iteration ended before its residuals were small enough.

    Attributes
    ----------
    partial : Record
        What was computed until then, with the true residuals reached.
    """

    def __init__(self, message: str, partial: Any) -> None:
        super().__init__(message)
        self.partial = partial

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors come from other processes, and one that cannot be put together again would break the whole pool.
        return type(self), (str(self), self.partial)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch found no memory; on a CPU it raises a plain RuntimeError, known by its text alone."""
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return type(error) is RuntimeError and "can't allocate memory" in str(error)


# --- what code of others raises ---------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """A line of code that was being run."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        try:
            shown = os.path.relpath(self.file)
        except (OSError, ValueError):  # the current folder is gone, or on another drive
            shown = self.file
        return f"{self.file if shown.startswith('..') else shown}:{self.line}, in {self.function}"


@contextmanager
def foreign_errors(doing: str = "") -> Iterator[None]:
    """Whatever the code in this block raises is a :class:`LandscapeError` when it leaves.

    For work that nobody watches, such as the measuring of a folder: one model that raises must not stop the others.
    A person who calls the library gets the errors of their own code as they are.
    """
    try:
        yield
    except BaseException as error:
        ours = as_ours(error, doing)
        if ours is error:
            raise
        raise ours from error


def as_ours(error: BaseException, doing: str = "") -> LandscapeError:
    """The error itself if it is ours, else a :class:`ForeignError` of it; an interrupt is raised again."""
    if isinstance(error, LandscapeError):
        return error
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        raise error
    ours = ForeignError(f"{doing}: {in_one_line(error)}" if doing else in_one_line(error))
    ours.__cause__ = error
    return ours


def in_one_line(error: BaseException, *, most: int = 300) -> str:
    """Type and message of an error, and the line that it comes from.

    >>> def model(): return 1 / 0
    >>> try: model()
    ... except ZeroDivisionError as error: print(in_one_line(error))
    ZeroDivisionError: division by zero (<doctest ...>:1, in model)
    """
    try:
        text = " ".join(str(error).split())
    except Exception as second:  # a message that cannot be made is no reason to stop
        text = f"its message cannot be made: {type(second).__name__}"
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    said = said if len(said) <= most else said[: most - 1] + "…"
    place = _place(error)
    return f"{said} ({place})" if place else said


def _place(error: BaseException) -> Frame | None:
    """Where the error arose, or where that did from which it came, if that is nearer to the user's own code."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    places = [users_frame(_frames(link)) for link in chain]
    return next((place for place in places if place is not None and _is_own(place.file)), places[0])


def _frames(error: BaseException) -> list[Frame]:
    if isinstance(error, SyntaxError) and error.filename:
        return [Frame(error.filename, error.lineno or 0, "its text")]
    walked = traceback.walk_tb(error.__traceback__)
    return [Frame(frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in walked]


def users_frame(frames: Iterable[Frame]) -> Frame | None:
    """Of frames from the outermost to the innermost, the innermost that is the user's own, as far as can be seen.

    That is: neither ours, nor Python's, nor of an installed package; where there is none, of a package but torch.
    """
    found = list(frames)
    for is_theirs in (_is_own, _is_of_a_package, lambda file: True):
        place = next((frame for frame in reversed(found) if is_theirs(frame.file)), None)
        if place is not None:
            return place
    return None


def traceback_text(error: BaseException, *, most: int = 60) -> str:
    """The traceback of an error and of its causes; of a long one its last lines."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(lines[-most:])


_OURS = f"{Path(__file__).parent}{os.sep}"
_PYTHON = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib"))
_PACKAGES = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("purelib", "platlib"))


def _is_own(file: str) -> bool:
    return not file.startswith(("<frozen", "<eval_with_key", _OURS, *_PYTHON, *_PACKAGES))


def _is_of_a_package(file: str) -> bool:
    return file.startswith(_PACKAGES) and not file.startswith(tuple(f"{folder}torch{os.sep}" for folder in _PACKAGES))
