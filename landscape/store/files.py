"""Files of results: their names and layout, reading one with suspicion, writing one whole.

A file is never changed in place. It is written under a temporary name, synced, and renamed, so at any moment there is
a whole old file or a whole new one; and nothing in it is looked at before its seal was compared (``landscape.files``).
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from landscape.errors import ResultsError
from landscape.files import Damaged, Group, NewGroup, Proof, Unusable, is_sealed, seal
from landscape.files.atomic import NotAFile, opened
from landscape.files.format_one import converted

FORMAT = "landscape-results"
FORMAT_VERSION = 2
FILE_NAME = "results.h5"
# What reading, json and the record classes raise on a file that is whole but says something else than expected.
_DAMAGE = (
    LookupError,
    ArithmeticError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
)
_EMPTY_NAME = "%"
# Of the files whose seal this process has compared.
_PROOFS: dict[Path, Proof] = {}
_MOST_PROOFS = 10_000


class DamagedResults(ResultsError, Damaged):
    """A file of results that cannot be read as written."""


def is_results_file(path: str | Path) -> bool:
    """Whether this is a results file, or a folder that holds one; says nothing about its condition."""
    return is_sealed(results_path(path), FORMAT)


def results_path(path: str | Path) -> Path:
    """``results.h5`` itself, from its own path or from that of the folder that holds it."""
    path = Path(path)
    return path / FILE_NAME if path.is_dir() else path


def journal_path(path: Path) -> Path:
    """The folder of records that were written since ``results.h5`` was."""
    return path.with_name(path.name + ".parts")


def journal_parts(path: Path) -> list[Path]:
    """The finished files of the journal of ``results.h5``, which need not exist."""
    journal = journal_path(path)
    if journal.is_symlink():
        return []  # we make folders; what lies behind a link is not ours
    try:
        return sorted(p for p in journal.iterdir() if p.suffix == ".h5" and not p.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return []


def unfinished_path(path: Path, entry: str) -> Path | None:
    """A folder in the journal of ``results.h5`` for what is evaluated of an entry until it is written."""
    journal = journal_path(path)
    return None if journal.is_symlink() else journal / f"{entry_digest(entry)}.unfinished"


def entry_digest(entry: str) -> str:
    """One name per entry: a record written again replaces itself, and the journal needs no order."""
    return hashlib.sha256(entry.encode()).hexdigest()[:32]


def segment(name: str) -> str:
    """A name as one HDF5 link: ``/`` and lone dots mean something to HDF5, so they are percent-encoded."""
    quoted = quote(name, safe="", errors="surrogatepass")
    if not quoted.strip("."):
        quoted = quoted.replace(".", "%2E")
    return quoted or _EMPTY_NAME


def segment_name(link: str) -> str:
    """The inverse of :func:`segment`."""
    return "" if link == _EMPTY_NAME else unquote(link, errors="surrogatepass")


def run_entry(run: str) -> str:
    """Where the description of a run stands."""
    return f"runs/{segment(run)}/info"


def checkpoint_entry(run: str, step: int) -> str:
    """Where the metrics of a checkpoint stand."""
    return f"runs/{segment(run)}/steps/{step:08d}/info"


def record_entry(run: str, step: int, name: str) -> str:
    """Where a record of a checkpoint stands."""
    return f"runs/{segment(run)}/steps/{step:08d}/records/{segment(name)}"


def pair_entry(run_a: str, run_b: str) -> str:
    """Where the record of two runs stands."""
    return f"pairs/{segment(run_a)}/{segment(run_b)}"


def runs_of(entry: str) -> set[str]:
    """The runs that an entry is about: none, one, or two."""
    kind, *links = entry.split("/")
    return {segment_name(link) for link in links[: {"runs": 1, "pairs": 2}.get(kind, 0)]}


def entries(file: Group) -> Iterator[str]:
    """The addresses of all entries of a file, in the order of their names.

    Raises
    ------
    ValueError
        If a name is none that :func:`segment` makes, or a step is no number.
    """
    if "info" in file:
        yield "info"
    for run, group in _groups(file, "runs"):
        if "info" in group:
            yield f"runs/{run}/info"
        for step, checkpoint in _groups(group, "steps"):
            if not (step.isascii() and step.isdecimal() and len(step) < 19 and step == f"{int(step):08d}"):
                raise ValueError(f"{step!r} is no step")
            if "info" in checkpoint:
                yield f"runs/{run}/steps/{step}/info"
            for name, _ in _groups(checkpoint, "records"):
                yield f"runs/{run}/steps/{step}/records/{name}"
    for run_a, others in _groups(file, "pairs"):
        for run_b in others:
            yield f"pairs/{run_a}/{_checked_segment(run_b)}"


def _groups(above: Group, name: str) -> Iterator[tuple[str, Group]]:
    below = above.group(name) if name in above else ()
    for link in below:
        yield _checked_segment(link), below.group(link)  # type: ignore[union-attr]


def _checked_segment(link: str) -> str:
    if segment(segment_name(link)) != link:
        raise ValueError(f"{link!r} is not how a name is written")
    return link


@contextlib.contextmanager
def reading(path: Path, *, trusted: bool = False) -> Iterator[Group]:
    """Open a file of results; its seal is compared first.

    Parameters
    ----------
    trusted : bool
        This process holds the lock of the results: a file that it compared before, and that is the very same and
        unchanged by its file system's account, is not hashed again.

    Raises
    ------
    DamagedResults
        If it is cut short, foreign, or not what was written.
    ResultsError
        If a newer version wrote it, or it may not be read.
    FileNotFoundError
        If it is not there.
    """
    try:
        with opened(path) as raw:
            known = _PROOFS.get(path) if trusted else None
            found = seal.compared(raw, FORMAT, FORMAT_VERSION, known=known)
            if len(_PROOFS) >= _MOST_PROOFS:
                _PROOFS.clear()
            _PROOFS[path] = found.proof
            if found.version == 1:
                with converted(raw, FORMAT) as tree:
                    yield tree
            else:
                yield found.tree()
    except (FileNotFoundError, ResultsError):
        raise
    except NotADirectoryError as error:  # where a folder should be is something else, so the file is not there
        raise FileNotFoundError(*error.args) from error
    except PermissionError as error:
        raise ResultsError(f"{path} may not be read ({_first_line(error)}); allow it, or copy it elsewhere") from error
    except OSError as error:
        if isinstance(error, NotAFile):
            raise _damaged(path, _first_line(error)) from error
        if isinstance(error, NotADirectoryError):  # a file stands where its folder would be: it is not there
            raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
        said = error.strerror or _first_line(error)
        raise ResultsError(f"{path} cannot be read: {said}. What it holds is not touched") from error
    except Unusable as error:
        if error.kind != "newer":
            raise _damaged(path, _first_line(error)) from error
        raise ResultsError(
            f"{path}: {error}; upgrade landscape-curvature, or move the file away and run landscape analyze again"
        ) from error
    except _DAMAGE as error:
        raise _damaged(path, _first_line(error)) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[NewGroup]:
    """A new file that takes the place of ``path`` when the block ends, and leaves no trace if the block fails.

    Raises
    ------
    ResultsError
        If the disk is full, the folder is read-only or gone.
    """
    try:
        with seal.writing(path, temporary_path(path), f"{FORMAT} {FORMAT_VERSION}") as file:
            file.attrs["format"] = FORMAT
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["created"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            yield file
    except OSError as error:
        raise unwritable(path, error) from error


def temporary_path(path: Path) -> Path:
    """The name a file has while it is written. One writer at a time, so one name per file will do."""
    return path.with_name(path.name + ".tmp")


def unwritable(path: Path, error: Exception) -> ResultsError:
    """The error of a file that cannot be written, with the way out."""
    return ResultsError(
        f"cannot write {path} ({_first_line(error)}); free some space or make the folder writable, "
        "then run the same command again: it goes on from what is already stored"
    )


def _damaged(path: Path, detail: str) -> DamagedResults:
    return DamagedResults(
        f"{path} is damaged or not a file of landscape results ({detail}); move it away and run landscape analyze "
        "again: what it held is measured anew"
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
