"""The ways to compute ∇²L(θ)·v by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from landscape import distributed
from landscape.checks import check_choice
from landscape.errors import ObjectiveError, UsageError
from landscape.hvp.agreement import AGREEMENT, IMPOSSIBLE, NotFiniteError, check_agreement, direction, first_line
from landscape.hvp.finite_differences import Differences
from landscape.hvp.linearized import BLOCKS, CHANNELS_LAST, IN_BLOCKS, Kernels, Linearized, Residuals
from landscape.hvp.product import LossParts, Product, first_chunk
from landscape.hvp.reverse import Fresh, Retained, count_saved_bytes
from landscape.hvp.summed import Nothing, Summed

SIMPLE: dict[str, Callable[..., Product]] = {"fresh": Fresh, "retained": Retained, "differences": Differences}
_RECORDED = ("linearized", "forward", "compiled", "compiled-forward")
ROUTES = ("auto", *SIMPLE, *_RECORDED)


def parse(route: str) -> tuple[str, bool, int | None]:
    """Base, channels last, columns at once: of ``"compiled/channels-last/blocks-8"``."""
    base, *suffixes = str(route).split("/")
    check_choice("route", base, ROUTES)
    allowed = [CHANNELS_LAST, *(f"{IN_BLOCKS}{size}" for size in BLOCKS)] if base in _RECORDED else []
    if suffixes and not allowed:
        raise UsageError(f"route={route!r}: nothing follows {base!r}, which is a route by itself")
    for suffix in suffixes:
        check_choice(f"what follows {base!r} in route", suffix, allowed)
    sizes = [int(suffix.removeprefix(IN_BLOCKS)) for suffix in suffixes if suffix != CHANNELS_LAST]
    return base, CHANNELS_LAST in suffixes, sizes[0] if sizes else None


def check_route(route: str) -> None:
    """Refuse what names no way of making products.

    Raises
    ------
    UsageError
    """
    parse(route)


def build(
    route: str,
    parts: LossParts,
    theta: Tensor,
    kernels: Kernels | None = None,
    first: Residuals | None = None,
    memory: int | None = None,
) -> Product:
    """The product by a route, unchecked; ``first`` are the residuals of the first chunk, where they are known.

    A route that would keep more than ``memory`` gives way to the one of the same numbers that keeps nothing.
    """
    base, channels_last, block_size = parse(route)
    if base == "retained" and memory is not None and _bytes_of_graphs(parts, theta) > memory:
        base = "fresh"
    if base in SIMPLE:
        return SIMPLE[base](parts, theta)
    kernels = kernels or Kernels(compiled=base.startswith("compiled"), channels_last=channels_last)
    keep = not base.endswith("forward")
    return Linearized(parts, theta, kernels=kernels, keep=keep, block_size=block_size, first=first, memory=memory)


def keeping(route: str) -> str:
    """The route of the same numbers that keeps what a recording needs, where ``route`` makes it anew each time."""
    base, *suffixes = route.split("/")
    return "/".join([{"forward": "linearized", "compiled-forward": "compiled"}.get(base, base), *suffixes])


def _bytes_of_graphs(parts: LossParts, theta: Tensor) -> float:
    """What the graphs of all chunks take, by that of the first."""
    return count_saved_bytes(lambda: Retained(first_chunk(parts), theta)) / parts.shares[0]


def again(product: Product, parts: LossParts, theta: Tensor) -> Product:
    """The same route at another θ of the same objective; what was recorded and compiled is used again where it holds.

    That it does is seen by the loss, which the recording makes along with the product: a forward pass over the data,
    and once more the residuals and loss of the first chunk.

    Raises
    ------
    ObjectiveError
        If the route is impossible there, or the model has no finite second derivative.
    """
    if isinstance(product, Summed):
        own = product.own
        made = distributed.on_all_ranks(lambda: again(own, parts, theta), "building the same route again")
        return Summed(made, product.sums)
    if isinstance(product, Nothing):
        return product
    if not isinstance(product, Linearized):
        return build(product.name, parts, theta)

    def on(kernels: Kernels) -> Linearized:
        return Linearized(parts, theta, kernels=kernels, keep=product.keep, block_size=product.block_size)

    if not product.kernels.one_point:
        known = product.kernels.count
        try:
            twin = on(product.kernels)
            if product.kernels.count > known or not _losses_agree(twin, theta):
                check_agreement(twin, parts, theta)
            return twin
        except NotFiniteError:
            raise
        except IMPOSSIBLE:  # it was recorded on another branch, or with other shapes
            pass
    with by_name(product.name):
        twin = on(product.kernels.blank())
        check_agreement(twin, parts, theta)
    return twin


def on_other_data(product: Product, parts: LossParts, theta: Tensor) -> Product:
    """The same route at the same θ for other examples, to be multiplied by once or twice: nothing is kept."""
    if isinstance(product, Linearized):
        return Linearized(parts, theta, kernels=product.kernels, keep=False)
    return build("fresh" if product.name == "retained" else product.name, parts, theta)


def _losses_agree(twin: Linearized, theta: Tensor) -> bool:
    """Here on every chunk; and aside on the first, where a penalty shows that is zero here."""
    v = direction(theta)
    aside = theta + max(float(theta.norm()), 1.0) / 2 * v / v.norm()
    limit = AGREEMENT[theta.dtype]
    pairs = [*twin.losses(), twin.loss_at(aside)]
    return all(abs(ours - eager) <= limit * max(abs(ours), abs(eager)) for ours, eager in pairs)


@contextmanager
def by_name(route: str) -> Iterator[None]:
    """While a route asked for by name is built: what makes it impossible for the model becomes the refusal of it."""
    try:
        yield
    except NotFiniteError:
        raise
    except IMPOSSIBLE as error:
        why = str(error) if isinstance(error, ObjectiveError) else first_line(error)
        raise ObjectiveError(
            f"route={route!r} is impossible for this model: {why}. Take route='auto', which tries others"
        ) from error
