"""Random directions in parameter space, scaled to the parameters they perturb."""

from __future__ import annotations

import math
import re

import numpy as np
import torch
from torch import Tensor, nn

from landscape.checks import check_choice, check_count, check_seed
from landscape.errors import UsageError
from landscape.objective import Objective, Vector

NORMALIZATIONS = ("filter", "layer", "model", None)
IGNORED = ("bias", "norm", "bias,norm", None)

#: First number of a stream's key: families share no random number with each other, nor with the probes of estimators.
FAMILIES = {"direction": 2, "sharpness": 3}

_NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_NORM_NAME = re.compile(r"(Batch|Layer|Group|Instance|RMS)Norm|Norm([123]d)?$")
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def random_plane(
    objective: Objective,
    *,
    normalize: str | None = "filter",
    ignore: str | None = "bias,norm",
    seed: int = 0,
    theta: Vector | None = None,
) -> Tensor:
    """Two independent random directions, shape ``(P, 2)``: numbers 0 and 1 of :func:`random_direction`.

    Each is normalised by itself and they are not made orthogonal, as published; the angle between two random
    directions differs from 90° by about ``1/√P``.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    >>> data = torch.randn(6, 3), torch.zeros(6, 1)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, data)
    >>> d = objective.layout.unflatten(random_plane(objective)[:, 0])
    >>> torch.allclose(d["0.weight"].norm(dim=1), model[0].weight.norm(dim=1)), bool(d["0.bias"].any())
    (True, False)
    """
    columns = [
        random_direction(objective, index=index, normalize=normalize, ignore=ignore, seed=seed, theta=theta)
        for index in (0, 1)
    ]
    return torch.stack(columns, dim=1)


def random_direction(
    objective: Objective,
    *,
    index: int = 0,
    normalize: str | None = "filter",
    ignore: str | None = "bias,norm",
    seed: int = 0,
    theta: Vector | None = None,
) -> Tensor:
    r"""A Gaussian direction of shape ``(P,)``, scaled to the parameters it perturbs. Costs no evaluation.

    With ``"filter"``, each filter of the direction gets the length of the same filter of θ,

    .. math:: d_{ij} \leftarrow \frac{d_{ij}}{\|d_{ij}\|}\,\|\theta_{ij}\|,

    so that slices along it are comparable between networks, and unchanged when a ReLU network is rescaled into an equal
    one. A filter is what makes one output: ``w[i]`` of a convolution, a row of any other tensor of two or more
    dimensions; in a transposed convolution the slice over its inputs. ``"layer"`` does the same with each whole tensor,
    ``"model"`` with all of θ at once, None leaves every entry a standard normal number.

    Parameters
    ----------
    objective : Objective
    index : int
        Number of the direction within the family that ``seed`` names: each is a stream of its own.
    normalize : {"filter", "layer", "model", None}
    ignore : {"bias,norm", "bias", "norm", None}
        What is set to zero. ``"bias"``: vectors (and numbers) called bias, or standing beside a matrix in the same
        module. ``"norm"``: parameters of modules of batch, layer, group, instance and RMS norm. Other vectors, such as
        one that is all of a model, are kept, and are one filter.
    seed : int
        At least 0.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.

    Returns
    -------
    (P,) tensor
        In the objective's dtype, on its device, drawn on the CPU in float64 so that neither changes the numbers.
        Filters that are zero in θ are zero in it.

    Raises
    ------
    UsageError
        For an unknown choice, a negative seed or index, or if nothing is left: all of θ ignored, or all of it zero.

    References
    ----------
    Li, Xu, Taylor, Studer, Goldstein (2018), Visualizing the Loss Landscape of Neural Nets, NeurIPS, §4.
    """
    check_choice("normalize", normalize, NORMALIZATIONS)
    check_choice("ignore", ignore, IGNORED)
    point = objective.point(theta).cpu().to(torch.float64)
    direction = gaussian(index, objective.layout.size, seed=seed, family="direction")
    skipped = _ignored_names(objective, ignore)
    pieces = objective.layout.unflatten(direction)
    for name in skipped:
        pieces[name].zero_()
    if len(skipped) == len(pieces):
        raise UsageError(
            f"ignore={ignore!r} leaves nothing of θ to perturb: it consists of {', '.join(skipped)}. Pass ignore=None"
        )
    if normalize == "model":
        direction *= _ratio(point.norm(), direction.norm())
    elif normalize is not None:
        for name, tensor in objective.layout.unflatten(point).items():
            _match(pieces[name], tensor, by=_filters(objective, name) if normalize == "filter" else _whole(tensor))
    if not bool(direction.any()):
        raise UsageError(
            f"normalize={normalize!r} gives a zero direction: the parameters it is scaled to are all zero. "
            "Pass normalize=None"
        )
    return direction.to(objective.device, objective.dtype)


