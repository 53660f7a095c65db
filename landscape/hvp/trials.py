"""What a planner tried and took, as it prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A route as it did on the first chunk.

    Attributes
    ----------
    seconds : float
        Of one product over the whole data, scaled from the chunk; infinite where it could not be made.
    held : int
        Bytes it keeps between products, for the whole data.
    disagreement : float
        Relative distance from double backward.
    preparing : float
        Seconds to record and compile.
    refused : str
        Why it may not be taken; empty where it may.
    """

    route: str
    seconds: float
    held: int = 0
    disagreement: float = 0.0
    preparing: float = 0.0
    refused: str = ""


@dataclass(frozen=True)
class RoutePlan:
    """What was tried, what was taken, and why. Prints as a table."""

    route: str
    reason: str
    expected_matvecs: int
    candidates: tuple[Candidate, ...] = ()

    def __str__(self) -> str:
        lines = [f"route {self.route}: {self.reason}"]
        for c in self.candidates:
            cost = f"{1e3 * c.seconds:9.2f} ms" if c.seconds < float("inf") else "        –   "
            facts = f"{cost}  {c.held / 2**20:8.1f} MiB  off by {c.disagreement:7.1e}  prepared in {c.preparing:5.1f} s"
            lines.append(f"  {c.route:<28}{facts}{'  ' + c.refused if c.refused else ''}")
        return "\n".join(lines)

    __repr__ = __str__
