"""The highest loss found in a ball, walked on a few examples and held against all of them.

What an ascent finds is a lower bound wherever it has walked, as long as the loss that is stated is that of all data at
the point found. So the ascents walk on few examples, drawn in proportion to how much they count, and only their ends
are seen by all. There the best goes on: again on few, drawn anew by who counts at that point, with their gradient
turned to what all data have there. Such a walk ends where all data have no slope left, and each of them costs one
gradient over all data. (A model that agrees with what it stands for to first order at the point where it was made, and
is asked to do better there: Alexandrov, Dennis, Lewis, Torczon 1998, Structural Optimization 15.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.geometry.sharpness.ascent import AT_LAST, LONGER, Ball, Maximum, Point, ascend, sharpest_point, start_of
from landscape.geometry.sharpness.examples import Examples
from landscape.objective import Objective
from landscape.operators.core import draw_core

#: Of fewer examples all are walked on.
_FEWEST = 500
#: Examples walked on: this share, within these; steps of each ascent, in those that it had on all.
_SHARE, _LEAST, _MOST, _STEPS = 0.1, 128, 1024, 2
#: By which power of it an example counts that stands for others, where ascents are begun. By all of it, ascents run to
#: where single ones that count much are lost; the best of them, which goes on, is seen without bias.
_POWER = 0.5
#: For the direction that bends most, so many times as many.
_FIRST = 2.0
#: An end is seen again on other examples that is nearly as high as the highest, and elsewhere: below this cosine.
_RIVAL, _ELSEWHERE = 0.7, 0.7
#: How much smaller than asked is what the few may promise; walks that may fail; by what a failure multiplies the few.
_WITHIN, _FAILURES, _GROWTH = 0.3, 2, 2.0
#: A walk has failed that gains no more than this share of the rise.
_GAIN = 1e-4
#: Added to how much each example counts, whose mean is 1: who counts nowhere so far must be drawn now and then too.
_FLOOR = 0.1
#: A loss, in gradients.
LOSS = 1 / 3


class Few:
    """Draws of few examples, and what it costs to see all of them.

    Parameters
    ----------
    ball : Ball
        Around θ, of ``whole``, which is all data.
    spend : callable
        ``spend(cost)`` after each evaluation, in gradients over all data.
    """

    def __init__(
        self, whole: Examples, objective: Objective, ball: Ball, *, seed: int, spend: Callable[[float], None]
    ) -> None:
        self._whole, self._objective, self._spend, self._seed = whole, objective, spend, seed
        self.ball, self._counts = ball, whole.sizes
        self._theta = Point(torch.zeros_like(ball.theta), 0.0, ball.slope)
        self.size = min(max(round(_SHARE * objective.num_examples), _LEAST), _MOST)
        self.drawn: list[int] = []
        self.height(self.ball.random_point(0, seed))  # where losses have no slope at θ, who bends is seen beside it

    def draw(self, at: Point | None = None, *, times: float = 1.0) -> Ball:
        """The ball as few examples see it; ``at`` a point, with the rise and gradient that all of them have there."""
        state = np.random.SeedSequence(self._seed, spawn_key=(4, len(self.drawn) + 1)).generate_state(1)
        draw = draw_core(self._counts + _FLOOR, round(times * self.size), seed=int(state[0]))
        self.drawn.append(draw.size)
        few = Examples.drawn(self._objective, draw.strata, power=_POWER if at is None else 1.0)
        return self.ball.seen_by(few, at=at or self._theta, tick=lambda: self._spend(few.share))

    def height(self, z: Tensor) -> float:
        """The rise of all data at a point, whose examples count from now on."""
        ball = self.ball
        loss = self._whole.loss(ball.theta + ball.scale * z)
        ball.undefined = ball.undefined or math.isnan(loss)
        self._spend(LOSS)
        self.note()
        return loss - ball.base

    def note(self) -> None:
        """Examples that count where all data were seen last are drawn from now on."""
        self._counts = np.maximum(self._counts, self._whole.sizes)

    @property
    def is_most(self) -> bool:
        """Whether more than half of all would be drawn."""
        return 2 * self.size > self._objective.num_examples


def few_of(
    objective: Objective,
    theta: Tensor,
    scale: Tensor,
    *,
    rho: float,
    p: float,
    seed: int,
    spend: Callable[[float], None],
) -> Few | None:
    """None where examples cannot be drawn by how much they count, or are few."""
    if not (objective.can_pick and objective.module.is_separable and objective.num_examples >= _FEWEST):
        return None
    try:
        whole = Examples.all_of(objective)
        ball = Ball(whole, theta, scale, rho=rho, p=p, tick=lambda: spend(1.0))
        few = Few(whole, objective, ball, seed=seed, spend=spend)
    except (LandscapeError, RuntimeError, NotImplementedError, TypeError, ValueError):
        return None  # and who asks all of the data sees what is wrong
    return few if len(whole.sizes) == objective.num_examples and math.isfinite(few.ball.base) else None


def highest_on_few(few: Few, *, restarts: int, steps: int, seed: int, left: Callable[[], float]) -> Maximum:
    """As :func:`~landscape.geometry.sharpness.ascent.highest`; ``left()`` says how many gradients may still be made."""
    ball = few.ball
    ends: list[tuple[float, Tensor]] = []
    for index in range(restarts):
        view = few.draw(times=_FIRST if index == 0 else 1.0)
        start = sharpest_point(view, steps=steps, seed=seed) if index == 0 else start_of(view, index, seed)
        found = ascend(view, start, steps=_STEPS * steps)
        ends.append((few.height(found.z), found.z))
        ball.undefined = ball.undefined or view.undefined
    rivals = _rivals(ends)
    if len(rivals) > 1:
        view = few.draw()
        for index in rivals:
            found = ascend(view, view.point(ends[index][1]), steps=_STEPS * steps)
            ends[index] = max(ends[index], (few.height(found.z), found.z), key=lambda end: end[0])
        ball.undefined = ball.undefined or view.undefined
    rises = [rise for rise, _ in ends]
    first = max(range(restarts), key=lambda index: rises[index])
    if ball.undefined:
        return Maximum(rises, settled=False)
    best = _settle(few, ball.point(ends[first][1]), steps=steps, left=left)
    rises[first] = max(rises[first], best.rise)
    return Maximum(rises, ball.settled(best))


def _rivals(ends: list[tuple[float, Tensor]]) -> list[int]:
    """The highest end and those nearly as high that are elsewhere."""
    order = sorted(range(len(ends)), key=lambda index: -ends[index][0])
    kept: list[int] = []
    for index in order:
        rise, z = ends[index]
        apart = all(float(torch.cosine_similarity(z, ends[other][1], dim=0)) < _ELSEWHERE for other in kept)
        if apart and rise >= _RIVAL * ends[order[0]][0]:
            kept.append(index)
    return kept


def _settle(few: Few, best: Point, *, steps: int, left: Callable[[], float]) -> Point:
    """From one point of all data to the next, each found on few; by steps on all data where that does not lead up."""
    ball, failures = few.ball, 0
    few.note()
    while failures < _FAILURES and not few.is_most and not ball.undefined and left() > LONGER * steps / 2:
        if ball.settled(best, AT_LAST):
            return best
        view = few.draw(best)
        end = ascend(view, best, steps=_STEPS * steps, within=_WITHIN * AT_LAST)
        ball.undefined = ball.undefined or view.undefined
        if ball.undefined:
            break
        there, before = ball.point(end.z), best.rise
        few.note()
        best = max(best, there, key=lambda point: point.rise)
        if best.rise - before <= _GAIN * abs(best.rise):
            failures += 1
            few.size = round(_GROWTH * few.size)
    if failures and ball.settled(best):  # at a kink the slope stays, and walks lead nowhere
        return best
    return ascend(ball, best, steps=min(LONGER * steps, int(left())), within=AT_LAST)
