"""Bring the neurons of one network into the order of another's: the same function at another place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.checks import check_choice, check_count, check_seed
from landscape.device import widened
from landscape.errors import ObjectiveError, UsageError
from landscape.geometry.alignment.activations import activation_pairs
from landscape.geometry.alignment.ends import network_of, objective_of, state_of
from landscape.geometry.alignment.matching import MOST_SWEEPS, Matched, Matching, Pair
from landscape.geometry.alignment.network import FEW, ROUNDING, Network
from landscape.geometry.alignment.symmetry import Symmetry
from landscape.geometry.endpoints import End
from landscape.objective import Objective
from landscape.progress import Progress
from landscape.results.alignment import Alignment


def align(
    model: nn.Module | Objective,
    theta_a: Any,
    theta_b: Any,
    *,
    method: str = "weights",
    similarity: str = "correlation",
    inputs: Any = None,
    num_examples: int = 256,
    restarts: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> Alignment:
    r"""θ_b with its neurons permuted so that they match those of θ_a; its function stays the same.

    Which neurons can be exchanged is found in the model: one pass is traced, and axes of parameters that operations tie
    together are one group (channels of convolutions through pooling and flattening, a residual stream, attention heads
    and what is in each). What meets an operation without a rule stays where it is. The groups are proved before use:
    random permutations must leave all outputs as they are to rounding in float64.

    Parameters
    ----------
    model : nn.Module or Objective
        It is traced on a few examples of the objective's data; of a module, on ``inputs``.
    theta_a, theta_b : (P,) tensor or array, nn.Module, Objective or Checkpoint
        Vectors are in the order of ``Objective.theta``. Of models with running statistics give more than vectors, so
        that the statistics of the second can be permuted along: see :func:`permuted_copy`.
    method : {"weights", "activations"}
        ``"weights"`` minimises ‖θ_a − π(θ_b)‖ over the permutations π by coordinate descent, from several random
        orders of the groups; it needs no data. ``"activations"`` matches what neurons give on the same examples, as
        the next layer receives it.
    similarity : {"correlation", "product"}
        Of activations: the correlation of two neurons over examples and places, or the sum of their products.
    inputs : tensor, tuple or mapping, optional
        Of a module: what it is called with. Left out, inputs at random that fit its first layer.
    num_examples : int
        Whose activations are compared; at random where examples can be picked.
    restarts : int
        Searches over weights from as many random orders; the most similar result is kept.
    seed : int
        Of these orders, of the proof and of the examples.
    progress : callable, optional
        Called as ``progress(done, restarts)`` after each search.

    Returns
    -------
    Alignment
        ``theta`` is the permuted θ_b in the dtype of θ_b; the record itself is taken as a vector wherever θ is. The
        search finds a local optimum: ``distance`` is an upper bound of the least one.

    Raises
    ------
    UsageError
        If the ends do not fit the model, or no neurons of it can be exchanged.
    ObjectiveError
        If the model decides by values that depend on θ, so that one pass does not show what it does.

    Notes
    -----
    Costs some ten passes over 8 examples, and O(n³) for each group of n neurons and sweep. With activations two passes
    over ``num_examples`` more, whose activations are held in memory.

    References
    ----------
    Ainsworth, Hayase & Srinivasa (2023), Git Re-Basin: Merging Models modulo Permutation Symmetries, ICLR, §3.1 for
    activations, §3.2 and Algorithm 1 for weights. Li, Yosinski, Clune, Lipson & Hopcroft (2015), Convergent Learning,
    for correlations.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> theta = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    >>> shuffled = theta[torch.cat([torch.arange(24).view(8, 3).flip(0).ravel(), torch.arange(24, 32).flip(0),
    ...                             torch.arange(32, 48).view(2, 8).flip(1).ravel(), torch.arange(48, 50)])]
    >>> found = align(model, theta, shuffled)
    >>> found.groups, found.distance
    (('0',), 0.0)
    """
    check_choice("method", method, ("weights", "activations"))
    check_choice("similarity", similarity, ("correlation", "product"))
    num_examples = check_count("num_examples", num_examples, least=2, hint="neurons are told apart by them")
    restarts, seed = check_count("restarts", restarts), check_seed(seed)
    objective = objective_of(model, inputs)
    if method == "activations" and inputs is None and not isinstance(model, Objective):
        raise UsageError("activations are compared on data: pass inputs=, or an Objective in place of the model")
    a, b = (network_of(objective, end, name) for end, name in ((theta_a, "theta_a"), (theta_b, "theta_b")))
    of_a, of_b, rest = state_of(objective, a, b)
    rng = np.random.default_rng(seed)
    few = _some(objective, num_examples, rng) if method == "activations" else objective.on_first(FEW)
    network = Network(few, of_b, rest)
    named_a, named_b = network.named(a.theta, of_a), network.named(b.theta, of_b)
    symmetry, facts = network.trace(named_b)
    if facts.asks_data and method == "weights":  # what it does is seen on all of the data
        network = Network(objective, of_b, rest)
        symmetry, facts = network.trace(named_b)
    symmetry = network.prove(symmetry, facts, named_b, seed=seed)
    if method == "weights":
        pairs = _weight_pairs(symmetry, named_a, named_b, objective.layout.names)
    else:
        pairs = activation_pairs(
            network, symmetry, facts, (named_a, named_b), centred=similarity == "correlation", seed=seed
        )
    matching = Matching(pairs, symmetry)
    found = _best(matching, restarts if method == "weights" else 1, rng, progress)
    moved = symmetry.apply(named_b, found.permutations)
    everywhere = Network(objective, of_b, rest) if facts.asks_data else network
    change = everywhere.change(named_b, moved)
    if change > ROUNDING:
        raise ObjectiveError(f"the permuted network is another function: its outputs differ by {change:.1e} of them")
    return _record(
        objective, symmetry, found, (a, b), of_b, change,
        before=sum(float((pair.a * pair.b).sum()) for pair in pairs),
        alike=tuple(matching.alike(orders) for orders in (symmetry.identity(), found.permutations)),
        method=method if method == "weights" else f"{method}, by {similarity}",
        restarts=restarts if method == "weights" else 1, seed=seed, without_rule=tuple(facts.unknown),
    )  # fmt: skip


def _some(objective: Objective, count: int, rng: np.random.Generator) -> Objective:
    """So many examples in one chunk, at random where they can be picked."""
    if not objective.can_pick or count >= objective.num_examples:
        return objective.on_first(count)
    return objective.subset(np.sort(rng.choice(objective.num_examples, count, replace=False))).rechunked(count)


def _weight_pairs(
    symmetry: Symmetry, a: Mapping[str, Tensor], b: Mapping[str, Tensor], names: tuple[str, ...]
) -> list[Pair]:
    found = []
    for name in names:
        for block in symmetry.blocks.get(name, ()):
            if any(axis in symmetry.sizes for axis in block.axes):
                found.append(Pair(block.of(a[name]).cpu(), block.of(b[name]).cpu(), block.axes))
    return found


def _best(matching: Matching, restarts: int, rng: np.random.Generator, progress: Progress | None) -> Matched:
    best: Matched | None = None
    assignments = 0
    for done in range(restarts):
        found = matching.run(rng)
        assignments += found.assignments
        if best is None or found.similarity > best.similarity:
            best = found
        if progress is not None:
            progress(done + 1, restarts)
    assert best is not None
    return Matched(best.permutations, best.similarity, best.sweeps, assignments, best.settled)


def _record(
    objective: Objective,
    symmetry: Symmetry,
    found: Matched,
    ends: tuple[End, End],
    state: Mapping[str, Tensor],
    change: float,
    *,
    before: float,
    alike: tuple[dict[int, float], ...],
    method: str,
    restarts: int,
    seed: int,
    without_rule: tuple[str, ...],
) -> Alignment:
    a, b = (end.theta.detach().cpu() for end in ends)
    places = torch.arange(objective.layout.size)
    numbered = objective.layout.unflatten(places)
    order = objective.layout.flatten(symmetry.apply(numbered, found.permutations))
    theta = b[order] if b.dtype in (torch.float32, torch.float64) else b[order].float()
    of_buffers = {name: torch.arange(tensor.numel()).view(tensor.shape) for name, tensor in state.items()}
    moved = symmetry.apply(of_buffers, found.permutations)
    groups = list(symmetry.sizes)
    reason = (
        "no group can be improved by itself"
        if found.settled
        else f"{MOST_SWEEPS} sweeps were made while groups still improved"
    )
    flat = [found.permutations[axis].reshape(-1) for axis in groups]
    return Alignment(
        theta=theta.numpy(),
        order=order.numpy(),
        tensors=objective.layout.names,
        distance_before=float((widened(a) - widened(b)).norm()),
        distance=float((widened(a) - widened(theta)).norm()),
        output_change=change,
        groups=tuple(symmetry.names[axis] for axis in groups),
        sizes=np.array([symmetry.sizes[axis] for axis in groups]),
        copies=np.array([int(np.prod(symmetry.copies(axis))) for axis in groups]),
        alike_before=np.array([alike[0][axis] for axis in groups]),
        alike=np.array([alike[1][axis] for axis in groups]),
        where=tuple(", ".join(symmetry.where[axis]) for axis in groups),
        permutations=torch.cat(flat).numpy(),
        buffers=tuple(state),
        buffer_sizes=np.array([tensor.numel() for tensor in state.values()], dtype=int),
        buffer_order=torch.cat([t.reshape(-1) for t in moved.values()]).numpy() if moved else np.empty(0, dtype=int),
        dropped=symmetry.dropped,
        similarity=found.similarity,
        similarity_before=before,
        method=method,
        reason=reason,
        sweeps=found.sweeps,
        assignments=found.assignments,
        restarts=restarts,
        seed=seed,
        without_rule=without_rule,
    )
