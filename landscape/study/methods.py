"""The methods paragraph: every setting that determines a run, so that it can be done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from landscape.escaping.latex import latex_text
from landscape.results import LineSlice, PlaneSlice
from landscape.results.batch_statistics import sentences
from landscape.store import Results
from landscape.store.catalogue import MEASURES
from landscape.study.arms import Arm
from landscape.study.design import Study
from landscape.study.grids import RATE, grid_words
from landscape.study.tuning import Choice

#: Settings said once where all arms share them, with their options.
COMMON = ("batch_size", "epochs", "schedule", "order", "batch_schedule", "adversary")
#: Seeds an arm may hold fast, which then do not follow the seed of the run.
SEEDS = {"init_seed": "seed of the weights", "order_seed": "seed of the order"}
_DEFAULTS = {"schedule": "constant", "order": "shuffled", "batch_schedule": "constant"}


def methods(study: Study, choices: list[Choice], found: Results | None = None) -> str:
    """The paragraph in LaTeX; with what the slices in the results say of running statistics."""
    lines = trainings_told(study, choices)
    lines.append(
        "Eigenpairs by thick-restart Lanczos accepted on true residuals, traces with known eigenpairs taken out, all "
        f"on the training loss. {decisions_told(study)} Primary measure: "
        f"{MEASURES[study.primary].words} ({MEASURES[study.primary].symbol}); all others are secondary. "
        "Second-order gain: how many times as much a damped Newton step "
        "(damping 0.01 λ₁, or −2λ_min where that is more) lowers the quadratic model as gradient descent in steps of "
        "1/λ₁ does with as many products."
        f"{_statistics(found) if found is not None else ''}"
    )
    return latex_text(" ".join(lines))


def decisions_told(study: Study) -> str:
    """How means and differences are judged."""
    return (
        "Intervals of means: Student's t over seeds, 95 %. Differences: permutation tests, "
        "Holm-adjusted (both signs) over the pairs of arms "
        f"{'that are compared ' if study.within else ''}in one measure; their intervals, t at 1 − 0.05 ÷ "
        "the number of those pairs, hold together and agree with the decision."
    )


def trainings_told(study: Study, choices: list[Choice]) -> list[str]:
    """Every setting that determines a training, and how those were chosen."""
    settings = [study.settings_of(arm, **choice.settings) for arm, choice in zip(study.arms, choices, strict=True)]
    same = [key for key in COMMON if len({_setting(full, key) for full in settings}) == 1]
    configs = [s["problem_config"] for s in settings]
    shared = {key: value for key, value in configs[0].items() if all(c.get(key) == value for c in configs)}
    common = ", ".join(_setting(settings[0], key) for key in same if settings[0][key] is not None)
    seeds = ", ".join(map(str, study.seeds))
    lines = [f"Problem: {study.problem} ({_options(shared)}). All arms: {common}. Seeds {seeds}, paired across arms."]
    for arm, choice, full in zip(study.arms, choices, settings, strict=True):
        own = [_setting(full, key) for key in COMMON if key not in same]
        own += [f"{key.replace('_', ' ')} {value}" for key, value in full["options"].items()]
        own += [f"{key} = {value}" for key, value in full["problem_config"].items() if key not in shared]
        own += [f"{words} {full[key]} in all runs" for key, words in SEEDS.items() if full.get(key) is not None]
        lines.append(
            f"{arm.label}: {full['optimizer']}, learning rate {choice.lr:g}{', ' + ', '.join(own) if own else ''}."
        )
    return lines + _tuning(study, choices)


def _tuning(study: Study, choices: list[Choice]) -> list[str]:
    """What was tried, in which order, by what, and how often; empty without tuning."""
    tuning = study.tuning
    if tuning is None:
        return []
    grid = ", ".join(f"{factor:g}" for factor in tuning.grid)
    jointly = "".join(f", jointly with {grid_words(name, values)}" for name, values in tuning.over.items())
    said = [
        f"Learning rates: the best of {grid} times each optimizer's usual one{jointly}, by mean "
        f"{tuning.by.replace('_', ' ')} over {_seeds(tuning.seeds)} not evaluated{_otherwise(tuning.settings)}."
    ]
    if own := [f"for {arm.label} {', then '.join(_own(arm))}" for arm in study.arms if arm.over]:
        said.append(f"After that, at the best so far: {'; '.join(own)}.")
    if tuning.over or own:
        counts = {choice.label: len(choice.trials) for choice in choices}
        said.append(
            f"Every arm had {next(iter(counts.values()))} trials."
            if len({*counts.values()}) == 1
            else f"Trials: {', '.join(f'{label} {count}' for label, count in counts.items())}."
        )
    if any("batch_size" in grids for grids in (tuning.over, *(arm.over for arm in study.arms))):
        said.append("Epochs are the same for all batch sizes, so that twice the batch takes half as many steps.")
    return said


def _own(arm: Arm) -> list[str]:
    return [
        f"learning rates {', '.join(f'{factor:g}' for factor in values)} times that"
        if name == RATE
        else grid_words(name, values)
        for name, values in arm.over.items()
    ]


def _statistics(found: Results) -> str:
    records = [record for run in found.runs if run.checkpoints for record in run.last.records.values()]
    slices = [record for record in records if isinstance(record, (LineSlice, PlaneSlice))]
    between = [pair.record.batch_statistics for pair in found.pairs]
    return sentences([one.batch_statistics for one in slices] + between, of="slices of the loss")


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}, which is" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}, which are"


def _otherwise(settings: Mapping[str, Any]) -> str:
    """``, in trainings of epochs 3, num train 6000``: in what those of the tuning differ."""
    flat = {**settings, **settings.get("problem_config", {})}
    flat.pop("problem_config", None)
    found = [f"{key.replace('_', ' ')} {value}" for key, value in flat.items() if not key.startswith("save_")]
    return f", in trainings of {', '.join(found)}" if found else ""


def _setting(settings: dict[str, Any], key: str) -> str:
    """``batch size 64``, ``schedule cosine (warmup = 10)``."""
    if settings[key] is None:
        return f"no {key}"
    options = settings.get(f"{key}_options") or {}
    name = f"{key.replace('_', ' ')} {settings[key]}"
    plain = settings[key] == _DEFAULTS.get(key) or not options
    return name if plain else f"{name} ({_options(options)})"


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in options.items())
