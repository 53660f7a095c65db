"""The line between the minima of two runs: which are compared, and how high the loss rises between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any

from landscape import geometry
from landscape.analysis.amounts import named_pairs
from landscape.analysis.asking import fields_of
from landscape.analysis.cache import Opened
from landscape.analysis.measuring import Measured, skipped
from landscape.analysis.objectives import objective_of, on_test_data
from landscape.analysis.plan import Plan
from landscape.analysis.recording import RECORD_VERSION, provenance
from landscape.analysis.survey import RunFiles
from landscape.checkpoints import Checkpoint
from landscape.errors import ResultsError, UsageError, as_ours
from landscape.geometry.connecting.predictions import disagreement
from landscape.objective import Objective
from landscape.store import ResultStore

Pair = tuple[RunFiles, RunFiles]


def comparable_pairs(last: Mapping[RunFiles, Checkpoint], chosen: str = "both") -> list[Pair]:
    """Pairs of runs of the same problem, in the order in which they are measured.

    Parameters
    ----------
    last : dict of RunFiles to Checkpoint
        The last checkpoint of each run.
    chosen : str
        As ``Plan.pairs``. A group is a label, or an optimizer where there are none. ``"groups"``: of another group and
        the same seed; ``"seeds"``: of the same group and another seed; ``"both"``: first one of each pair of groups and
        one of each group, then the others of both kinds; or pairs of names.
    """
    if (named := named_pairs(chosen)) is not None:
        every = list(combinations(last, 2))
        return list(dict.fromkeys(pair for globs in named for pair in every if _fits(pair, globs)))
    question = {run: [c.problem, c.problem_config, c.num_parameters] for run, c in last.items()}
    group = {run: str(c.config.get("label", c.optimizer)) for run, c in last.items()}
    kinds: dict[str, list[Pair]] = {"groups": [], "seeds": []}
    for a, b in combinations(last, 2):
        same_seed, same_group = last[a].seed == last[b].seed, group[a] == group[b]
        if question[a] == question[b] and same_seed != same_group:
            kinds["groups" if same_seed else "seeds"].append((a, b))
    if chosen != "both":
        return kinds[chosen]
    every = [pair for pairs in kinds.values() for pair in pairs]
    first = set({tuple(sorted((group[a], group[b]))): (a, b) for a, b in reversed(every)}.values())
    return sorted(every, key=lambda pair: pair not in first)


def check_pairs(names: Sequence[str], chosen: str) -> None:
    """Refuse pairs of names that fit no two of these runs.

    Raises
    ------
    UsageError
        With the names there are.
    """
    for globs in named_pairs(chosen) or []:
        runs = [RunFiles(name, ()) for name in names]
        if not any(_fits(pair, globs) for pair in combinations(runs, 2)):
            raise UsageError(f"pairs={':'.join(globs)!r} fits no two runs; there are {', '.join(names)}")


def _fits(pair: Pair, globs: tuple[str, str]) -> bool:
    """In either order."""
    a, b = (run.run for run in pair)
    return any(fnmatchcase(a, one) and fnmatchcase(b, other) for one, other in (globs, globs[::-1]))


def name_of(pair: Pair) -> str:
    """What a pair is called in messages."""
    return f"{pair[0].run} to {pair[1].run}"


def measure_pair(
    store: ResultStore, pair: Pair, plan: Plan, opened: Opened, report: Callable[[str], None] = lambda doing: None
) -> Measured:
    """The line between the ends of two runs; where it cannot be measured, why.

    Parameters
    ----------
    report : callable
        ``report(doing)``, before it is measured; not called where it is stored already.

    Raises
    ------
    ResultsError
        If the record cannot be stored.
    """
    name = name_of(pair)
    try:
        measure_barrier(store, *pair, plan, opened, report)
    except ResultsError:
        raise
    except BaseException as error:
        return Measured(name, skipped=[skipped(f"{name}: interpolation", as_ours(error))])
    return Measured(name, measured=True)


def measure_barrier(
    store: ResultStore, a: RunFiles, b: RunFiles, plan: Plan, opened: Opened, report: Callable[[str], None]
) -> None:
    """Put the line between the last checkpoints of two runs on disk, each end with its own buffers, and how much their
    predictions differ.

    There is none between answers to different questions, such as on other data.
    """
    ends = [opened.checkpoint(run.files[-1]) for run in (a, b)]
    problems = [opened.problem(end, plan) for end in ends]
    at_a, at_b = (
        objective_of(end, plan, check=False, problem=problem) for end, problem in zip(ends, problems, strict=True)
    )
    constants = [at.constants_digest() for at in (at_a, at_b)]
    settings = {} if plan.problem_config is None else {"problem_config": plan.problem_config}
    moved = {} if plan.batch_statistics is None else {"batch_statistics": plan.batch_statistics}
    key = {
        "fields": {"points": plan.points} | fields_of(plan, "slice") | moved, "objective": at_a.digest(),
        # One where they are equal, as in records from before buffers moved along the line, which are right there.
        "constants": constants[0] if constants[0] == constants[1] else constants,
        "params": [end.params_sha256 for end in ends], "version": RECORD_VERSION, **settings,
    }  # fmt: skip
    if problems[0].params is not None and constants[0] != constants[1]:  # what is outside θ differs: no line within it
        return
    if at_a.digest() != at_b.digest() or store.find_pair(a.run, b.run, key) is not None:
        return
    report(f"{name_of((a, b))}  interpolation")
    started = time.perf_counter()
    wanted = fields_of(plan, "slice")["of_range"]
    line = geometry.interpolate(
        at_a, at_b, points=plan.points, batch_statistics=plan.batch_statistics, tol=wanted,
        resume=store.unfinished_pair(a.run, b.run),
    )  # fmt: skip
    on_test = [on_test_data(end, plan, problem) for end, problem in zip(ends, problems, strict=True)]
    line = replace(line, **_apart((at_a, at_b), on_test))
    store.write_pair(a.run, b.run, line, provenance(key, line, time.perf_counter() - started, at_a, route=None))


def _apart(ends: Sequence[Objective], on_test: Sequence[Objective | None]) -> dict[str, Any]:
    """How much the predictions of two models differ, as fields of the line between them."""
    found, kind = disagreement(*ends)
    of_test, kind_on_test = math.nan, ""
    if (tests := [test for test in on_test if test is not None]) and len(tests) == len(ends):
        of_test, kind_on_test = disagreement(*tests)
    return {"disagreement": found, "test_disagreement": of_test, "disagreement_of": kind or kind_on_test}
