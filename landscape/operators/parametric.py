"""Operators on the parameters of an objective, whose rows have names and fall into blocks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.objective import Objective, Vector
from landscape.operators.base import LinearOperator
from landscape.operators.product_error import on_few_examples

Pattern = str | Sequence[str] | nn.Module
Groups = str | Sequence[Pattern] | Mapping[str, Pattern]


class ParametricOperator(LinearOperator):
    """A symmetric operator on θ, at one point of an objective.

    A subclass defines ``_matvec``, and ``_like(objective, theta)``: the same operator with the same settings for a loss
    of fewer parameters.

    Attributes
    ----------
    objective : Objective
    theta : (P,) tensor
    """

    def __init__(self, objective: Objective, theta: Vector | None) -> None:
        super().__init__(objective.layout.size, dtype=objective.dtype, device=objective.device)
        self.objective = objective
        self.theta: Tensor = objective.point(theta)

    @property
    def resolution(self) -> float:
        """Relative rounding error of a product, as the objective knows it."""
        return self.objective.resolution

    def product_error(self, v: Tensor, *, seed: int = 0) -> Tensor | None:
        """What rounding in float32 adds to a product: on up to 32 examples, in float64 and as it is."""
        return on_few_examples(self, v, seed=seed)

    def _plainly(self, objective: Objective, theta: Tensor) -> LinearOperator:
        """The same operator for another objective, for one product."""
        return self._like(objective, theta)

    @abstractmethod
    def _like(self, objective: Objective, theta: Tensor) -> ParametricOperator:
        """The same operator for another objective and point."""

    def at(self, theta: Vector) -> ParametricOperator:
        """The same operator at another point."""
        return self._like(self.objective, self.objective.point(theta))

    def block(self, pattern: Pattern) -> ParametricOperator:
        """The diagonal block of some parameters: the operator of L in them alone, the others fixed where they are.

        Parameters
        ----------
        pattern : str, sequence of str, or nn.Module
            Globs of names, or a module of the model: all parameters in it.

        Raises
        ------
        UsageError
            If nothing matches, with the names there are.
        """
        part = self.objective.restricted(names_of(self.objective, pattern), at=self.theta)
        return self._like(part, part.layout.flatten(self.objective.layout.unflatten(self.theta)))

    def blocks(self, groups: Groups = "tensor") -> dict[str, LinearOperator]:
        """The diagonal blocks of groups that together are θ, by name.

        Parameters
        ----------
        groups : "tensor", "module", sequence or mapping
            ``"tensor"``: every parameter tensor by itself. ``"module"``: what belongs to one module directly, such as
            its weight and bias. Otherwise globs or modules; a mapping gives them names.

        Raises
        ------
        UsageError
            If a parameter is in two groups or in none.
        """
        return {name: self.block(names) for name, names in partition(self.objective, groups).items()}


def names_of(objective: Objective, pattern: Pattern) -> list[str]:
    """Names in θ that a glob, several globs, or a module of the model stands for; in the order of θ."""
    if not isinstance(pattern, nn.Module):
        return objective.layout.select(pattern)
    inside = {id(parameter) for parameter in pattern.parameters()}
    named = dict(objective.parts().model.named_parameters())
    chosen = [name for name in objective.layout.names if id(named[name]) in inside]
    if not chosen:
        raise UsageError(
            f"no parameter of θ is in this {type(pattern).__name__}; pass a module of the objective's own model, with "
            f"trainable parameters, or a glob over {', '.join(objective.layout.names[:8])}"
        )
    return chosen


def partition(objective: Objective, groups: Groups) -> dict[str, list[str]]:
    """Names of θ by group: every name in exactly one group."""
    names = objective.layout.names
    if isinstance(groups, str):
        check_choice("groups", groups, ("tensor", "module"))
        found: dict[str, list[str]] = {}
        for name in names:
            owner = name.rpartition(".")[0] if groups == "module" else name
            found.setdefault(owner or "(model)", []).append(name)
        return found
    given = groups if isinstance(groups, Mapping) else {_title(objective, p): p for p in groups}
    found = {title: names_of(objective, pattern) for title, pattern in given.items()}
    homes: dict[str, list[str]] = {name: [] for name in names}
    for title, members in found.items():
        for name in members:
            homes[name].append(title)
    for name, titles in homes.items():
        if len(titles) != 1:
            where = f"in {len(titles)} groups ({', '.join(titles)})" if titles else "in no group"
            raise UsageError(f"{name} is {where}; groups must hold every parameter of θ exactly once")
    return found


def _title(objective: Objective, pattern: Pattern) -> str:
    if isinstance(pattern, nn.Module):
        paths = {id(module): path for path, module in reversed(list(objective.parts().model.named_modules()))}
        return paths.get(id(pattern)) or type(pattern).__name__
    return pattern if isinstance(pattern, str) else ",".join(pattern)
