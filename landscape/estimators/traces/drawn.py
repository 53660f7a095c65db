"""Sums over examples, estimated from examples and probes drawn together: an integrand times a sampler.

A term of the operator (``landscape.operators.by_example``) is the integrand. The sampler here decides how many examples
of each term make one sample, and whether a term is had exactly for less; samples are independent, and their spread is
all that chance does, of data and probes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.estimators.probes import probe
from landscape.operators.by_example import SumsOverExamples, Term
from landscape.progress import Progress

Array = np.ndarray

#: Samples that show the first variances, thrown away: what they decide must not depend on what is counted. Together
#: they take no more than ``PILOT_SHARE`` times the examples there are; where these are few, as many times all of them.
PILOT, PILOT_EXAMPLES, PILOT_SHARE = 12, 32, 4
#: Samples that the work is cut into, where it is enough; Student's t is then 4 % wider than the normal.
SAMPLES = 32
#: Fewer have too uncertain a spread to stop at.
FEWEST = 12
#: Bytes of samples that are made at once.
MOST_HELD = 1 << 26


def pilot_examples(num_examples: int) -> int:
    """Examples that the pilot visits of each term."""
    return min(PILOT * PILOT_EXAMPLES, PILOT_SHARE * num_examples)


@dataclass
class Share:
    """What one term adds to each sample.

    Attributes
    ----------
    variance : float
        Of what one drawn example contributes, by the pilot: of a sample of n examples it is this over n.
    count : int
        Examples in each sample; 0 where it is exact.
    least : int
        Where examples are few, so many make a sample at least: each of them once.
    """

    term: Term
    variance: float = 0.0
    count: int = 0
    least: int = 0
    exact: Array | None = None


class Sampler:
    """Independent samples of a sum over examples.

    Parameters
    ----------
    sums : SumsOverExamples
    seed : int
    size_of : callable
        ``size_of(samples (R, K or P)) -> float``: the variance that counts, such as that of the trace.
    progress : callable, optional
        Called as ``progress(matvecs done, at most)``.
    """

    def __init__(
        self,
        sums: SumsOverExamples,
        *,
        seed: int,
        size_of: Callable[[Array], float],
        limit: float,
        progress: Progress | None = None,
    ) -> None:
        self.sums, self._seed, self._size_of, self._progress = sums, seed, size_of, progress
        self.shares = [Share(term) for term in sums.terms]
        self.limit = limit * sums.num_examples
        self._made, self.number = 0, SAMPLES

    @property
    def products(self) -> float:
        """Matvecs over the whole data, those on a part of it by their share."""
        return self.sums.work / self.sums.num_examples

    @property
    def matvecs(self) -> int:
        """The same, rounded up."""
        return math.ceil(self.products - 1e-9)

    def pilot(self) -> Array:
        """Variances from a few small samples of each term; their mean."""
        total = np.zeros(self.sums.terms[0].width)
        for place, share in enumerate(self.shares):
            term, number, count = share.term, PILOT, max(1, pilot_examples(self.sums.num_examples) // PILOT)
            if term.is_of_few:
                number, count = PILOT_SHARE, self.sums.num_examples
                share.least = count  # each is in every sample
            elif term.cell > 1:  # a probe is more to chance than how many examples share it
                count = term.cell
            samples = self._drawn(place, count, PILOT_KEY, range(number))
            share.variance = self._size_of(samples) * count
            total += samples.mean(axis=0)
            self._report()
        return total

    def variance_for(self, budget: float) -> float:
        """Of the mean, by the pilot, if a budget of example-products is spent on drawn examples."""
        return sum(self._roots(self.shares)) ** 2 / budget if budget > 0 else math.inf

    def settle(self, variance: float | None, budget: float) -> None:
        """How many examples of each term make a sample: for a variance of the mean, or for a budget.

        Cheapest is ``n ∝ √(variance / cost)`` (Neyman 1934, J. R. Stat. Soc. 97). A term that costs no more exactly is
        made so, and what is left of the budget is the others'.
        """
        while True:
            drawn = [share for share in self.shares if share.exact is None]
            works = self._works(drawn, variance, budget)
            cheap = next((s for s, w in zip(drawn, works, strict=True) if s.term.exact_work <= min(w, budget)), None)
            if cheap is None:
                break
            cheap.exact = cheap.term.exact()
            budget -= cheap.term.exact_work
            self._report()
        pairs = zip(drawn, works, strict=True)
        sweeps = [min(w, budget) / (s.least * s.term.each) if s.least else float(SAMPLES) for s, w in pairs]
        self.number = min(SAMPLES, max(FEWEST, math.ceil(max(sweeps, default=0.0))))
        for share, work in zip(drawn, works, strict=True):
            cells = min(work, budget) / share.term.each / share.term.cell / self.number
            share.count = max(share.least, max(1, math.ceil(cells)) * share.term.cell)
            if share.term.cell == 1 and not share.least:
                share.count = max(share.count, PILOT_EXAMPLES)

    def draw(self, number: int) -> Array:
        """Further samples (≤ number, K or P), as far as the limit goes."""
        drawn = [(place, share) for place, share in enumerate(self.shares) if share.exact is None]
        each = sum(share.count * share.term.each for _, share in drawn)
        number = min(number, int((self.limit * (1 + 1e-9) - self.sums.work) / each))
        found = np.zeros((max(number, 0), self.sums.terms[0].width))
        for share in self.shares:
            if share.exact is not None:
                found += share.exact
        held = max(1, MOST_HELD // found[:1].nbytes) if number > 0 else 1
        step = max(1, min(held, int(self.sums.num_examples / each)))
        for first in range(0, number, step):
            rows = range(first, min(first + step, number))
            for place, share in drawn:
                numbers = range(self._made + rows.start, self._made + rows.stop)
                found[rows.start : rows.stop] += self._drawn(place, share.count, SAMPLE_KEY, numbers)
            self._report()
        self._made += len(found)
        return found

    def method(self) -> str:
        """What was done, for the record."""
        texts = []
        for share in self.shares:
            name = share.term.name
            texts.append(
                f"{name} exact" if share.exact is not None else f"{name} from {share.count * self._made} examples"
            )
        if [share.term.name for share in self.shares] == ["G"]:
            texts.append("nothing of R seen")
        return ", ".join(texts)

    @property
    def is_exact(self) -> bool:
        """Whether nothing is left to chance."""
        return all(share.exact is not None for share in self.shares)

    def _works(self, shares: Sequence[Share], variance: float | None, budget: float) -> list[float]:
        """Example-products of each term, at most the budget together."""
        roots = self._roots(shares)
        total = sum(roots)
        if total == 0:
            return [0.0] * len(roots)
        most = budget if variance is None else min(budget, total**2 / variance) if variance > 0 else budget
        return [most * root / total for root in roots]

    @staticmethod
    def _roots(shares: Sequence[Share]) -> list[float]:
        return [math.sqrt(share.variance * share.term.each) for share in shares]

    def _drawn(self, place: int, count: int, key: int, numbers: Sequence[int]) -> Array:
        """Samples of one term with these numbers, each of ``count`` examples, made together."""
        term, theta, made = self.shares[place].term, self.sums.theta, []
        for number in numbers:
            rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(key, place, number)))
            made.append(term.sample(count, rng, partial(_signs, int(rng.integers(1 << 40)), theta, self._seed)))
        samples = term.samples(made)
        if not np.isfinite(samples).all():
            raise LandscapeError(
                f"a sample of {term.name} from {count} examples holds NaN or infinity. Check the loss and "
                "its gradient at this point; where they are finite, try float64"
            )
        return samples

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self.matvecs, max(self.matvecs, math.ceil(self.limit / self.sums.num_examples)))


PILOT_KEY, SAMPLE_KEY = 101, 102


def _signs(first: int, theta: Tensor, seed: int, index: int) -> Tensor:
    return probe(first + index, theta.numel(), seed=seed, dtype=theta.dtype, device=theta.device)
