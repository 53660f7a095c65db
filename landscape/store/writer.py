"""The one writer of results: a record is on disk when ``write`` returns, whatever happens next."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from landscape.errors import ResultsError, UsageError
from landscape.files import Group, Held, WriterLock, remove_leftovers
from landscape.results import Record
from landscape.store import files
from landscape.store.files import DamagedResults
from landscape.store.records import PROVENANCE, dump, read_entry, read_json, write_entry

T = TypeVar("T")


class ResultStore:
    """Results of one folder, for writing; a context manager.

    HDF5 files do not survive a kill while they are changed, so none is: each write lands as a small file of its own in
    a journal folder beside ``results.h5``, and :meth:`consolidate` merges the journal into a new ``results.h5``.
    Reading looks at both, the journal first.

    Parameters
    ----------
    path : str or Path
        ``CKPT_DIR/results.h5``, or ``CKPT_DIR``. The file need not exist.
    lock : bool
        False joins a store that the parent process holds: records of distinct names may then be written side by side.

    Attributes
    ----------
    after_a_crash : bool
        Whether the last writer here died before it could close.

    Raises
    ------
    ResultsError
        If another process writes here, the folder cannot be written, or ``results.h5`` is damaged, foreign or of a
        newer version.

    Examples
    --------
    >>> import tempfile, landscape.results as results
    >>> folder = tempfile.TemporaryDirectory()
    >>> with ResultStore(folder.name) as store:
    ...     store.write("adam-s0", 100, "trace", results.Estimate(3.64, sem=0.23), {"key": {"num_probes": 32}})
    ...     print(store.find("adam-s0", 100, "trace", {"num_probes": 32}))
    ...     print(store.find("adam-s0", 100, "trace", {"num_probes": 64}))
    3.64 ± 0.23
    None
    >>> folder.cleanup()
    """

    def __init__(self, path: str | Path, *, lock: bool = True) -> None:
        self.path = files.results_path(path)
        self._journal = files.journal_path(self.path)
        self._closed = False
        self._lock = None
        self.after_a_crash = False
        if not lock:
            return
        # A writer that closes removes its lock.
        self.after_a_crash = self.path.with_name(self.path.name + ".lock").exists()
        self._lock = WriterLock(self.path.with_name(self.path.name + ".lock"))
        try:
            self._lock.acquire()
        except Held as error:
            raise ResultsError(
                f"process {error.holder} is writing results in {self.path.parent}; wait until it has ended, or end it"
            ) from None
        except OSError as error:
            raise files.unwritable(self._lock.path, error) from error
        try:
            with contextlib.suppress(FileNotFoundError), files.reading(self.path):
                pass
            self._remove_temporaries()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> ResultStore:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process write. What was written stays readable, consolidated or not."""
        self._closed = True
        if self._lock is not None:
            self._lock.release()

    def describe(self, info: Mapping[str, Any]) -> None:
        """Store what holds for all results: plan, versions, skipped files, command."""
        self._write_part("info", dict(info))

    def describe_run(self, run: str, info: Mapping[str, Any]) -> None:
        """Store what holds for a run: optimizer, seed, training config, objective."""
        self._write_part(files.run_entry(run), dict(info))

    def describe_checkpoint(self, run: str, step: int, info: Mapping[str, Any]) -> None:
        """Store the metrics of a checkpoint."""
        self._write_part(files.checkpoint_entry(run, _checked_step(step)), dict(info))

    def write(self, run: str, step: int, name: str, record: Record, provenance: Mapping[str, Any]) -> None:
        """Store a record of a checkpoint; when this returns, a kill or a power cut no longer loses it.

        Parameters
        ----------
        name : str
            What was measured, such as ``"eigenpairs"``. A record of that name is replaced.
        provenance : dict
            How it was measured. ``provenance["key"]`` is what :meth:`find` compares.

        Raises
        ------
        ResultsError
            If the disk is full or the folder read-only.
        UsageError
            If the record holds what the format has no place for.
        """
        self._write_part(files.record_entry(run, _checked_step(step), name), (record, dict(provenance)))

    def unfinished(self, run: str, step: int, name: str) -> Path | None:
        """A folder for what a record will be made of, which need not exist; it is gone when the record is written."""
        return files.unfinished_path(self.path, files.record_entry(run, _checked_step(step), name))

    def unfinished_pair(self, run_a: str, run_b: str) -> Path | None:
        """The same for the record of two runs."""
        return files.unfinished_path(self.path, files.pair_entry(run_a, run_b))

    def write_pair(self, run_a: str, run_b: str, record: Record, provenance: Mapping[str, Any]) -> None:
        """Store a record of two runs, such as the line between their minima."""
        self._write_part(files.pair_entry(run_a, run_b), (record, dict(provenance)))

    def find(
        self,
        run: str,
        step: int,
        name: str,
        key: Mapping[str, Any],
        *,
        serves: Callable[[Mapping[str, Any], Record], bool] | None = None,
    ) -> Record | None:
        """The stored record, if it was measured with exactly this key; else None: measure it.

        Parameters
        ----------
        serves : callable, optional
            ``serves(key of the stored record, record)``: whether it answers all the same, such as one that was measured
            more accurately.

        Raises
        ------
        ResultsError
            If ``results.h5`` is damaged. A damaged file of the journal is passed over.
        """
        return self._find(files.record_entry(run, _checked_step(step), name), key, serves)

    def provenance(self, run: str, step: int, name: str) -> dict[str, Any] | None:
        """How the stored record was measured, whatever its key; None where there is none."""
        entry = files.record_entry(run, _checked_step(step), name)
        return self._first(entry, lambda file: read_json(file.group(entry), PROVENANCE) if entry in file else None)

    def find_pair(self, run_a: str, run_b: str, key: Mapping[str, Any]) -> Record | None:
        """As :meth:`find`, for the record of two runs."""
        return self._find(files.pair_entry(run_a, run_b), key)

    def description(self, run: str) -> dict[str, Any]:
        """What :meth:`describe_run` stored; empty where that is nothing."""
        entry = files.run_entry(run)
        return self._first(entry, lambda file: read_entry(file, entry) if entry in file else None) or {}

    def steps(self) -> dict[str, list[int]]:
        """The runs that anything is stored of, and their steps."""
        self._check_open()
        found: dict[str, set[int]] = {}
        for entry in {**self._old_entries(), **_intact_entries(files.journal_parts(self.path))}:
            kind, *links = entry.split("/")
            if kind == "runs":
                steps = found.setdefault(files.segment_name(links[0]), set())
                steps.update(map(int, links[2:3]))
        return {run: sorted(steps) for run, steps in found.items()}

    def consolidate(self) -> Path:
        """Merge the journal into ``results.h5`` and remove it; a kill at any moment leaves both readable.

        A newer record takes the place of an older one of the same name, run and step, and nothing else is left out:
        what is of no use today, because its checkpoint is gone or outside the plan, may be asked for tomorrow.

        Returns
        -------
        Path
            ``results.h5``.

        Raises
        ------
        ResultsError
            If the disk is full, or ``results.h5`` is damaged; the journal then stays.
        """
        self._check_open()
        parts = files.journal_parts(self.path)
        sources = {**self._old_entries(), **_intact_entries(parts)}
        with files.writing(self.path) as target:
            with contextlib.suppress(FileNotFoundError), files.reading(self.path, trusted=True) as old:
                target.attrs["created"] = str(old.attrs["created"])
            for entry, path in sources.items():
                # Read whole, then written: an error says which of the two files it is about.
                with files.reading(path, trusted=True) as source:
                    value = read_entry(source, entry)
                write_entry(target, entry, value)
        for part in parts:
            with contextlib.suppress(OSError):  # its entry stands in both, and is the same
                part.unlink(missing_ok=True)
        self._remove_temporaries()
        with contextlib.suppress(OSError):
            self._journal.rmdir()
        return self.path

    def export(self, runs: Sequence[str]) -> bytes:
        """What is stored of one run, or of a pair, as the bytes of a results file for a store elsewhere."""
        self._check_open()
        sources = {**self._old_entries(), **_intact_entries(files.journal_parts(self.path))}
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / files.FILE_NAME
            with files.writing(made) as target:
                for entry in (entry for entry in sources if files.runs_of(entry) == {*runs}):
                    with files.reading(sources[entry], trusted=True) as source:
                        write_entry(target, entry, read_entry(source, entry))
            return made.read_bytes()

    def written(self) -> list[bytes]:
        """What was written since ``results.h5`` was, as bytes that :meth:`adopt` takes, each an entry."""
        return [part.read_bytes() for part in files.journal_parts(self.path)]

    def adopt(self, part: bytes, *, runs: Sequence[str]) -> None:
        """Store what a store elsewhere has written of one run, or of a pair.

        Raises
        ------
        DamagedResults
            If it is not what was written there, or of other runs.
        ResultsError
            If it cannot be stored here.
        """
        with tempfile.TemporaryDirectory() as folder:
            received = Path(folder) / files.FILE_NAME
            received.write_bytes(part)
            with files.reading(received) as file:
                (entry,) = files.entries(file)
                value = read_entry(file, entry)
        if files.runs_of(entry) != {*runs}:
            raise DamagedResults(f"{entry} came where records of {', '.join(runs)} were asked for; it is not stored")
        self._write_part(entry, value)

    def _old_entries(self) -> dict[str, Path]:
        with contextlib.suppress(FileNotFoundError), files.reading(self.path, trusted=True) as old:
            return dict.fromkeys(files.entries(old), self.path)
        return {}

    def _write_part(self, entry: str, value: Any) -> None:
        self._check_open()
        try:
            if self._journal.is_symlink():
                raise NotADirectoryError(f"it is a link, which is not followed: {self._journal}")
            self._journal.mkdir(exist_ok=True)
        except OSError as error:
            raise files.unwritable(self._journal, error) from error
        with files.writing(self._part_path(entry)) as file:
            write_entry(file, entry, value)
        if (unfinished := files.unfinished_path(self.path, entry)) is not None:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _part_path(self, entry: str) -> Path:
        return self._journal / f"{files.entry_digest(entry)}.h5"

    def _find(
        self,
        entry: str,
        key: Mapping[str, Any],
        serves: Callable[[Mapping[str, Any], Record], bool] | None = None,
    ) -> Record | None:
        return self._first(entry, lambda file: _record_with_key(file, entry, key, serves))

    def _first(self, entry: str, read: Callable[[Group], T | None]) -> T | None:
        """What the entry's own file of the journal says, else ``results.h5``."""
        self._check_open()
        with contextlib.suppress(FileNotFoundError, DamagedResults), files.reading(self._part_path(entry)) as file:
            return read(file)
        # Checked when the store was opened, and no one else writes.
        with contextlib.suppress(FileNotFoundError), files.reading(self.path, trusted=True) as file:
            return read(file)
        return None

    def _remove_temporaries(self) -> None:
        """Clear away what a killed writer left half-written."""
        with contextlib.suppress(OSError):
            files.temporary_path(self.path).unlink(missing_ok=True)
        if not self._journal.is_symlink():
            remove_leftovers(self._journal, "*.tmp")

    def _check_open(self) -> None:
        if self._closed:
            raise ResultsError(
                f"the store of {self.path} is closed; open it again with ResultStore({str(self.path)!r})"
            )


def _record_with_key(
    file: Group, entry: str, key: Mapping[str, Any], serves: Callable[[Mapping[str, Any], Record], bool] | None
) -> Record | None:
    if entry not in file:
        return None
    provenance = read_json(file.group(entry), PROVENANCE)
    if "key" not in provenance:
        return None
    same, other = dump(provenance["key"]) == dump(key), provenance["key"]
    if not same and (serves is None or not isinstance(other, dict)):
        return None
    record: Record = read_entry(file, entry)[0]
    return record if same or (serves is not None and serves(other, record)) else None


def _intact_entries(parts: list[Path]) -> dict[str, Path]:
    """Address and file of each part of a journal whose checksum holds."""
    intact = {}
    for part in parts:
        with contextlib.suppress(DamagedResults), files.reading(part) as file:
            (entry,) = files.entries(file)
            intact[entry] = part
    return intact


def _checked_step(step: int) -> int:
    if isinstance(step, bool) or int(step) != step or step < 0:
        raise UsageError(f"step={step!r} must be a whole number of at least 0")
    return int(step)
