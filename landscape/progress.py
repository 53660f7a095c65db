"""How a long function reports its progress: the one way for all rooms."""

from __future__ import annotations

from collections.abc import Callable

#: ``progress(done, in all)`` in whatever the function counts: matvecs, points, gradients, steps. What is done only
#: grows; the second is the most that it may take, of which an iteration that converges may leave some.
Progress = Callable[[int, int], None]
