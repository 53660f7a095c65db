"""SGD at several clients of which each talks to its neighbours in a graph alone, simulated in one process."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.checks import check_choice, check_count
from landscape.errors import UsageError
from landscape.optimizers.base import Closure
from landscape.optimizers.clients import ClientsOptimizer

GRAPHS = ("ring", "star", "complete")


def mixing_matrix(graph: str, clients: int) -> Tensor:
    r"""How much each client takes of each other where neighbours of a graph average: Metropolis–Hastings weights.

    .. math:: W_{ij} = \frac{1}{1 + \max(d_i, d_j)} \quad\text{for neighbours}, \qquad W_{ii} = 1 − \sum_{j ≠ i} W_{ij},

    d the number of neighbours. W is symmetric and its rows sum to 1, so averaging moves no mean.

    Parameters
    ----------
    graph : {"ring", "star", "complete"}
        In the ring each client has two neighbours; in the star all have the first alone; in the complete graph each
        has all others.
    clients : int

    Returns
    -------
    (clients, clients) float64 tensor

    References
    ----------
    Xiao, Boyd & Lall (2006), Distributed average consensus with time-varying Metropolis weights, for the weights.

    Examples
    --------
    >>> mixing_matrix("star", 3).tolist()[1]
    [0.3333333333333333, 0.6666666666666667, 0.0]
    """
    check_choice("graph", graph, GRAPHS)
    count = check_count("clients", clients)
    edges = torch.zeros(count, count, dtype=torch.float64)
    if graph == "complete":
        edges += 1
    elif graph == "star":
        edges[0, :] = edges[:, 0] = 1
    else:
        here = torch.arange(count)
        edges[here, (here + 1) % count] = edges[(here + 1) % count, here] = 1
    edges.fill_diagonal_(0)
    degrees = edges.sum(1)
    W = edges / (1 + torch.maximum(degrees[:, None], degrees[None, :]))
    return W + torch.diag(1 - W.sum(1))


def spectral_gap(W: Tensor) -> float:
    """``1 − max(|λ₂|, |λ_n|)`` of a symmetric mixing matrix: the share of their disagreement that clients lose at least
    in one averaging. 1 where all meet, 0 where they never agree.

    Parameters
    ----------
    W : (n, n) tensor
        Symmetric, rows that sum to 1.

    Raises
    ------
    UsageError
        If W is not such a matrix.

    References
    ----------
    Lian, Zhang, Zhang, Hsieh, Zhang & Liu (2017), Can decentralized algorithms outperform centralized algorithms?,
    NeurIPS, whose ρ is the square of ``1 −`` this.

    Examples
    --------
    >>> f"{spectral_gap(mixing_matrix('ring', 8)):.4f}", f"{spectral_gap(mixing_matrix('star', 8)):.4f}"
    ('0.1953', '0.1250')
    """
    W = torch.as_tensor(W, dtype=torch.float64)
    if W.ndim != 2 or W.shape[0] != W.shape[1] or not torch.allclose(W, W.T, atol=1e-8):
        raise UsageError(f"W must be a symmetric matrix; its shape is {tuple(W.shape)}. mixing_matrix() makes one")
    if not torch.allclose(W.sum(1), torch.ones(len(W), dtype=torch.float64), atol=1e-8):
        raise UsageError(f"the rows of W must sum to 1; they sum to {W.sum(1).min():.4g} to {W.sum(1).max():.4g}")
    # All ones are an eigenvector to 1: taken out, what is left is how disagreement shrinks.
    left = torch.linalg.eigvalsh(W - 1 / len(W))
    return 1 - float(left.abs().max())


class DecentralizedSGD(ClientsOptimizer):
    r"""Each of ``clients`` takes an SGD step on a batch of its own, then averages with its neighbours in a graph,

    .. math:: θ_i ← \sum_j W_{ij} \big(θ_j − η\,g_j(θ_j)\big),

    W by :func:`mixing_matrix`. The parameters of the model are the mean over clients after every step: that is what is
    evaluated and saved. In the complete graph all clients stand on one point, and it is SGD on the union of their
    batches. In the others W keeps the mean, but each client's gradient is taken where that client stands; how far they
    stand apart is in the history of a run as ``distance_to_consensus``, their root mean square distance from the mean.

    Parameters
    ----------
    lr : float
    clients : int
        Memory of as many copies of θ.
    graph : {"ring", "star", "complete"}
        Of 8 clients :func:`spectral_gap` is 0.195 in the ring, 0.125 in the star, and 1.
    skew : float
        Read by the order of the data: from 0, examples dealt out at random, to 1, each client has classes of its own.

    Notes
    -----
    Lian et al. average and take the gradient at once, ``Σ_j W_ij θ_j − η g_i(θ_i)``; here, as in Koloskova et al., the
    step comes first, so that the complete graph is SGD.

    References
    ----------
    Lian, Zhang, Zhang, Hsieh, Zhang & Liu (2017), Can decentralized algorithms outperform centralized algorithms?,
    NeurIPS. Koloskova, Loizou, Boreiri, Jaggi & Stich (2020), A unified theory of decentralized SGD with changing
    topology and local updates, ICML.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.1, *, clients: int = 8, graph: str = "ring", skew: float = 0.0
    ) -> None:
        check_choice("graph", graph, GRAPHS)
        super().__init__(params, {"lr": lr, "clients": clients, "graph": graph, "skew": skew})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step of every client and one averaging; one gradient each. Returns the mean of their losses."""
        loss = self.local_steps(closure)
        W = mixing_matrix(self.group["graph"], self.group["clients"])
        for place in self.places:
            place.copy_(torch.tensordot(W.to(place), place, dims=1))
        self.show_mean()
        return loss
