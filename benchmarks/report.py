"""RESULTS.md from the raw numbers: nothing is measured here, so ``render`` may be run again on the JSON."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.harness import FASTEST_PEER, Goal, Workload
from benchmarks.workloads import SCALINGS, workloads

#: A set-up below this is none.
LEAST_SECONDS = 1e-4
#: What the exponents are meant to stay below.
MOST_EXPONENT = 1.1


def render(results: dict[str, Any]) -> str:
    """The whole page."""
    size = results["settings"]["size"]
    known = workloads(size)
    parts = [_heading(results), _summary(results, known)]
    for name, workload in known.items():
        pairs = [p for p in results["pairs"] if p["workload"] == name]
        memory = {m["contender"]: m for m in results["memory"] if m["workload"] == name}
        if pairs or memory:
            parts.append(_section(workload, pairs, memory))
    if results["scaling"]:
        parts.append(_scaling(results["scaling"]))
    return "\n\n".join(parts) + "\n"


def _heading(results: dict[str, Any]) -> str:
    machine, settings = results["machine"], results["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return "\n".join(
        [
            "# Benchmarks",
            "",
            f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}, "
            f"{machine['threads'] if settings['threads'] == 'default' else settings['threads']} threads. "
            f"Python {machine['python']}; {versions}. {machine['began']} to {machine.get('ended', '…')}, load "
            f"{machine['load_at_start']} at the start, {machine.get('load_at_end', '…')} at the end. "
            f"Size {settings['size']}.",
            "",
            "One process per pair; in it ours and the other take turns. *Seconds* are medians; *first* is the first "
            "call, with what happens only once, such as compiling. *From scratch* means that a timed call starts from "
            "model and data; *set-up* is then what tuning a tool took, which is not counted. A *ratio* is the other's "
            "time over ours in the same round: the median, and the smallest and largest of the rounds. Every answer is "
            "held against plain double backward in float64; a ratio in brackets belongs to an answer outside the "
            "tolerance, and does not count. *Memory* is how far the resident memory of a process that does nothing "
            "else rose above model, data and imports.",
            *(line for remark in results.get("remarks", ()) for line in ("", remark)),
        ]
    )


def _ratios(pair: dict[str, Any], quantity: str = "seconds") -> list[float]:
    """The other's figure over ours, round by round."""
    ours, other = pair.get("ours"), pair.get("other")
    if not ours or not other:
        return []
    return [b / a for a, b in zip(ours[quantity], other[quantity], strict=False) if a > 0]


def _ratio_text(pair: dict[str, Any]) -> str:
    ratios = _ratios(pair)
    if not ratios:
        return "–"
    text = f"{statistics.median(ratios):.2f} × ({min(ratios):.2f}–{max(ratios):.2f})"
    return text if pair["other"]["agrees"] and pair["ours"]["agrees"] else f"[{text}]"


def _summary(results: dict[str, Any], known: dict[str, Workload]) -> str:
    lines = [
        "## Against the goals",
        "",
        "| workload | goal | against | the other's ÷ ours | needed | reached |",
        "|---|---|---|---|---|---|",
    ]
    for name, workload in known.items():
        pairs = [p for p in results["pairs"] if p["workload"] == name]
        memory = {m["contender"]: m for m in results["memory"] if m["workload"] == name}
        for goal in workload.goals if pairs else ():
            against, ratio = _goal_ratio(workload, goal, pairs, memory)
            seen = "–" if ratio is None else f"{ratio:.2f}"
            reached = _absence(workload, goal, pairs) if ratio is None else "yes" if ratio >= goal.at_least else "no"
            lines.append(f"| {name} | {goal.text} | {against} | {seen} | {goal.at_least:.3g} | {reached} |")
    return "\n".join(lines)


def _absence(workload: Workload, goal: Goal, pairs: list[dict[str, Any]]) -> str:
    """Why there is nothing to divide by: no peer was measured, or none has the answer."""
    met = [pair for pair in pairs if pair["contender"] in workload.peers and _ratios(pair)]
    if goal.against != FASTEST_PEER or not met:
        return "not measured"
    return "no peer has the answer" if all(pair["ours"]["agrees"] for pair in met) else "no"


