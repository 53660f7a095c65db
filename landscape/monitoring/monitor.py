"""Curvature along a training, measured in its loop within a share of its time."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from torch import Tensor, nn

from landscape import distributed
from landscape.checks import check_count, check_seed, check_share
from landscape.device import synchronize, widened
from landscape.errors import in_one_line
from landscape.monitoring.budget import Allowance, Clock, Stopwatch
from landscape.monitoring.measures import NAMES, Look, Measure, Products, is_finite, make_measures
from landscape.monitoring.results_file import MonitorFile
from landscape.monitoring.subset import describe_data, fixed_subset
from landscape.objective import Objective
from landscape.results import PointValue, Record

#: A loss, in gradients.
_LOSS = 0.4

T = TypeVar("T")
Log = Callable[[dict[str, float]], Any]


class Monitor:
    """Measures curvature now and then while a model is trained, on a few fixed examples, within a share of its time.

    ``step()`` is called after each step of the optimizer. It measures when the share of the training time so far leaves
    room for what a measurement takes, never earlier, and then all measures at once; otherwise it returns at once. The
    training is not changed by it: parameters, gradients, modes and random numbers are as they were. When it measures
    depends on the machine's speed; what a measurement gives depends on it only through where an iteration starts.

    Loss, gradient norm and all measures are of the subset, in eval mode, and are called that: λ_max of a few examples
    is not that of all.

    Parameters
    ----------
    model : nn.Module or Objective
        An Objective brings its loss and data.
    loss_fn, data
        As :class:`landscape.Objective` takes them. Of large data only the subset is read.
    every : int
        Fewest steps from one measurement to the next.
    measures : sequence of str or callables
        Of ``"lambda_max"`` (with its residual), ``"trace"`` (with its standard error), ``"critical_sharpness"`` (2/η_c
        of the last update, with its bracket), and functions ``f(objective) -> number or Estimate`` of your own.
    budget : float
        Share of the training time that measuring may take; recording products, where the route does, is part of it.
        The rest of making the monitor is not: ``setup_seconds``.
    optimizer : torch.optim.Optimizer, optional
        Whose updates the critical sharpness is of; left out, it is along the gradient.
    log : callable, optional
        Called with each dict, such as ``wandb.log``.
    out : path, optional
        A folder for ``results.h5``, which ``landscape show`` and ``landscape report`` read. One run in one folder.
    run : str
        The name of the run in it; left out, that of the folder.
    config : mapping, optional
        What is said of the run in it: ``optimizer``, ``lr``, ``seed``, ``label``, ``problem``.
    subset : int
        Examples, drawn once.
    route : str
        Of the Hessian-vector products, as :class:`landscape.HessianOperator` has it. Kept graphs need no recording.
    seed : int
        Of the subset and of all random vectors.
    check : bool
        Examine the loss first, as :class:`landscape.Objective` does.

    Attributes
    ----------
    last : dict or None
        The last measurement.
    history : list of dict
        All of them.
    share : float
        Of the training time so far, what this has taken.

    Raises
    ------
    UsageError, ObjectiveError
        For arguments outside their ranges, and where model, loss and data are no well-posed question. In the loop
        nothing is raised but what ``log`` raises and that results cannot be stored.

    Warns
    -----
    RuntimeWarning
        Once for each measure that cannot be measured; training goes on.

    Examples
    --------
    >>> import torch
    >>> import landscape as ls
    >>> model = torch.nn.Linear(2, 1)
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> monitor = ls.Monitor(model, torch.nn.functional.mse_loss, (x, x[:, :1]), measures=["lambda_max"])
    >>> sorted(monitor.measure())[:3]
    ['landscape/gradient_norm', 'landscape/lambda_max', 'landscape/lambda_max_converged']
    """

    @distributed.alone()  # in a training on several ranks, any of them may monitor
    def __init__(
        self,
        model: nn.Module | Objective,
        loss_fn: Any = None,
        data: Any = None,
        *,
        every: int = 1,
        measures: Iterable[str | Callable[[Objective], Any]] = NAMES,
        budget: float = 0.02,
        optimizer: Any = None,
        log: Log | None = None,
        out: str | Path | None = None,
        run: str = "",
        config: Mapping[str, Any] | None = None,
        subset: int = 32,
        route: str = "retained",
        seed: int = 0,
        check: bool = True,
        clock: Clock = time.perf_counter,
    ) -> None:
        started = clock()
        self._every, self._seed = check_count("every", every), check_seed(seed)
        budget = check_share("budget", budget, hint="0.02, not 2")
        self._measures = make_measures(measures, self._seed)
        size = check_count("subset", subset)
        self.objective = fixed_subset(model, loss_fn, data, size=size, seed=self._seed, check=check)
        self._products = Products(self.objective, route)
        self._optimizer, self._log, self._clock = optimizer, log, clock
        self._step, self._measured_at = 0, -self._every
        self._before: Tensor | None = None
        self._rate: float | None = None
        self._refused: set[str] = set()
        self.last: dict[str, float] | None = None
        self.history: list[dict[str, float]] = []
        self._watch = Stopwatch(clock)
        self._allowance = Allowance(budget, self._expected())
        self._file = None
        if out is not None:
            about = self._about(dict(config or {}))
            self._file = MonitorFile(out, run, self.objective, about, seed=self._seed, route=route)
        self.setup_seconds = clock() - started
        self._watch.start()

    @property
    def share(self) -> float:
        """Time spent here ÷ training time so far."""
        return self._watch.share

    @property
    def expected_seconds(self) -> float:
        """What the next measurement should take at most; ``÷ budget`` it is the training time between two."""
        return self._allowance.expected

    def step(self, step: int | None = None) -> dict[str, float] | None:
        """To be called after each step of the optimizer.

        Parameters
        ----------
        step : int, optional
            Steps made so far; left out, they are counted.

        Returns
        -------
        dict or None
            ``{"step": 1200, "landscape/lambda_max": 31.9, "landscape/lambda_max_error": 0.13, …}`` where it measured.
        """
        with self._watch.inside(after_a_step=True):
            self._step = self._step + 1 if step is None else check_count("step", step, least=0)
            if self._before is not None:
                return self._measure()
            if self._step - self._measured_at < self._every or not self._allowance.covers_one(self._watch):
                return None
            if self._needs_a_step():
                self._keep()
                return None
            return self._measure()

    def measure(self) -> dict[str, float] | None:
        """Measure now, whatever the share; it is paid for by measuring later. No critical sharpness of an update.

        None where the loss itself cannot be evaluated.
        """
        with self._watch.inside(after_a_step=False):
            return self._measure()

    def close(self) -> None:
        """Make ``results.h5`` of what was stored."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(measure.name for measure in self._measures)
        return (
            f"Monitor({names} on {describe_data(self.objective)}, {len(self.history)} measurements, "
            f"{100 * self.share:.2f} % of the training time)"
        )

    # --- measuring ------------------------------------------------------------------------------------------------

    def _needs_a_step(self) -> bool:
        """Whether the update is asked for, which is known only when it was made."""
        return self._optimizer is not None and any(m.name == "critical_sharpness" for m in self._measures)

    def _keep(self) -> None:
        self._before = self.objective.theta
        self._rate = float(self._optimizer.param_groups[0]["lr"])

    @distributed.alone()
    def _measure(self) -> dict[str, float] | None:
        synchronize(self.objective.device)  # what training has queued is training's
        started = self._clock()
        self._measured_at = self._step
        look = self._tried("the loss", self._look)
        if look is None:
            return None
        numbers: dict[str, float] = {"loss": look.point.loss, "gradient_norm": look.point.grad_norm}
        records: dict[str, Record] = {"point": look.point}
        seconds = {"point": self._clock() - started}
        for measure in self._measures if is_finite(look.point) else ():
            began = self._clock()
            record = self._tried(measure.name, partial(self._record, measure, look))
            if record is not None:
                look.found[measure.record] = records[measure.record] = record
                seconds[measure.record] = self._clock() - began
                numbers |= measure.numbers(record)
        if self._file is not None:
            self._file.write(self._step, records, seconds)
        took = self._clock() - started
        self._allowance.note(took)
        numbers["seconds"] = took
        share = (self._watch.spent + took) / self._watch.trained if self._watch.trained > 0 else math.nan
        # Before any step there is no share.
        numbers |= {} if math.isnan(share) else {"share": share}
        return self._hand_out({f"landscape/{name}": value for name, value in numbers.items()})

    def _look(self) -> Look:
        theta = self.objective.theta
        loss, gradient = self.objective.loss_and_gradient(theta)
        point = PointValue(loss, float(widened(gradient).norm()), float(widened(theta).norm()))
        look = Look(self.objective, self._products, self._step, self._seed, theta, point, gradient)
        look.before, look.rate = self._before, self._rate
        self._before = self._rate = None
        return look

    def _record(self, measure: Measure, look: Look) -> Record | None:
        if measure.name == "critical_sharpness" and self._optimizer is not None and look.before is None:
            return None
        return measure.measure(look)

    def _tried(self, what: str, work: Callable[[], T]) -> T | None:
        """What fails at one point must not end the training, and may succeed at another."""
        try:
            return work()
        except Exception as error:
            if what not in self._refused:
                self._refused.add(what)
                warnings.warn(
                    f"{what} could not be measured at step {self._step}: {in_one_line(error)}. Training goes on; it is "
                    "tried again, and this is not said again",
                    RuntimeWarning,
                    stacklevel=4,
                )
            return None

    def _hand_out(self, numbers: dict[str, float]) -> dict[str, float]:
        found = {"step": self._step, **numbers}
        self.last = found
        self.history.append(found)
        if self._log is not None:
            self._log(dict(found))
        return dict(found)

    def _expected(self) -> float:
        """What the first measurement should take, from each kind of work timed once, after once to warm up.

        Making the products, by whatever recording that takes, is measuring, and is counted as that.
        """
        gradient = self._seconds(self.objective.gradient)
        losses = sum(measure.losses for measure in self._measures)
        seconds = gradient * (1 + _LOSS * losses)
        if products := sum(measure.products for measure in self._measures):
            theta = self.objective.theta
            with self._watch.inside(after_a_step=False):
                seconds += self._seconds(lambda: self._products.at(theta))
                H = self._products.at(theta)
                seconds += products * self._seconds(lambda: H @ theta)
        return seconds

    def _seconds(self, work: Callable[[], object]) -> float:
        work()
        started = self._clock()
        work()
        return self._clock() - started

    def _about(self, config: dict[str, Any]) -> dict[str, Any]:
        """What the results file says of the run."""
        found: dict[str, Any] = {"problem": type(self.objective.module.model).__name__}
        if self._optimizer is not None:
            name = type(self._optimizer).__name__.lower()
            found |= {"optimizer": name, "lr": float(self._optimizer.param_groups[0]["lr"])}
        known: dict[str, Any] = {key: config[key] for key in ("optimizer", "lr", "seed", "problem") if key in config}
        return found | known | {"config": config}
