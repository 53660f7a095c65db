"""A folder of other libraries' checkpoints, analyzed as it is: converted once, beside them."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from landscape.checkpoints.files import TEMPORARY
from landscape.checkpoints.foreign_files import IMPORTED, counted
from landscape.checkpoints.importers.convert import Asked, content_hash, convert
from landscape.checkpoints.importers.discovery import Source, find_sources
from landscape.checkpoints.importers.foreign import NotACheckpoint
from landscape.checkpoints.importers.importing import Say
from landscape.checkpoints.reader import Checkpoint, load_checkpoint
from landscape.checkpoints.runs import Skipped, checkpoint_files, find_runs
from landscape.errors import CheckpointError, UsageError
from landscape.files import replacing
from landscape.problems import Problem, load_problem

#: Names files that gave no checkpoint of their own, so that they are not read each time.
_WITHOUT = "without.json"


def import_in_place(
    root: Path,
    problem: Problem | str | None = None,
    *,
    problem_config: Mapping[str, Any] | None = None,
    data_dir: str | Path | None = None,
    say: Say | None = None,
) -> list[Skipped]:
    """Convert the checkpoints of other libraries in a folder without ``step_*.h5`` into ``root/imported``.

    Runs keep their names there. A file that was converted before is recognised by its content, and one that is gone
    takes what was made of it along. Of a folder with checkpoints of our own, or with neither, nothing is touched.

    Returns
    -------
    list of Skipped
        Files that could not be converted, and why.

    Raises
    ------
    UsageError
        If something is to be converted and no problem is named; the line says what was found and what to type.
    CheckpointError
        If nothing can be converted.
    """
    home = root / IMPORTED
    if not root.is_dir() or _has_own_runs(root, home):
        return []
    sources = {_label(source, root): source for source in find_sources(root)}
    if not sources and not home.is_dir():
        return []
    if isinstance(problem, str):
        problem = load_problem(problem, problem_config, data_dir=data_dir, beside=root / "any")
    place = _Place(home, problem)
    fresh = {label: source for label, source in sources.items() if not place.holds(label, source)}
    if fresh and problem is None:
        raise UsageError(_no_problem(root, list(sources.values())))
    for label in place.made.keys() - sources.keys():
        place.remove(label)
    skipped = place.convert(fresh, say or (lambda line: None))
    if sources and not any(True for _ in _imported(home)):
        first = f" First reason: {skipped[0].reason}" if skipped else " No file has the tensors of a model"
        raise CheckpointError(f"nothing in {root} could be imported.{first}")
    if say is not None and sources:
        notes = f". {_distinct(place.notes)}" if place.notes else ""
        numbers = {
            "converted now": len(fresh) - len(skipped),
            "as converted before": len(sources) - len(fresh),
            "that cannot be used": len(skipped),
        }
        told = ", ".join(f"{number} {what}" for what, number in numbers.items() if number)
        say(f"{_counted(list(sources.values()))}, read from {home}: {told}{notes}")
    return skipped


class _Place:
    """The folder of what was converted, and what of it still holds."""

    def __init__(self, home: Path, problem: Problem | None) -> None:
        self.home, self.problem = home, problem
        self.made = {found["source"]: checkpoint for checkpoint, found in _imported(home)}
        #: Files that gave no checkpoint of their own: their hash, and the file with the same parameters, if any.
        self.without: dict[str, dict[str, str]] = _read_json(home / _WITHOUT)
        #: What was found and decided in those converted now.
        self.notes: list[str] = []

    def holds(self, label: str, source: Source) -> bool:
        """Whether what is there was made of this very content for this very problem."""
        checkpoint, without = self.made.get(label), self.without.get(label)
        if checkpoint is None and without is None:
            return False
        try:
            digest = content_hash(source.path)
        except CheckpointError:
            return False  # converting it says why
        if checkpoint is None:
            same = (without or {}).get("same")
            return (without or {}).get("sha256") == digest and (same is None or (self.home / same).is_file())
        if checkpoint.config["imported"].get("sha256") != digest:
            return False
        asked = self.problem
        return asked is None or (checkpoint.problem, checkpoint.problem_config) == (asked.name, asked.config)

    def convert(self, sources: dict[str, Source], say: Say) -> list[Skipped]:
        """Convert what is new; what cannot be is listed."""
        skipped = []
        for label, source in sources.items():
            assert self.problem is not None
            old = self.made.get(label)
            try:
                made = convert(source.path, self.home / source.run, self.problem, Asked(), label=label)
            except CheckpointError as error:
                self.remove(label)
                if isinstance(error, NotACheckpoint):
                    self.without[label] = {"sha256": content_hash(source.path)}
                    say(f"passed over: {error}")
                else:
                    skipped.append(Skipped(source.path, str(error)))
                continue
            if old is not None and old.path != made.path:
                old.path.unlink(missing_ok=True)
            if not made.is_new:
                same = made.path.relative_to(self.home).as_posix()
                self.without[label] = {"sha256": content_hash(source.path), "same": same}
            self.notes += made.said
        if self.without:
            self.home.mkdir(parents=True, exist_ok=True)
            with replacing(self.home / _WITHOUT, self.home / f".{_WITHOUT}.{os.getpid()}{TEMPORARY}") as stream:
                stream.write(json.dumps(self.without, indent=1).encode())
        return skipped

    def remove(self, label: str) -> None:
        """Take away what was made of a file."""
        if label in self.made:
            self.made[label].path.unlink(missing_ok=True)


def _has_own_runs(root: Path, home: Path) -> bool:
    """Whether there are runs of ours that were not converted here."""
    try:
        runs = find_runs(root, unreadable=[])
    except CheckpointError:
        return False
    return any(run != home and home not in run.parents for run in runs)


def _imported(home: Path) -> Iterator[tuple[Checkpoint, dict[str, Any]]]:
    """What was converted into the folder, with where it is from. A damaged file is made again."""
    for folder, _, _ in os.walk(home):
        for file in checkpoint_files(folder).values():
            try:
                checkpoint = load_checkpoint(file)
            except CheckpointError:
                continue
            found = checkpoint.config.get("imported")
            if isinstance(found, dict) and isinstance(found.get("source"), str):
                yield checkpoint, found


def _distinct(notes: list[str]) -> str:
    """Each note once, whatever its numbers; how it was with a single file is in that file of ours."""
    first: dict[str, str] = {}
    for note in notes:
        first.setdefault(re.sub(r"\d+|step_\S+|/\S+", "", note), note)
    return "; ".join(first.values())


def _read_json(path: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, dict)} if isinstance(found, dict) else {}


def _label(source: Source, root: Path) -> str:
    return source.path.relative_to(root).as_posix()


def _counted(sources: list[Source]) -> str:
    folders = sum(source.path.is_dir() for source in sources)
    files = counted(source.path.name for source in sources if source.path.is_file())
    return " and ".join(filter(None, [files, f"{folders} Hugging Face folders" if folders else ""]))


def _no_problem(root: Path, sources: list[Source]) -> str:
    command = f"landscape analyze {shlex.quote(str(root))} --problem pkg.mod:factory"
    return (
        f"{root} holds checkpoints of other libraries ({_counted(sources)}); say whose model it is, and they are "
        f"converted and measured: {command}"
    )
