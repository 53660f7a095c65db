"""How thoroughly to measure: named plans, and single settings that overrule them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from landscape.checks import check_choice, check_count, check_seed, check_share
from landscape.errors import UsageError

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "last": 3, "levels": 1, "eigs": 2, "trace_probes": 8, "density_probes": 2, "steps": 20, "points": 15,
        "plane_points": 11, "directions": 3, "samples": 6, "restarts": 1, "subsets": 0, "barriers": 4, "tol": 5e-2,
        "max_matvecs": 300,
    },
    "standard": {
        "last": 5, "levels": 1, "eigs": 5, "trace_probes": 32, "density_probes": 8, "steps": 64, "points": 41,
        "plane_points": 31, "directions": 5, "samples": 16, "restarts": 3, "subsets": 4, "barriers": 10, "tol": 1e-3,
        "max_matvecs": 500,
    },
    "thorough": {
        "last": 20, "levels": 4, "eigs": 20, "trace_probes": 128, "density_probes": 16, "steps": 100, "points": 101,
        "plane_points": 51, "directions": 10, "samples": 64, "restarts": 5, "subsets": 8, "barriers": 50, "tol": 1e-4,
        "max_matvecs": 3000,
    },
}  # fmt: skip

AS_PLANNED: Any = None  # a field left out: the named plan fills it in


@dataclass(frozen=True)
class Plan:
    """What ``analyze`` measures, and how accurately. A field left out (None) is as the named plan says.

    Attributes
    ----------
    plan : {"quick", "standard", "thorough"}
    last : int
        Checkpoints of each run, counted from its end; the last gets every quantity, the earlier ones λ_max, spectral
        gap and gradient norm.
    levels : int
        Training losses at which groups of runs are compared: the lowest that most of them reach, by the losses that
        training saved, and others above it. The two checkpoints of each run around each are measured too: λ_max, gap
        and gradient norm, around the lowest trace and sharpness, too. 0 leaves that out.
    eigs : int
        Eigenpairs from each end of the spectrum at the last checkpoint; from four on, slices go along two of them.
    tol : float
        Relative residual at which an eigenpair counts as converged.
    max_matvecs : int
        Where Lanczos gives up.
    trace_probes : int
        Probes of the trace besides the eigenpairs: one matvec each; the error falls with their square root.
    density_probes, steps : int
        Probes and Lanczos steps of the spectral density; their product is its matvecs.
    points, plane_points : int
        Points along a line, and along each side of the plane; odd.
    directions : int
        Random filter-normalised directions.
    samples, restarts : int
        Pairs of random displacements for each average sharpness (2 losses a pair); starts of the ascent for each
        worst-case sharpness and Keskar's (about 10 gradients a start).
    barriers : int
        Pairs of minima (same seed, other optimizer) to interpolate between, at most.
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
    >>> Plan("quick").density_probes, Plan("quick", density_probes=6).density_probes
    (2, 6)
    """

    plan: str = "standard"
    last: int = AS_PLANNED
    levels: int = AS_PLANNED
    eigs: int = AS_PLANNED
    trace_probes: int = AS_PLANNED
    density_probes: int = AS_PLANNED
    steps: int = AS_PLANNED
    points: int = AS_PLANNED
    plane_points: int = AS_PLANNED
    directions: int = AS_PLANNED
    samples: int = AS_PLANNED
    restarts: int = AS_PLANNED
    subsets: int = AS_PLANNED
    barriers: int = AS_PLANNED
    tol: float = AS_PLANNED
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
    interacting: bool = False
    batch_statistics: str | None = None
    check: bool = True

    def __post_init__(self) -> None:
        check_choice("plan", self.plan, PRESETS)
        self._check_objective_options()
        preset = PRESETS[self.plan] | ({"subsets": 0} if self.interacting else {})
        preset |= {"barriers": 0} if self.params is not None else {}
        for name, value in preset.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for name, least in LEAST.items():
            object.__setattr__(self, name, check_count(name, getattr(self, name), least=least))
        for name in ("points", "plane_points"):
            if getattr(self, name) % 2 == 0:
                raise UsageError(f"{name}={getattr(self, name)} must be odd, so that the minimum itself is evaluated")
        for name in ("workers", "threads", "examples", "chunk"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, check_count(name, value))
        if self.subsets == 1:
            raise UsageError("subsets=1 has no spread; pass 0 to leave it out, or at least 2")
        object.__setattr__(self, "tol", check_share("tol", self.tol, hint="it is a relative residual"))
        check_choice("dtype", self.dtype, (None, "float32", "float64"))
        object.__setattr__(self, "seed", check_seed(self.seed))

    def fields(self) -> dict[str, Any]:
        """All settings by name."""
        return dataclasses.asdict(self)

    def objective_options(self) -> dict[str, Any]:
        """Those keyword arguments of :class:`landscape.Objective` that were asked for, but for ``check``."""
        given = {"params": self.params, "chunk": self.chunk, "device": self.device}
        options = {name: value for name, value in given.items() if value is not None}
        options |= {} if self.mode == "eval" else {"mode": self.mode}
        return options | ({"interacting": True} if self.interacting else {})

    def _check_objective_options(self) -> None:
        check_choice("mode", self.mode, ("eval", "train"))
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


# One probe has no standard error, so estimates that print one need two.
LEAST = {
    "last": 1, "levels": 0, "eigs": 2, "trace_probes": 2, "density_probes": 1, "steps": 2, "points": 3,
    "plane_points": 3, "directions": 0, "subsets": 0, "samples": 2, "restarts": 1, "barriers": 0, "max_matvecs": 10,
}  # fmt: skip