def _goal_ratio(
    workload: Workload, goal: Goal, pairs: list[dict[str, Any]], memory: dict[str, dict[str, Any]]
) -> tuple[str, float | None]:
    """Whom the goal is held against, and the median ratio; None where there is none with the same answer."""
    fitting = [
        pair
        for pair in pairs
        if _ratios(pair)
        and pair["ours"]["agrees"]
        and (pair["other"]["agrees"] or not goal.same_answer)
        and _is_meant(goal, pair["contender"], workload)
    ]
    best = min(fitting, key=lambda pair: statistics.median(_ratios(pair)), default=None)
    if best is None:
        return goal.against, None
    name = best["contender"]
    if goal.quantity == "bytes":
        mine, theirs = ((memory.get(n) or {}).get("bytes") for n in (workload.ours.name, name))
        return name, theirs / mine if mine and theirs else None
    ratios = _ratios(best, goal.quantity)
    return name, statistics.median(ratios) if ratios else None


def _is_meant(goal: Goal, contender: str, workload: Workload) -> bool:
    return contender in workload.peers if goal.against == FASTEST_PEER else contender.startswith(goal.against)


def _section(workload: Workload, pairs: list[dict[str, Any]], memory: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"## {workload.name}",
        "",
        f"{workload.title}. Error: {workload.error_name}, tolerance {workload.tolerance:g}.{_rounds(pairs)}",
        "",
        "| contender | seconds | ours beside it | ratio | matvecs | error | memory | set-up | first |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    own = [p["ours"] for p in pairs if p.get("ours") and p["ours"]["seconds"]]
    if own:
        # Of as many processes as there are others, the middle one.
        side = sorted(own, key=lambda s: statistics.median(s["seconds"]))[len(own) // 2]
        lines.append(_row(workload.ours.name, side, "", "", memory))
    elif workload.ours.name in memory:
        lines.append(f"| {workload.ours.name} | | | | | | {_bytes(memory[workload.ours.name])} | | |")
    for pair in pairs:
        name, other, ours = pair["contender"], pair.get("other"), pair.get("ours")
        failure = pair.get("failure") or (other or {}).get("failure")
        if failure or not other or not ours:
            lines.append(f"| {name} | failed: {_cell(failure or 'no result')} | | | | | | | |")
            continue
        beside = _seconds(ours["seconds"]) if ours["failure"] is None else f"failed: {_cell(ours['failure'])}"
        lines.append(_row(name, other, beside, _ratio_text(pair), memory))
    return "\n".join(lines)


def _rounds(pairs: list[dict[str, Any]]) -> str:
    """How many timed rounds stand behind the medians of a section."""
    counts = sorted({len(pair["ours"]["seconds"]) for pair in pairs if _ratios(pair)})
    if not counts:
        return ""
    return f" Timed rounds: {counts[0]}" + (f" to {counts[-1]}." if len(counts) > 1 else ".")


def _row(name: str, side: dict[str, Any], beside: str, ratio: str, memory: dict[str, dict[str, Any]]) -> str:
    made, memory_text = side["matvecs"], _bytes(memory.get(name))
    matvecs = f"{statistics.median(made):.4g}" if made and max(made) > 0 else "–"
    if side["note"]:
        name = f"{name} ({side['note']})"
    error = "not the values asked for" if side["error"] is None else f"{side['error']:.2g}"
    return (
        f"| {name} | {_seconds(side['seconds'])} | {beside} | {ratio} | {matvecs} | {error} "
        f"| {memory_text} | {_seconds(_present(side['setup']))} "
        f"| {_seconds(_present(side['first']))} |"
    )


def _present(seconds: float | None) -> list[float]:
    """Nothing where there was nothing to do."""
    return [] if seconds is None or seconds < LEAST_SECONDS else [seconds]


def _seconds(values: list[float]) -> str:
    if not values:
        return "–"
    middle = statistics.median(values)
    return f"{1000 * middle:.3g} ms" if middle < 1 else f"{middle:.3g} s"


def _bytes(measured: dict[str, Any] | None) -> str:
    if measured is None or measured.get("bytes") is None:
        return "–"
    return f"{measured['bytes'] / 1e6:.0f} MB"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _scaling(measured: list[dict[str, Any]]) -> str:
    lines = [
        "## How the time grows",
        "",
        "Seconds ∝ x^b, b by least squares on logarithms, with its standard error. "
        f"The goal for ours is b ≤ {MOST_EXPONENT:g}.",
        "",
        "| workload | contender | b | seconds at x |",
        "|---|---|---|---|",
    ]
    for row in measured:
        title = SCALINGS[row["workload"]].title
        if row.get("failure"):
            lines.append(f"| {title} | {row['contender']} | – | failed: {_cell(row['failure'])} |")
            continue
        error = "" if row["stderr"] is None else f" ± {row['stderr']:.2f}"
        points = ", ".join(f"{point['x']}: {_seconds([point['median']])}" for point in row["points"])
        lines.append(f"| {title} | {row['contender']} | {row['exponent']:.2f}{error} | {points} |")
    return "\n".join(lines)
