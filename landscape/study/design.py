"""What a study compares, written down before anything is run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from landscape.analysis.plan import Plan
from landscape.checkpoints import checkpoint_files
from landscape.checks import check_choice, check_positive, check_seed
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.problems import Problem, load_problem
from landscape.problems.builtin.writing import alphabet_of
from landscape.problems.registry import is_fetched
from landscape.store.catalogue import MEASURES
from landscape.study.arms import Arm, Tuning
from landscape.study.extras import Blocks, Forgetting, Writing, extra_from
from landscape.study.grids import RATE, Grids, with_value
from landscape.study.sets import check_sets, sets_of
from landscape.training import training_settings

#: What a study in small measures, on a few examples: enough for every figure and table to be there.
QUICK_PLAN = {
    "plan": "quick", "last": 2, "trace_probes": 4, "density_probes": 2, "steps": 8, "points": 5, "plane_points": 5,
    "directions": 1, "samples": 2, "barriers": 1, "tol": 0.1, "examples": 64,
}  # fmt: skip
#: Where arms are compared at equal loss, checkpoints are saved this factor apart in loss, or closer.
DENSE = 1.25


@lru_cache(maxsize=32)
def _problem(name: str, config: str, data: str | None) -> Problem:
    """Built once for all runs of an arm: its data may take seconds."""
    return load_problem(name, json.loads(config), data_dir=data)


@dataclass(frozen=True)
class Study:
    """Problem × arms × seeds.

    Attributes
    ----------
    name, question : str
        In a word, and in a sentence.
    problem : str
        A registered name, or one of your own as ``pkg.mod:factory``.
    arms : tuple of Arm
    seeds : tuple of int
        Replicates: the same for every arm, so that they are paired.
    problem_config, settings : dict
        Shared by all arms.
    tuning : Tuning or None
        None: learning rates as the arms, or the problem's recipe, have them.
    primary : str
        The measure for which the study is made, a key of ``landscape.store.catalogue.MEASURES``: declared before
        anything is run, and named in methods and findings. All others are secondary.
    plan : dict
        Fields of :class:`landscape.Plan` for the analysis.
    matched : bool
        Compare the arms at the lowest training loss that most runs reach, each run between the two checkpoints around
        it, for which trainings also save one whenever the loss has fallen by a factor of ``DENSE`` (unless
        ``save_losses`` is set); where the arms differ in the problem itself, there is nothing to match.
    same_loss : tuple of str
        Keys of ``problem_config`` that change where a training begins or what it moves, and not the loss as a function
        of the parameters: arms that differ in these alone count as trained on one problem.
    paths : bool
        Draw the paths over the contours of the loss: checkpoints must be many. Where all arms have one loss of few
        parameters, the paper also counts which minima the runs end in.
    histories : bool
        Draw the training loss and the step size, or what is watched, against the steps, or against the epochs where
        the arms have batches of different sizes.
    watched : str
        A column of the runs' histories, such as ``"distance_to_consensus"``, that is drawn below the losses and told:
        its mean over the last tenth of the steps. Of ``"step_size"`` also how near it comes to 2/λ_max.
    validation : bool
        Draw the loss over the test data along the training, too, and say where it was lowest.
    blocks : Blocks or None
        Measure and draw the curvature of blocks of the parameters along the training. With these, or ``writing``, the
        paper has no room for the figures of the analysis, which lie beside its report.
    forgetting : Forgetting or None
        Measure what arms with ``order="blocks"`` lose of their first block, and what it goes with.
    writing : Writing or None
        Show what the models write at the end, side by side: of the two problems over characters alone.
    spread : bool
        The question is how far runs of one arm lie apart: the paper has standard deviations with intervals too, and a
        test that they are equal.
    within : str or mapping
        A setting, such as ``"batch_size"`` or ``"problem_config"``: only arms that agree in it are compared with each
        other, and paths and histories have a panel for each of its values. Or sets of arms, name → labels: only arms of
        one set are compared; an arm may be in several, two arms in one. Left out, all are compared.
    costs : tuple of float
        Training losses: what each run evaluated, in passes over the training data, until it came to them.
    against : str
        A number among the settings or the ``problem_config`` of arms, over which what the problem measures by itself is
        drawn, beside what is known of it in closed form.
    only : tuple of str
        Where shapes of minima are not the question, as with losses that mean different things: keys of the catalogue.
        The paper is then on these, on what the problem measures by itself and on what was spent, and nothing else.
    title : str
        Of the paper; left out, the name.
    analysed : bool
        False where the training follows no loss, as in a game: then nothing is measured but what the problem does by
        itself, and the paper is on that.
    data : str or None
        Folder of the data files, for problems that need some. Where it lies is no part of the study.

    Raises
    ------
    UsageError
        If two arms have one label, a seed is tuned and evaluated, or a setting is one no training takes.
    """

    name: str
    question: str
    problem: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    problem_config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tuning: Tuning | None = None
    primary: str = "lambda_max"
    plan: Mapping[str, Any] = field(default_factory=dict)
    matched: bool = True
    same_loss: tuple[str, ...] = ()
    paths: bool = False
    histories: bool = False
    watched: str = ""
    validation: bool = False
    blocks: Blocks | None = None
    forgetting: Forgetting | None = None
    writing: Writing | None = None
    spread: bool = False
    within: str | Mapping[str, Sequence[str]] = ""
    costs: tuple[float, ...] = ()
    against: str = ""
    only: tuple[str, ...] = ()
    title: str = ""
    analysed: bool = True
    data: str | None = None

    def __post_init__(self) -> None:
        labels = [arm.label for arm in self.arms]
        if not labels or len(set(labels)) < len(labels):
            raise UsageError(f"a study needs arms with labels of their own; there are {', '.join(labels) or 'none'}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"seeds={self.seeds!r} must be at least one, each once")
        for seed in self.seeds:
            check_seed(seed)
        if self.tuning is not None and (both := set(self.tuning.seeds) & set(self.seeds)):
            raise UsageError(f"seeds {sorted(both)} are tuned on and evaluated; keep them apart")
        check_choice("primary", self.primary, MEASURES)
        Plan(**self.plan)
        for key in self.only:
            check_choice("only", key, MEASURES)
        set_by_arms = {key for arm in self.arms for key in arm.settings.get("problem_config", {})}
        if unknown := set(self.same_loss) - set_by_arms:
            raise UsageError(f"same_loss has {', '.join(sorted(unknown))}, which no arm sets in its problem_config")
        for loss in self.costs:
            check_positive("a training loss of costs", loss)
        if not isinstance(self.within, str):
            check_sets(self.within, labels)
        if self.data is None and is_fetched(self.problem):
            return  # a design is no reason to download anything; what its arms ask for is checked where the data are
        for arm in self.arms:
            self._check_arm(arm)

    def _check_arm(self, arm: Arm) -> None:
        settings = self.settings_of(arm)
        if isinstance(self.within, str) and self.within not in {"", *settings}:
            raise UsageError(f"within={self.within!r} is no setting of a training; there is no such key")
        self._check_grids(arm)
        if self.writing is not None:
            alphabet_of(self.problem_of(arm).config, self.data).encode(self.writing.prompt)

    def _check_grids(self, arm: Arm) -> None:
        """Every value is one that a training of the arm takes."""
        if arm.over and self.tuning is None:
            raise UsageError(f"arm {arm.label} has grids to try, and the study no tuning; give it one")
        shared = {} if self.tuning is None else self.tuning.over
        if isinstance(self.within, str) and self.within in {*shared, *arm.over}:
            raise UsageError(f"arms are compared within one {self.within}, so it cannot be tuned")
        for name, values in (*shared.items(), *arm.over.items()):
            for value in values if name != RATE else ():
                self.settings_of(arm, **self.tried(arm, {}, name, value))

    def tried(self, arm: Arm, settings: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
        """What a trial asks of an arm beyond its own settings, with one more value."""
        return with_value(settings, name, value, {**self.settings, **arm.settings})

    def settings_of(self, arm: Arm, **more: Any) -> dict[str, Any]:
        """What the training of an arm is asked for, with ``problem_config`` complete; checked."""
        dense = {"save_losses": DENSE} if self.is_matched() else {}
        asked = {**dense, **self.settings, **arm.settings, **more}
        own = asked.pop("problem_config", None) if "problem_config" in more else None
        asked.pop("problem_config", None)
        return training_settings(self.problem_of(arm, own), asked | {"label": arm.label})

    def problem_of(self, arm: Arm, more: Mapping[str, Any] | None = None) -> Problem:
        """The problem that an arm is trained on, or one that differs from it by ``more``."""
        config = {**self.problem_config, **arm.settings.get("problem_config", {}), **(more or {})}
        return _problem(self.problem, json.dumps(config, sort_keys=True), self.data)

    @property
    def heading(self) -> str:
        """The title, or what the name makes of one."""
        return self.title or self.name.replace("-", " ").capitalize()

    def objective_of(self, arm: Arm) -> Objective:
        """The training loss of an arm, unchecked."""
        problem = self.problem_of(arm)
        return problem.objective(problem.make_model(self.seeds[0]), check=False)

    def runs_in(self, folder: Path) -> list[tuple[Arm, int, Path]]:
        """Arm, seed and folder of each run that is there, arm by arm."""
        places = ((arm, seed, folder / arm.run(seed)) for arm in self.arms for seed in self.seeds)
        return [(arm, seed, place) for arm, seed, place in places if checkpoint_files(place)]

    def strata(self) -> dict[str, list[Arm]]:
        """What some arms differ in from the others, by ``within`` and by problem → those arms, in the study's order."""
        if not isinstance(self.within, str):
            named = {arm.label: arm for arm in self.arms}
            return {name: [named[label] for label in labels] for name, labels in self.within.items()}
        found: dict[str, list[Arm]] = {}
        for arm in self.arms:
            own = arm.settings.get("problem_config", {})
            parts = [f"{key} = {value}" for key, value in own.items()]
            if self.within and self.within != "problem_config":
                parts.append(f"{self.within.replace('_', ' ')} {self.settings_of(arm)[self.within]}")
            found.setdefault(", ".join(parts) or self.problem, []).append(arm)
        return found

    def same_problem(self) -> bool:
        """Whether all arms are trained on one problem, so that their losses mean the same."""
        configs = [dict(self.problem_of(arm).config) for arm in self.arms]
        for key in self.same_loss:
            for config in configs:
                config.pop(key, None)
        return all(config == configs[0] for config in configs)

    def is_matched(self) -> bool:
        """Whether arms are compared at equal training loss: there are several, on one problem."""
        return self.matched and self.analysed and len(self.arms) > 1 and self.same_problem()

    def quick(self) -> Study:
        """The same in small, to see that it runs: two or three arms, two seeds, epochs, rates, a quick plan.

        Where tuning has fewer examples than the study, these are enough here.
        """
        small = dict({} if self.tuning is None else self.tuning.settings)
        config = {**self.problem_config, **small.pop("problem_config", {})}
        tuning = self.tuning and replace(
            self.tuning,
            grid=self.tuning.grid[:2],
            seeds=self.tuning.seeds[:1],
            over=_first_two(self.tuning.over),
            settings={**self.tuning.settings, "epochs": 2},
        )
        few = sorted({0, len(self.arms) - 1})
        if self.within:  # two that are compared with each other
            first = next(iter(self.strata().values()))
            few = sorted({*few, *(self.arms.index(arm) for arm in first[:2])})
        arms = tuple(
            replace(arm, settings={k: v for k, v in arm.settings.items() if k != "epochs"}, over=_first_two(arm.over))
            for arm in map(self.arms.__getitem__, few)
        )
        return replace(
            self,
            seeds=self.seeds[:2],
            problem_config=config,
            settings={**self.settings, **small, "epochs": 2, "save_last": 2},
            arms=arms,
            within=self.within if isinstance(self.within, str) else sets_of(self.within, [arm.label for arm in arms]),
            tuning=tuning,
            plan=QUICK_PLAN,
            blocks=self.blocks and replace(self.blocks, looks=2, probes=2, lambda_max=False, examples=16),
            matched=False,
        )

    def to_json(self) -> str:
        """All of it, as text that :meth:`from_json` reads."""
        found = asdict(self)
        del found["data"]
        return json.dumps(found, indent=1, sort_keys=True)

    @staticmethod
    def from_json(text: str, *, data: str | None = None) -> Study:
        """The study that ``to_json`` wrote, with the data files of its problem in the folder ``data``."""
        found = json.loads(text)
        tuning = found.pop("tuning")
        if tuning is not None:
            tuning |= {key: tuple(tuning[key]) for key in ("grid", "seeds")}
        found |= {key: tuple(found[key]) for key in ("costs", "only", "same_loss") if key in found}
        return Study(
            arms=tuple(Arm(**arm) for arm in found.pop("arms")),
            seeds=tuple(found.pop("seeds")),
            tuning=None if tuning is None else Tuning(**tuning),
            blocks=extra_from(Blocks, found.pop("blocks", None)),
            forgetting=extra_from(Forgetting, found.pop("forgetting", None)),
            writing=extra_from(Writing, found.pop("writing", None)),
            data=data,
            **found,
        )

    @staticmethod
    def load(folder: str | Path, *, data: str | None = None) -> Study:
        """The study a folder was made by.

        Raises
        ------
        UsageError
            If there is none.
        """
        path = Path(folder) / "reproduce.json"
        try:
            return Study.from_json(json.dumps(json.loads(path.read_text())["study"]), data=data)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path} holds no study: {error}") from error


def _first_two(grids: Grids) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(values[:2]) for name, values in grids.items()}
