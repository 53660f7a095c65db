"""How long the work of a run should take: a guess at once, then what a chunk took, then what each measurement did."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from landscape import distributed
from landscape.analysis.amounts import time_text
from landscape.analysis.context import CheckpointContext
from landscape.analysis.costs import Cost
from landscape.device import CPU, peak_bytes, peak_of_process, synchronize
from landscape.estimators.eigen.choose_core import is_expected
from landscape.estimators.eigen.thick_restart import default_basis
from landscape.estimators.eigen.top import check_request
from landscape.jobs import Reporter

#: Multiplications and additions a second of a core, as models of a few million parameters reach them: the first guess.
RATE = 2e10
#: In gradients, before anything of a run can be measured: examining its loss; trying how to multiply by its Hessian.
CHECKING, PLANNING = Cost(gradients=4), Cost(gradients=10)
#: Vectors as long as θ that measuring the rounding of eigenpairs takes, in float64; and that a product takes by itself.
OF_ROUNDING, OF_A_PRODUCT = 22, 4
#: Products that eigenpairs take from scratch, and more for each: 44 and 50 were seen for two from either end.
STEPS, EACH_STEPS = 24, 6.5
#: A loss over all data that takes so many seconds is timed before anything else is.
SLOW = 5.0
#: Seconds from which on a part of it says how long all of it takes.
ENOUGH = 0.2
_EXPECTED = re.compile(r"expected: about (\d+) s, (\d+) MB")


@dataclass
class Clock:
    """Expected seconds of a run's work: what is done of it, and what is left.

    Attributes
    ----------
    left : Cost
        What is still to be done.
    done, shown : float
        Seconds that what is done should have taken, by what was known then; the most that was reported.
    seconds_per : Cost
        Of one product, gradient and loss over the whole data.
    device : torch.device
        Whose memory is meant.
    vector, num_vectors : float, int
        Bytes of a vector as long as θ, and how many eigenpairs will be held.
    has_core : bool
        Whether those are looked for on a part of the data first.
    of_subset : float
        Bytes that products on a subset of the data will keep, beside those on all.
    """

    reporter: Reporter | None
    left: Cost = field(default_factory=Cost)
    done: float = 0.0
    shown: float = 0.0
    seconds_per: Cost = field(default_factory=lambda: Cost(0.2, 0.1, 0.03))
    vector: float = 0.0
    device: torch.device = CPU
    num_vectors: int = 0
    of_subset: float = 0.0
    has_core: bool = False
    _since: tuple[float, float] = (0.0, 0.0)
    _is_said: bool = False

    def expected(self, cost: Cost) -> float:
        """Seconds that a cost should take on this machine."""
        return cost.at(self.seconds_per)

    def show(self, doing: str, ahead: float = 0.0) -> None:
        """Update the reporter; ``ahead`` seconds of the current measurement are done."""
        done = self.shown = max(self.done + ahead, self.shown)
        if self.reporter is not None:
            self.reporter.update(done=done, total=max(self.done + self.expected(self.left), done), doing=doing)

    def finish(self, cost: Cost, *, skipped: bool = False) -> None:
        """A cost that was left is no more: it was paid, or there was no need."""
        # Not behind what was shown of it, where it went faster than expected.
        self.done = max(self.done + (0.0 if skipped else self.expected(cost)), self.shown)
        rest = self.left - cost
        self.left = Cost(max(rest.matvecs, 0), max(rest.gradients, 0), max(rest.losses, 0))

    def guess(self, num_parameters: int, num_examples: int) -> None:
        """Before anything is evaluated: six operations per parameter and example make a gradient."""
        self.vector = 4.0 * num_parameters
        gradient = max(6.0 * num_parameters * num_examples / RATE, 1e-4)
        self.seconds_per = Cost(matvecs=2 * gradient, gradients=gradient, losses=gradient / 3)

    def hear(self, run: str, text: str, share: float = 0.0) -> None:
        """What set-up begins, or how much of a loss over all data is done: the first time that is measured.

        Where that loss takes long, what all should take is said before a gradient is made.
        """
        is_all = share > 1 - 1e-9
        if share == 0:
            self._since = time.perf_counter(), 0.0
        elif self._since[1] == 0 and not is_all:  # what the first chunk took holds all that happens once
            self._since = time.perf_counter(), share
        elif (taken := time.perf_counter() - self._since[0]) > ENOUGH or is_all:
            loss = taken / (share - self._since[1])
            self.seconds_per = Cost(matvecs=6 * loss, gradients=3 * loss, losses=loss)
            if loss > SLOW and not self._is_said:
                self._is_said = True
                self.show(f"{run}  {self.expectation()}")
        self.show(f"{run}  {text}")

    def expectation(self) -> str:
        """What should still be taken, of time and of memory: the most that was used so far, and vectors to come."""
        return expectation(self.expected(self.left), used_so_far(self.device) + self.to_come() + self.of_subset)

    def to_come(self) -> float:
        """Bytes of vectors as long as θ: of the eigenpairs and of the bases they take, of which ranks hold slices."""
        pairs, group = self.num_vectors, distributed.current()
        most = default_basis(int(self.vector // 4), pairs, 8 if self.has_core else 4)
        bases = min(most, STEPS + EACH_STEPS * pairs)  # a vector for each product
        if self.has_core:  # its space fills up; of both, products are held too, and blocks of directions beside them
            bases = 2 * most + 2 * min(most, 4 * pairs) + 4 * pairs
        in_slices = (bases + 1 + 2.5 * pairs) / (1 if group is None else group.world)
        return self.vector * max(in_slices + OF_A_PRODUCT, pairs + OF_ROUNDING)

    def agree(self) -> None:
        """Take rank 0's times, where several ranks go by them."""
        self.seconds_per = distributed.agreed(self.seconds_per, "what things take")

    def calibrate(self, context: CheckpointContext) -> None:
        """Time a loss and a gradient on one chunk; the product was timed when its route was chosen."""
        objective, hessian = context.objective, context.products
        self.has_core = _draws_core(context)
        part = objective if objective.num_chunks == 1 else objective.on_first(objective.chunk or 1)
        share = objective.num_examples / part.num_examples
        if objective.sums is not None and part is not objective:
            share *= objective.sums.largest
        theta = objective.theta
        if share >= 4:  # what happens once is no matter of all the others
            part.gradient(theta)
        gradient = share * _seconds(lambda: part.gradient(theta), theta.device)
        loss = share * _seconds(lambda: part.loss(theta), theta.device)
        tried = [c.seconds for c in hessian.plan.candidates if c.route == hessian.route]
        self.seconds_per = Cost(tried[0] if tried else 2 * gradient, gradient, loss)
        self.of_subset = context.held_by_products / context.plan.subsets if context.plan.subsets else 0.0

    def learn(self, cost: Cost, seconds: float) -> None:
        """What products took in a measurement that made many of them is what the next ones will take."""
        if cost.matvecs >= 5 and cost.products < 1.5 * cost.matvecs:
            self.seconds_per = Cost(seconds / cost.matvecs, self.seconds_per.gradients, self.seconds_per.losses)


