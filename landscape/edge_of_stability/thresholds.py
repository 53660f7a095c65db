"""The curvature up to which an optimizer is stable on a quadratic, from its settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from landscape.edge_of_stability.settings import Settings, is_decoupled
from landscape.errors import UsageError
from landscape.optimizers import delayed_limit

NO_THRESHOLD = math.nan


def over(numerator: float, eta: float) -> float:
    """A threshold in 1/η; at a learning rate of 0 nothing is unstable."""
    return numerator / eta if eta > 0 else math.inf


@dataclass(frozen=True)
class Threshold:
    """Of which measure it is, its value, NaN where none is known, and its formula or why there is none."""

    measure: str
    value: float
    rule: str


def curvature_threshold(settings: Settings) -> Threshold | None:
    """Of λ_max, or of λ_max(P⁻¹H), where the class is one whose stability on a quadratic is known; else None.

    References: Cohen et al. (2021), ICLR, appendix A, for momentum; Cohen et al. (2022), arXiv:2207.14484, section 2,
    for averages of gradients. Each is where the larger root of the recurrence of one eigenvalue reaches modulus 1, and
    so is what decoupled decay λ takes off. A draft of Kalra et al. (2026) has λ alone there, which at β₁ = 0.9 is a
    nineteenth of it.
    """
    kind = settings.kinds[0] if len(settings.kinds) == 1 else None
    rule = {
        "SGD": _sgd, "Adam": _adam, "AdamW": _adam, "SOAP": _adam, "RMSprop": _rmsprop, "Adagrad": _adagrad,
        "Shampoo": _shampoo, "DelayedSGD": _delayed,
    }.get(str(kind))  # fmt: skip
    if rule is None:
        return None
    try:
        return rule(settings)
    except UsageError as error:  # groups with settings of their own
        measure = "lambda_max" if kind == "SGD" else "preconditioned_sharpness"
        return Threshold(measure, NO_THRESHOLD, str(error))


def batch_threshold(settings: Settings) -> Threshold:
    """Of batch sharpness."""
    measure, eta = "batch_sharpness", settings.lr
    if settings.kinds != ("SGD",):
        return Threshold(measure, NO_THRESHOLD, f"known for SGD, not for {', '.join(settings.kinds)}")
    try:
        beta = float(settings.one("momentum", 0.0))
        settings.one("lr")
    except UsageError as error:
        return Threshold(measure, NO_THRESHOLD, str(error))
    if beta == 0:
        return Threshold(measure, over(2, eta), "2/η")
    low, high = over(2 * (1 - beta), eta), over(2 * (1 + beta), eta)
    words = (
        f"with momentum it lies between 2(1 − β)/η = {low:.4g} of small and 2(1 + β)/η = {high:.4g} of large batches"
    )
    return Threshold(measure, NO_THRESHOLD, words)


def _sgd(settings: Settings) -> Threshold:
    beta, nesterov = float(settings.one("momentum", 0.0)), bool(settings.one("nesterov", False))
    dampening, eta = float(settings.one("dampening", 0.0)) if beta else 0.0, settings.lr
    own_rates = _differs(settings, "lr")
    measure = "preconditioned_sharpness" if own_rates else "lambda_max"
    if beta == 0:
        value, rule = over(2, eta), "2/η"
    elif nesterov:
        value, rule = over(2 + 2 * beta, (1 + 2 * beta) * eta), "(2 + 2β)/((1 + 2β)η)"
    elif dampening:
        value, rule = over(2 + 2 * beta, (1 - dampening) * eta), "(2 + 2β)/((1 − dampening)η)"
    else:
        value, rule = over(2 + 2 * beta, eta), "(2 + 2β)/η"
    if own_rates:  # the operator holds the rates and the decay
        return Threshold(measure, value, rule)
    decay = float(settings.decay_in_gradient().nan_to_num().max())
    return Threshold(measure, value - decay, f"{rule} − λ" if decay else rule)


def _adam(settings: Settings) -> Threshold:
    beta, eta = float(settings.one("betas")[0]), settings.lr
    value, rule = over(2 + 2 * beta, (1 - beta) * eta), "(2 + 2β₁)/((1 − β₁)η)"
    owners = settings.owners.values()
    decays = {float(owner.group.get("weight_decay") or 0) for owner in owners if is_decoupled(owner)}
    if decays and max(decays) > 0:
        value, rule = value - (1 + beta) * max(decays) / (1 - beta), f"{rule} − (1 + β₁)λ/(1 − β₁)"
    return Threshold("preconditioned_sharpness", value, rule)


def _rmsprop(settings: Settings) -> Threshold:
    mu, eta = float(settings.one("momentum", 0.0)), settings.lr
    return Threshold("preconditioned_sharpness", over(2 + 2 * mu, eta), "(2 + 2μ)/η" if mu else "2/η")


def _adagrad(settings: Settings) -> Threshold:
    decay, eta = float(settings.one("lr_decay", 0.0)), settings.lr
    if decay:
        steps = max(float(owner.state.get("step", 0)) for owner in settings.owners.values())
        eta /= 1 + steps * decay
    return Threshold("preconditioned_sharpness", over(2, eta), "2/η, η with its decay" if decay else "2/η")


def _shampoo(settings: Settings) -> Threshold:
    if float(settings.one("momentum", 0.0)):
        return Threshold("preconditioned_sharpness", NO_THRESHOLD, "known for Shampoo without momentum")
    return Threshold("preconditioned_sharpness", over(2, settings.lr), "2/η")


def _delayed(settings: Settings) -> Threshold:
    """Where the law is not stored, the delay was fixed."""
    if settings.one("law", "fixed") != "fixed":
        return Threshold("lambda_max", NO_THRESHOLD, "known for a fixed delay")
    delay, beta = int(settings.one("delay")), float(settings.one("momentum", 0.0))
    rules = {(True, True): "2/η", (True, False): "(2 + 2β)/η", (False, True): "2 sin(π/(4τ + 2))/η"}
    rule = rules.get((delay == 0, beta == 0), "|z| = 1 in z^(τ+1) − (1 + β)z^τ + βz^(τ−1) + ηλ")
    return Threshold("lambda_max", over(delayed_limit(delay, beta), settings.lr), rule)


def _differs(settings: Settings, name: str) -> bool:
    try:
        settings.one(name)
    except UsageError:
        return True
    return False
