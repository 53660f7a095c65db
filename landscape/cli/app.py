"""The command line: parse, call, print. Exit status 0, 1 (measured, but not all of it) or 2 (could not start).

What the commands share is here; each command is in the file that it is named for.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from landscape.errors import LandscapeError, UsageError, in_one_line
from landscape.escaping.terminal import accept_all_characters, console, json_text, one_line

if TYPE_CHECKING:
    from landscape.store import Results

#: With this variable set in the environment, an error prints its traceback too.
TRACEBACK = "LANDSCAPE_TRACEBACK"

app = typer.Typer(
    name="landscape",
    help="What kind of minimum did my optimizer find? Curvature and loss landscapes of checkpoints.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Folder = Annotated[Path, typer.Argument(metavar="CKPT_DIR", help="One run (step_*.h5) or a folder of runs.")]
Problem = Annotated[
    str | None,
    typer.Option(
        help="pkg.mod:factory or file.py:factory, where a checkpoint names no known one; also looked for beside the "
        "checkpoints."
    ),
]
ProblemConfig = Annotated[
    str | None, typer.Option(metavar="JSON", help="Settings of the problem, e.g. '{\"width\": 64}', for its factory.")
]
DataDir = Annotated[str | None, typer.Option(metavar="DIR", help="Folder of the problem's data files.")]
Executor = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Who does the work: local, dask:ADDRESS or slurm:partition=…,time=…; this machine if left out. See "
        "docs/scaling.md.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print rows as JSON; missing values are null.")]


def settings(text: str | None) -> dict[str, Any] | None:
    """What ``--problem-config`` says.

    Raises
    ------
    UsageError
        If it is no JSON object.
    """
    if text is None:
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"--problem-config is no JSON ({error}); write it as '{{\"width\": 64}}'") from None
    if not isinstance(found, dict):
        raise UsageError(f"--problem-config is a {type(found).__name__}; it must be an object, '{{\"width\": 64}}'")
    return found


def exit_status(results: Results) -> int:
    """1 if a file was skipped or something did not converge, else 0."""
    unsettled = any(checkpoint.not_converged for run in results.runs for checkpoint in run.checkpoints)
    return 1 if results.info.get("skipped") or unsettled else 0


def print_results(results: Results, *, as_json: bool) -> None:
    from landscape import tables

    if as_json:
        print_json(tables.rows(results))
    else:
        console(soft_wrap=False).print(tables.text_table(results))


def print_json(rows: Any) -> None:
    print(json_text(rows))


def command_line() -> str:
    return shlex.join(["landscape", *sys.argv[1:]])


def main() -> None:
    """Entry point: whatever goes wrong is one line on stderr and exit status 2."""
    accept_all_characters()
    if "RANK" in os.environ and "MASTER_PORT" in os.environ and sys.argv[1:2] != ["analyze"]:
        if os.environ["RANK"] != "0":
            return  # what every rank was started for, one does
        os.environ["LANDSCAPE_ALONE"] = "1"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        faulthandler.enable(all_threads=False)  # a library that crashes in this process leaves a trace
    try:
        app(standalone_mode=True)
    except LandscapeError as error:
        _end(str(error), error)
    except OSError as error:  # a name too long, a disk that fails: nothing that a report would mend
        _end(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", error)
    except Exception as error:
        _end(f"{in_one_line(error)}. This should not happen: {TRACEBACK}=1 shows how it did, for a report", error)


def _end(message: str, error: Exception) -> NoReturn:
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if _is_said_by_rank_0(message):
        raise SystemExit(2) from None
    print(f"landscape: {one_line(message)}", file=sys.stderr)
    raise SystemExit(2) from None


def _is_said_by_rank_0(message: str) -> bool:
    """Whether this is another rank, whose error rank 0 has too, or is told now."""
    known = sys.modules.get("landscape.distributed.group")
    group = None if known is None else known.joined()
    if group is not None:
        group.leave(one_line(message))
    return group is not None and group.rank > 0