def _draws_core(context: CheckpointContext) -> bool:
    """Whether eigenpairs will be looked for on a part of the data first."""
    H, plan = context.products, context.plan
    request = check_request(
        H, min(plan.eigs, H.dim), which="both", method="lanczos", tol=plan.residual, max_matvecs=plan.max_matvecs,
        seed=plan.seed, negative_tol=plan.residual_of_negative,
    )  # fmt: skip
    return is_expected(H, request)


def expectation(seconds: float, num_bytes: float) -> str:
    """What is reported once, when a run has been timed."""
    return f"expected: about {max(round(seconds), 1)} s, {round(num_bytes / 1e6)} MB"


def expected_in(doing: str, *, jobs: int, at_once: int) -> str | None:
    """The same in words, for so many runs of which so many are measured at once; None where a report is about more.

    >>> expected_in("sgd-s0  expected: about 60 s, 400 MB", jobs=6, at_once=2)
    'expected: about 3 min, 0.8 GB'
    >>> expected_in("sgd-s0  step 600  trace", jobs=6, at_once=2) is None
    True
    """
    found = _EXPECTED.search(doing)
    if found is None:
        return None
    seconds, megabytes = int(found[1]) * jobs / at_once, int(found[2]) * at_once
    size = f"{megabytes / 1e3:.1f} GB" if megabytes >= 100 else f"{megabytes} MB"
    return f"expected: about {time_text(seconds)}, {size}"


def used_so_far(device: torch.device = CPU) -> float:
    """The most bytes that this process has had, on the device if it is no CPU; 0 where the system does not say."""
    seen = peak_bytes(device)
    return float((peak_of_process() if seen is None else seen) or 0)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    started = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - started
