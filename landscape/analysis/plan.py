"""How thoroughly to measure: named plans, and single settings that overrule them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

from landscape.analysis.amounts import ALL, accuracy_of, last_of, named_pairs, seconds_of
from landscape.analysis.presets import COUNTS, LEAST, PLANES, PRESETS
from landscape.checks import check_choice, check_count, check_seed, check_share
from landscape.errors import UsageError

#: With a time and no accuracy, where it is good enough.
FINEST = 0.01
#: How many times smaller the residuals of eigenpairs are than the accuracy: trace, density and slices rest on vectors,
#: whose error is the residual over the distance to the next eigenvalue. On those of negative eigenvalues nothing rests:
#: their residuals are at most the accuracy itself, or the second number, beyond which one may be taken for another.
RESIDUALS, MOST_OF_NEGATIVE = 40, 0.05


def negative_residual(accuracy: float) -> float:
    """The relative residual that is asked of pairs with negative eigenvalues."""
    return min(accuracy, MOST_OF_NEGATIVE)


AS_PLANNED: Any = None  # a field left out: the named plan fills it in
BY_ACCURACY: Any = None  # a field left out: the accuracy rules


@dataclass(frozen=True)
class Plan:
    """What ``analyze`` measures, and how accurately. A field left out (None) is as the named plan says.

    Attributes
    ----------
    plan : {"quick", "standard", "thorough"}
    accuracy : float or str
        Every random or iterative quantity is measured until its own 95 % interval reaches no further than that to
        either side, relative to the value, such as 0.05 or ``"5%"``; where the value is near zero, relative to the
        scale that :mod:`landscape.analysis.asking` names for it, such as λ_max for the trace. Left out, 20 % (quick),
        4 % (standard), 1 % (thorough). A count that is set overrules it for what it is of.
    time : float or str, optional
        Seconds, or ``"5m"``, ``"1h30m"``: measure what fits, coarsely first, then more accurately in rounds
        (:mod:`landscape.analysis.rounds`), down to ``accuracy``, or 1 % where none is asked for. Figures and report are
        drawn after it, and ``max_matvecs`` is 3,000 if left out.
    last : int or "all"
        Checkpoints of each run, counted from its end; the last gets every quantity, the earlier ones λ_max, spectral
        gap and gradient norm and, but for a quick plan, the noise scale, the shares of gradient and update in the top
        space, and how near the optimizer is to the edge of stability: about as many products again. ``"all"``: every
        checkpoint, and ``along`` is True unless it is set.
    along : bool
        Measure checkpoints of the whole training too, first and last among them: 8 of each run, 20 in a thorough plan,
        at steps that are spread like squares, closer at the beginning. They, and the last ones, get what earlier
        checkpoints get, with the trace and the distances from start and end of the training, in a quick plan as well.
    every : int, optional
        In place of those, every so-many-th checkpoint, counted back from the last, and the first. Checkpoints are
        counted and not steps, as by ``last``: 1 is all of them, whatever the steps at which they were saved. ``along``
        is True then.
    levels : int
        Training losses at which groups of runs are compared: the lowest that most of them reach, by the losses that
        training saved, and others above it. The two checkpoints of each run around each are measured too: λ_max, gap
        and gradient norm, around the lowest trace and sharpness, too. 0 leaves that out.
    eigs : int
        Eigenpairs from each end of the spectrum at the last checkpoint; from four on, slices go along two of them.
    tol : float, optional
        Relative residual at which an eigenpair counts as converged. Left out, a fortieth of the accuracy; where the
        eigenvalue is negative, the accuracy, but at most 5 %.
    max_matvecs : int
        Where Lanczos gives up, and an estimate that has not reached the accuracy.
    trace_probes : int, optional
        So many probes of the trace besides the eigenpairs, one matvec each, whatever accuracy they give.
    density_probes, steps : int, optional
        So many probes and Lanczos steps of the spectral density; their product is its matvecs.
    points, plane_points : int
        Points along a line, and along each side of the plane; odd.
    planes : str
        Which planes are drawn at the last checkpoint, separated by commas: ``random``, of filter-normalised directions;
        ``eigen``, of the two top eigenvectors; ``pca``, of the principal components of the checkpoints measured, with
        their path, where no running statistics would have to be recomputed at each point. ``""``: none.
    directions : int
        Random filter-normalised directions.
    samples : int, optional
        So many pairs of random displacements for each average sharpness, 2 losses a pair.
    restarts : int
        Starts of the ascent for each worst-case sharpness and Keskar's, about 10 gradients a start.
    barriers : int
        Pairs of minima to interpolate between, at most.
    pairs : str
        Which pairs: ``"groups"``, the same seed in other groups of runs (labels, or optimizers); ``"seeds"``, other
        seeds of one group; ``"both"``, first one of each kind for all groups, then the others; or names of runs and
        globs of them, ``"sgd-s0:adam-s0,sgd-*:sgd-*"``.
    subsets : int
        Disjoint parts of the data on which λ_max and trace are measured too, to show how far they depend on the
        choice of examples; 0 leaves that out. All together cost about as much as λ_max and trace on the whole data.
    examples : int or None
        Measure on that many examples, drawn at random by the seed; None: on all.
    seed : int
        Of every probe, direction, displacement and choice of examples.
    dtype : {"float32", "float64"} or None
        None: the model's own.
    device : str or None
        None: the CPU.
    workers : int or None
        Processes that measure side by side; changes time and memory, and no number. None: one per run and core on a
        CPU, one in all on other devices.
    threads : int or None
        Threads of each process; with them the last digits change. None: the cores, shared out as if each run had a
        process, so that it does not depend on ``workers``.
    data : str or None
        Folder of the data files that the problem reads.
    problem : str or None
        ``pkg.mod:factory`` or ``path/to/file.py:factory`` for checkpoints that name no registered problem; the module
        may lie beside the checkpoints.
    problem_config : dict or None
        Settings of the problem, which its factory gets as keyword arguments; None: as the checkpoint has them.
    params : str or None
        Globs of the parameters that make up θ, separated by commas; the others stay fixed, so there are no lines
        between minima. None: all that are trained.
    mode : {"eval", "train"}
        ``"train"`` asks for batch statistics over all examples as one batch.
    chunk : int or None
        Examples evaluated at a time; changes memory and time, and no number beyond rounding. None: by the model's size.
    route : str or None
        How products with the Hessian are made, as :class:`landscape.HessianOperator` has it, such as ``"fresh"``; None:
        by what a trial shows to be fastest, whose timing may turn out otherwise elsewhere and change the last digits.
    interacting : bool
        The loss of an example depends on others of its batch, so batches stay whole everywhere; subsets are left out.
    batch_statistics : {"interpolate", "recompute", "fixed"} or None
        The running statistics of normalisation layers on lines between minima, as
        :func:`landscape.interpolate` has them; None: its default.
    check : bool
        Examine the loss before anything is measured (:mod:`landscape.objective.preflight`); False trusts it as it is,
        and the report says so.

    Examples
    --------
    >>> Plan("quick").accuracy, Plan("quick", accuracy="5%").accuracy, Plan("quick", time="5m").time
    (0.2, 0.05, 300.0)
    >>> Plan("quick").trace_probes, Plan("quick", trace_probes=6).trace_probes
    (None, 6)
    """

    plan: str = "standard"
    accuracy: float = AS_PLANNED
    time: float | None = None
    last: int | str = AS_PLANNED
    along: bool = AS_PLANNED
    every: int | None = None
    levels: int = AS_PLANNED
    eigs: int = AS_PLANNED
    trace_probes: int = BY_ACCURACY
    density_probes: int = BY_ACCURACY
    steps: int = BY_ACCURACY
    points: int = AS_PLANNED
    plane_points: int = AS_PLANNED
    planes: str = AS_PLANNED
    directions: int = AS_PLANNED
    samples: int = BY_ACCURACY
    restarts: int = AS_PLANNED
    subsets: int = AS_PLANNED
    barriers: int = AS_PLANNED
    pairs: str = "both"
    tol: float = BY_ACCURACY
    max_matvecs: int = AS_PLANNED
    examples: int | None = None
    seed: int = 0
    dtype: str | None = None
    device: str | None = None
    workers: int | None = None
    threads: int | None = None
    data: str | None = None
    problem: str | None = None
    problem_config: dict[str, Any] | None = None
    params: str | None = None
    mode: str = "eval"
    chunk: int | None = None
    route: str | None = None
    interacting: bool = False
    batch_statistics: str | None = None
    check: bool = True

    def __post_init__(self) -> None:
        check_choice("plan", self.plan, PRESETS)
        self._check_objective_options()
        self._choose_along()
        preset = PRESETS[self.plan] | ({"subsets": 0} if self.interacting else {})
        preset |= {"barriers": 0} if self.params is not None else {}
        if self.time is not None:
            object.__setattr__(self, "time", seconds_of(self.time))
            preset |= {"accuracy": None, "max_matvecs": PRESETS["thorough"]["max_matvecs"]}
        for name, value in preset.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.accuracy is not None:
            object.__setattr__(self, "accuracy", accuracy_of(self.accuracy))
        object.__setattr__(self, "last", last_of(self.last))
        for name, least in LEAST.items():
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, check_count(name, value, least=least))
        object.__setattr__(self, "planes", _planes(self.planes))
        for name in ("points", "plane_points"):
            if getattr(self, name) % 2 == 0:
                raise UsageError(f"{name}={getattr(self, name)} must be odd, so that the minimum itself is evaluated")
        for name in ("workers", "threads", "examples", "chunk"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, check_count(name, value))
        if self.subsets == 1:
            raise UsageError("subsets=1 has no spread; pass 0 to leave it out, or at least 2")
        if self.tol is not None:
            object.__setattr__(self, "tol", check_share("tol", self.tol, hint="it is a relative residual"))
        check_choice("dtype", self.dtype, (None, "float32", "float64"))
        object.__setattr__(self, "seed", check_seed(self.seed))

    def _choose_along(self) -> None:
        """Whoever says which checkpoints along the training wants them."""
        if self.along is not None and not isinstance(self.along, bool):
            raise UsageError(f"along={self.along!r} must be True or False; every=K says how many checkpoints")
        if self.every is not None and self.along is False:
            raise UsageError(
                f"every={self.every!r} chooses checkpoints along the training, which along=False leaves out; leave out "
                "one of them"
            )
        if self.along is None and (self.every is not None or self.last == ALL):
            object.__setattr__(self, "along", True)

    def fields(self) -> dict[str, Any]:
        """All settings by name."""
        return dataclasses.asdict(self)

    @property
    def residual(self) -> float:
        """Relative residual at which an eigenpair counts as converged.

        >>> Plan(accuracy=0.04).residual, Plan(tol=0.1).residual
        (0.001, 0.1)
        """
        return self.tol if self.tol is not None else (self.accuracy or FINEST) / RESIDUALS

    @property
    def residual_of_negative(self) -> float:
        """The same where the eigenvalue is not positive.

        >>> Plan(accuracy=0.04).residual_of_negative, Plan(accuracy=0.2).residual_of_negative
        (0.04, 0.05)
        """
        return self.tol if self.tol is not None else negative_residual(self.accuracy or FINEST)

    @property
    def counts_products(self) -> bool:
        """Whether anything that products serve was set by a count or tolerance, and not left to the accuracy.

        >>> Plan(accuracy=0.1).counts_products, Plan(trace_probes=6).counts_products
        (False, True)
        """
        of_trace = self.tol is not None or self.trace_probes is not None
        return of_trace or self.density_probes is not None or self.steps is not None

    def count(self, name: str) -> int:
        """How many probes, steps or samples, where that is not left to the estimator.

        >>> Plan(trace_probes=6).count("trace_probes"), Plan(accuracy=0.04).count("trace_probes")
        (6, 32)
        >>> Plan(accuracy=0.1).count("trace_probes"), Plan(accuracy=0.001).count("trace_probes")
        (32, 128)
        """
        given: int | None = getattr(self, name)
        if given is not None:
            return given
        fine = [accuracy for accuracy in COUNTS if accuracy <= (self.accuracy or FINEST)]
        return COUNTS[max(fine, default=min(COUNTS))][name]

    @property
    def most_last(self) -> int | None:
        """How many of the last checkpoints; None: all.

        >>> Plan("quick").most_last, Plan("quick", last="all").most_last, Plan("quick", last="all").along
        (3, None, True)
        """
        return None if isinstance(self.last, str) else self.last

    def at(self, accuracy: float) -> Plan:
        """The same to another accuracy."""
        return replace(self, accuracy=accuracy)

    def objective_options(self) -> dict[str, Any]:
        """Those keyword arguments of :class:`landscape.Objective` that were asked for, but for ``check``."""
        given = {"params": self.params, "chunk": self.chunk, "device": self.device}
        options = {name: value for name, value in given.items() if value is not None}
        options |= {} if self.mode == "eval" else {"mode": self.mode}
        return options | ({"interacting": True} if self.interacting else {})

    def _check_objective_options(self) -> None:
        if not isinstance(self.pairs, str):
            raise UsageError(f"pairs={self.pairs!r} must be text, such as 'both' or 'sgd-s0:adam-s0'")
        named_pairs(self.pairs)
        check_choice("mode", self.mode, ("eval", "train"))
        if self.route is not None:
            from landscape.operators import check_route  # loads torch, which reading a plan does not need

            check_route(self.route)
        check_choice("batch_statistics", self.batch_statistics, (None, "interpolate", "recompute", "fixed"))
        for name in ("check", "interacting"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name}={getattr(self, name)!r} must be True or False")
        if self.params is not None and not (isinstance(self.params, str) and self.params.strip()):
            raise UsageError(f"params={self.params!r} must be globs of parameter names, such as 'fc*.weight,head.*'")
        whole = "interacting=True" if self.interacting else "mode='train'" if self.mode == "train" else ""
        if whole and self.chunk is not None:
            raise UsageError(f"chunk={self.chunk} would cut the batches that {whole} asks to keep whole; leave it out")
        if self.interacting and (self.examples is not None or self.subsets):
            name = "examples" if self.examples is not None else "subsets"
            raise UsageError(
                f"{name}={getattr(self, name)} would measure parts of batches whose examples interact; leave it out"
            )


def _planes(named: Any) -> str:
    """In the order in which they are drawn."""
    words = [word.strip() for word in named.split(",") if word.strip()] if isinstance(named, str) else [named]
    if unknown := [word for word in words if word not in PLANES]:
        raise UsageError(f"planes={named!r}: {unknown[0]!r} is not one of {', '.join(PLANES)}, separated by commas")
    return ",".join(word for word in PLANES if word in words)
