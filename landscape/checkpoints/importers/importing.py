"""Checkpoints of other libraries, files and folders of them, into runs of ours."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landscape.checkpoints.importers.convert import Asked, Converted, convert
from landscape.checkpoints.importers.discovery import Source, find_sources, is_one_step
from landscape.checkpoints.importers.foreign import NotACheckpoint
from landscape.checkpoints.importers.optimizer_states import check_convention
from landscape.checkpoints.runs import Skipped
from landscape.checks import check_count
from landscape.errors import CheckpointError, UsageError
from landscape.problems import Problem, load_problem

#: ``say(line)``: gets what a person should know, line by line.
Say = Callable[[str], None]


@dataclass
class Imported:
    """What became of the checkpoints that were to be imported.

    Attributes
    ----------
    written : list of Path
        Files of ours, by run and step.
    skipped : list of Skipped
        What could not be used, and why.
    passed : list of Skipped
        Files that are no checkpoints, such as data.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    passed: list[Skipped] = field(default_factory=list)


def import_checkpoint(
    src: str | Path | Sequence[str | Path],
    into: str | Path,
    *,
    problem: Problem | str | None = None,
    step: int | None = None,
    problem_config: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    optimizer: str | None = None,
    key: str | None = None,
    prefix: str | None = None,
    rename: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    order: str | None = None,
    allow: Sequence[str] = (),
    data_dir: str | Path | None = None,
    say: Say | None = None,
) -> list[Path]:
    """Convert checkpoints of other libraries, so that everything here reads them: docs/importing.md.

    Tensors go by name and shape into ``problem.make_model(…)``, exactly, and are then written by
    :func:`save_checkpoint`: parameters, hashes and all that is measured are those of a checkpoint of our own. Files are
    read by ``torch.load(weights_only=True)`` or safetensors; nothing that they name is run.

    Parameters
    ----------
    src : path, or sequence of paths
        Files (``.pt .pth .ckpt .safetensors .bin .t7``), Hugging Face folders, or folders of these. Runs in a folder
        keep their names; several folders become folders in ``into``.
    into : path
        A folder for ``step_*.h5``, or for the runs.
    problem : Problem or str
        Whose model it is: a registered name, or ``pkg.mod:factory``, looked for beside the files, too.
    step : int, optional
        Where a single checkpoint does not say it, or two places in it differ.
    problem_config, data_dir : optional
        Settings of the problem, and where its data lie.
    config : mapping, optional
        How the model was trained, as for :func:`save_checkpoint`: ``lr``, ``seed``, ``label``, ….
    optimizer : str, optional
        Class of the optimizer, where what its state holds does not tell.
    key : str, optional
        Where in a dictionary the model's tensors stand, such as ``"ema"``.
    prefix, rename, ignore : optional
        With what the names begin that are meant; parts of names and what the model has there; globs of names that have
        no place in the model. Where these are needed the error says so.
    order : {"model", "dimensions", "trainer", "sorted"}, optional
        In which order the optimizer was given its parameters, where shapes do not tell.
    allow : sequence of str
        Full names of classes in the file that you know and trust.
    say : callable, optional
        Gets what was found and decided, line by line; all of it is also in ``config["imported"]`` of each file.

    Returns
    -------
    list of Path
        The files, by run and step. Files of a folder that cannot be used are warned of.

    Raises
    ------
    CheckpointError
        If a file cannot be read, does not fit the model or contradicts itself; nothing is written for it.
    UsageError
        If no problem is named, or ``step`` is given for several checkpoints.
    """
    asked = Asked(
        None if step is None else check_count("step", step, least=0), optimizer, dict(config or {}), key, prefix,
        dict(rename or {}), tuple(ignore), order, tuple(allow),
    )  # fmt: skip
    check_convention(order)
    sources = [Path(src)] if isinstance(src, (str, Path)) else [Path(path) for path in src]
    found = _all_sources(sources)
    if problem is None:
        raise UsageError(_no_problem(sources, found, Path(into)))
    if isinstance(problem, str):
        problem = load_problem(problem, problem_config, data_dir=data_dir, beside=found[0].path if found else None)
    done = import_sources(found, Path(into), problem, asked, say=say)
    unusable = [*done.skipped, *done.passed]
    if unusable and (not done.written or all(path.is_file() for path in sources)):
        raise CheckpointError(unusable[0].reason)
    for bad in done.skipped:
        if say is None:
            warnings.warn(f"not imported: {bad.reason}", UserWarning, stacklevel=2)
        else:
            say(f"not imported: {bad.reason}")
    return done.written


def import_sources(
    sources: Sequence[Source], into: Path, problem: Problem, asked: Asked, *, say: Say | None = None
) -> Imported:
    """Convert each; one that cannot be used is listed, and does not stop the others.

    Raises
    ------
    UsageError
        If a step is given for several, or an argument fits no file.
    """
    if asked.step is not None and len(sources) > 1:
        raise UsageError(f"step={asked.step} is that of one checkpoint, and there are {len(sources)}; import it alone")
    tell, done = say or (lambda line: None), Imported()
    for source in sources:
        try:
            converted = convert(source.path, into / source.run, problem, asked, label=source.path.as_posix())
        except NotACheckpoint as error:
            done.passed.append(Skipped(source.path, str(error)))
            tell(f"passed over: {error}")
            continue
        except CheckpointError as error:
            done.skipped.append(Skipped(source.path, str(error)))
            continue
        tell(summary(source, converted))
        if converted.path not in done.written:
            done.written.append(converted.path)
    done.written.sort()
    return done


def summary(source: Source, converted: Converted) -> str:
    """One line of what became of a checkpoint, and what is to be known of it."""
    what = f"{source.path} → {converted.path}"
    return f"{what}: {'; '.join(converted.said)}" if converted.said else what


def _all_sources(paths: Sequence[Path]) -> list[Source]:
    """Of several folders each is a run, or a folder of runs, of its own name."""
    folders = [path for path in paths if path.is_dir()]
    found: list[Source] = []
    for path in paths:
        below = find_sources(path)
        if not below:
            raise CheckpointError(f"{path} holds no file of a known format (.pt .pth .ckpt .safetensors .bin .t7)")
        if path in folders and len(paths) > 1 and not is_one_step(path):
            name = path.resolve().name
            below = [Source(s.path, name if s.run == "." else f"{name}/{s.run}") for s in below]
        found += below
    return found


def _no_problem(paths: Sequence[Path], found: Sequence[Source], into: Path) -> str:
    command = shlex.join(["landscape", "import", *map(str, paths), str(into), "--problem", "pkg.mod:factory"])
    files = f"{found[0].path}" if len(found) == 1 else f"{len(found)} checkpoints of other libraries"
    return f"{files}: say whose model it is, a registered problem or your own: {command}"