def gaussian(index: int, dim: int, *, seed: int, family: str) -> Tensor:
    """Standard normal vector number ``index`` of a family, shape ``(dim,)``, float64 on the CPU."""
    seed, index = check_seed(seed), check_count("index", index, least=0)
    state = np.random.SeedSequence(seed, spawn_key=(FAMILIES[family], index)).generate_state(1, np.uint64)[0]
    generator = torch.Generator(device="cpu").manual_seed(int(state) >> 1)
    return torch.randn(dim, generator=generator, dtype=torch.float64)


Shape = tuple[int, ...]
Filters = tuple[Shape, Shape]  # a shape to view a tensor in, and the dimensions of it that one filter runs over


def _match(direction: Tensor, tensor: Tensor, *, by: Filters) -> None:
    """Give each filter of ``direction`` the length of the same filter of ``tensor``, in place."""
    shape, dims = by
    d, w = direction.view(shape), tensor.view(shape)
    d *= _ratio(*(torch.linalg.vector_norm(x, dim=dims, keepdim=True) for x in (w, d)))


def _ratio(wanted: Tensor, had: Tensor) -> Tensor:
    """``wanted / had``; where ``had`` is zero there is nothing to scale."""
    return torch.where(had > 0, wanted / had.where(had > 0, 1.0), 0.0)


def _whole(tensor: Tensor) -> Filters:
    return (tensor.numel(),), (0,)


def _filters(objective: Objective, name: str) -> Filters:
    """How the tensor called ``name`` is made of filters."""
    shape = objective.layout.shapes[objective.layout.names.index(name)]
    if len(shape) < 2:
        return (shape.numel(),), (0,)
    module = _owners(objective)[name][0][0]
    if isinstance(module, _TRANSPOSED):
        # Stored as (inputs, outputs per group, …), the inputs of one group after those of another.
        rows = (module.groups, shape[0] // module.groups, shape[1], math.prod(shape[2:]))
        return rows, (1, 3)
    return (shape[0], math.prod(shape[1:])), (1,)


def _ignored_names(objective: Objective, ignore: str | None) -> list[str]:
    chosen = ignore.split(",") if ignore else []
    kinds = {"norm": _is_norm, "bias": _is_bias}
    owners = _owners(objective)
    sizes = dict(zip(objective.layout.names, objective.layout.shapes, strict=True))
    return [
        name
        for name, shape in sizes.items()
        if any(kinds[kind](*place, shape) for kind in chosen for place in owners[name])
    ]


def _owners(objective: Objective) -> dict[str, list[tuple[nn.Module, str]]]:
    """For each tensor of θ the modules that hold it, and what each calls it; tied weights have several."""
    modules = dict(objective.module.model.named_modules())
    owners: dict[str, list[tuple[nn.Module, str]]] = {name: [] for name in objective.layout.names}
    for slot, name in objective.layout.slots.items():
        if name in owners:
            path, _, attribute = slot.rpartition(".")
            owners[name].append((modules[path], attribute))
    return owners


def _is_norm(module: nn.Module, attribute: str, shape: torch.Size) -> bool:
    if isinstance(module, _NORM_LAYERS):
        return True
    # Norm layers that models define for themselves are known by their class's name alone.
    return len(shape) < 2 and bool(_NORM_NAME.search(type(module).__name__))


def _is_bias(module: nn.Module, attribute: str, shape: torch.Size) -> bool:
    if len(shape) > 1 or _is_norm(module, attribute, shape):
        return False
    beside_matrix = any(p is not None and p.ndim > 1 for p in module._parameters.values())
    return "bias" in attribute or beside_matrix
