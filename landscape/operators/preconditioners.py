"""The diagonal preconditioner that an adaptive optimizer has built up, from its saved state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from landscape.errors import UsageError
from landscape.params import ParamLayout

State = Mapping[str, Any]


def preconditioner(
    state: Mapping[str, Any],
    layout: ParamLayout,
    *,
    optimizer: str | None = None,
    names: Sequence[str] | None = None,
) -> Tensor:
    """The diagonal of D for which an adaptive optimizer moves θ by ``−η D⁻¹ (momentum of g)``.

    ==================  ==============================================  ==============================================
    optimizer           D                                               stable on a quadratic iff λ_max(D⁻¹H) is below
    ==================  ==============================================  ==============================================
    Adam, AdamW         ``(1 − β₁ᵗ)·(√(v/(1 − β₂ᵗ)) + ε)``              ``(2 + 2β₁)/((1 − β₁)η)``: 38/η at β₁ = 0.9
    RMSprop             ``√v + ε``; centered ``√(v − ḡ²) + ε``          ``2/η``; with momentum μ ``(2 + 2μ)/η``
    Adagrad             ``√(Σg²) + ε``                                  ``2/η``, η with its decay
    ==================  ==============================================  ==============================================

    with t the steps made and v the running mean of squared gradients after them; AMSGrad takes the largest v so far.
    Thresholds hold while D and η stay as they are. Weight decay in the gradient adds ``decay·I`` to H; with decoupled
    decay λ (AdamW) the threshold becomes ``(2 + 2β₁)/((1 − β₁)η) − (1 + β₁)λ/(1 − β₁)``.

    Parameters
    ----------
    state : dict
        ``{"class", "param_groups", "state"}`` as a checkpoint gives it, with parameters by name, or
        ``optimizer.state_dict()``.
    layout : ParamLayout
        Of the objective: which parameters, in which order. The state of others is passed over.
    optimizer : {"Adam", "AdamW", "RMSprop", "Adagrad"}, optional
        Which optimizer, in any case, where ``state`` has no ``"class"``.
    names : sequence of str, optional
        Names in the order in which the optimizer was given its parameters, where its groups have no ``param_names``:
        ``[name for name, _ in model.named_parameters()]``.

    Returns
    -------
    (P,) float64 tensor on the CPU
        The scale of a :class:`PreconditionedOperator`.

    Raises
    ------
    UsageError
        For an optimizer without such a preconditioner, a parameter of θ without state, a state of another shape, or an
        entry that is not positive.

    References
    ----------
    Cohen et al. (2022), Adaptive gradient methods at the edge of stability, arXiv:2207.14484, section 2: P with its
    factor ``1 − β₁ᵗ``, and the threshold for momentum by exponential averaging.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> adam = torch.optim.Adam(model.named_parameters(), betas=(0.9, 0.99), eps=0.5)
    >>> (3 * model.weight.sum()).backward()
    >>> adam.step()  # |g| = 3 after one step: (1 − 0.9)·(3 + 0.5)
    >>> D = preconditioner(adam.state_dict(), ParamLayout.of(model), optimizer="Adam", names=["weight"])
    >>> print(f"{float(D):.4f}")
    0.3500
    """
    build = _builder(optimizer if optimizer is not None else state.get("class"))
    missing = [key for key in ("param_groups", "state") if key not in state]
    if missing:
        raise UsageError(
            f"an optimizer state has 'param_groups' and 'state'; this one has no {' and no '.join(missing)}"
        )
    placed = _by_name(state, names)
    pieces = [
        _piece(build, name, tuple(shape), *placed.get(name, (None, None)))
        for name, shape in zip(layout.names, layout.shapes, strict=True)
    ]
    return torch.cat(pieces)


def _adam(own: State, group: State) -> Tensor:
    beta1, beta2 = (float(beta) for beta in group["betas"])
    steps = float(own["step"])
    squares = own["max_exp_avg_sq"] if group.get("amsgrad") else own["exp_avg_sq"]
    denominator = (_numbers(squares) / (1 - beta2**steps)).sqrt() + float(group["eps"])
    scale: Tensor = (1 - beta1**steps) * denominator
    return scale


def _rmsprop(own: State, group: State) -> Tensor:
    squares = _numbers(own["square_avg"])
    if group.get("centered"):
        squares = (squares - _numbers(own["grad_avg"]) ** 2).clamp_min(0)  # a variance, but for rounding
    return squares.sqrt() + float(group["eps"])


def _adagrad(own: State, group: State) -> Tensor:
    return _numbers(own["sum"]).sqrt() + float(group["eps"])


_BUILDERS: dict[str, Callable[[State, State], Tensor]] = {
    "adam": _adam,
    "adamw": _adam,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
}


def _builder(optimizer: Any) -> Callable[[State, State], Tensor]:
    found = _BUILDERS.get(str(optimizer).lower())
    if found is None:
        what = "the state does not name its optimizer" if optimizer is None else f"{optimizer!r} has no preconditioner"
        raise UsageError(f"{what}; there are Adam, AdamW, RMSprop and Adagrad. Name one with optimizer=")
    return found


def _by_name(state: Mapping[str, Any], names: Sequence[str] | None) -> dict[str, tuple[State | None, State]]:
    """(own state, group) of every parameter, by name."""
    order = iter(names) if names is not None else None
    found: dict[str, tuple[State | None, State]] = {}
    for group in state["param_groups"]:
        keys = list(group["params"])
        if all(isinstance(key, str) for key in keys):
            titles = keys
        elif group.get("param_names"):
            titles = list(group["param_names"])
        elif order is not None:
            titles = [title for _, title in zip(keys, order, strict=False)]
            if len(titles) < len(keys):
                raise UsageError(f"names has {len(names or ())} entries, fewer than the optimizer has parameters")
        else:
            raise UsageError(
                "the optimizer state numbers its parameters; pass names=[name for name, _ in model.named_parameters()] "
                "or whatever the order is in which the optimizer was given them"
            )
        found.update({title: (state["state"].get(key), group) for title, key in zip(titles, keys, strict=True)})
    return found


def _piece(
    build: Callable[[State, State], Tensor],
    name: str,
    shape: tuple[int, ...],
    own: State | None,
    group: State | None,
) -> Tensor:
    """The diagonal for one tensor, flat."""
    if group is None:
        raise UsageError(
            f"the optimizer has no parameter {name!r}; it is of another model or trains another part of it"
        )
    if not own:
        raise UsageError(
            f"the optimizer has no state for {name!r}: it has not made a step on it. Leave it out of θ with params=, "
            "or save the state after a step"
        )
    try:
        scale = build(own, group)
    except KeyError as error:
        raise UsageError(
            f"the optimizer state of {name!r} has no {error}; it has {', '.join(map(str, own))}. Is it the state of "
            "another optimizer?"
        ) from None
    if tuple(scale.shape) != shape:
        raise UsageError(f"the optimizer state of {name!r} has shape {tuple(scale.shape)}, the parameter {shape}")
    if not bool((scale > 0).all()):  # NaN too
        raise UsageError(
            f"the preconditioner of {name!r} is not positive in {int((~(scale > 0)).sum())} of {scale.numel()} "
            "entries: a gradient that was always zero with eps=0, or a damaged state"
        )
    return scale.reshape(-1)


def _numbers(values: Any) -> Tensor:
    return torch.as_tensor(values).detach().to("cpu", torch.float64)
