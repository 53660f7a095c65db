"""Clients in a graph: the mixing matrix's spectrum, SGD where all meet, closed forms of quadratics elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.optimizers import make_optimizer, mixing_matrix, spectral_gap
from landscape.training import train
from tests.support.stepping import START, LossOf, steps
from tests.support.trainings import small

pytestmark = pytest.mark.usefixtures("generator_of_its_own")

CLIENTS = 6
CENTRES = torch.randn(CLIENTS, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
CURVATURES = torch.linspace(0.5, 3.0, CLIENTS, dtype=torch.float64)
EQUAL = [lambda x, c=c: 0.5 * 2.0 * ((x - c) ** 2).sum() for c in CENTRES]
UNLIKE = [lambda x, c=c, h=h: 0.5 * h * ((x - c) ** 2).sum() for c, h in zip(CENTRES, CURVATURES, strict=True)]


@pytest.mark.parametrize("graph", ["ring", "star", "complete"])
@pytest.mark.parametrize("clients", [1, 2, 3, 8])
def test_a_mixing_matrix_is_symmetric_keeps_the_mean_and_gives_weight_to_neighbours_alone(graph, clients):
    W = mixing_matrix(graph, clients)
    assert torch.equal(W, W.T)
    assert torch.allclose(W.sum(1), torch.ones(clients, dtype=torch.float64))
    assert (W >= -1e-15).all()
    neighbours = {"ring": min(2, clients - 1), "star": 1 if clients > 1 else 0, "complete": clients - 1}[graph]
    assert int((W[-1, :-1] > 0).sum()) == neighbours


@pytest.mark.parametrize("clients", [3, 8, 9])
def test_the_spectra_of_ring_star_and_complete_graph_are_those_of_the_closed_forms(clients):
    k = np.arange(clients)
    expected = {
        "ring": (1 + 2 * np.cos(2 * np.pi * k / clients)) / 3,
        "star": np.array([1.0, *[1 - 1 / clients] * (clients - 2), 0.0]),
        "complete": np.array([1.0, *[0.0] * (clients - 1)]),
    }
    for graph, values in expected.items():
        W = mixing_matrix(graph, clients)
        assert torch.linalg.eigvalsh(W).numpy() == pytest.approx(np.sort(values), abs=1e-12)
        second = np.sort(np.abs(values))[-2]
        assert spectral_gap(W) == pytest.approx(1 - second, abs=1e-12)


def test_clients_that_only_average_agree_at_the_rate_of_the_spectral_gap():
    """Started along the slowest eigenvector, each averaging leaves 1 − gap of the disagreement."""
    W = mixing_matrix("ring", 8)
    slowest = torch.linalg.eigh(W)[1][:, -2]
    assert float((W @ slowest).norm()) == pytest.approx(1 - spectral_gap(W), rel=1e-12)
    rows = torch.randn(8, 50, dtype=torch.float64)
    rows -= rows.mean(0)
    assert ((W @ rows).norm(dim=0) <= (1 - spectral_gap(W) + 1e-12) * rows.norm(dim=0)).all()


@pytest.mark.parametrize(
    ("W", "said"),
    [
        (torch.tensor([[0.5, 0.5], [0.4, 0.6]]), "symmetric"),
        (torch.ones(2, 3), r"symmetric matrix; its shape is \(2, 3\)"),
        (torch.eye(2) * 2, "sum to 1; they sum to 2 to 2"),
    ],
)
def test_what_is_no_mixing_matrix_has_no_spectral_gap(W, said):
    with pytest.raises(UsageError, match=said):
        spectral_gap(W)


def test_in_the_complete_graph_it_is_sgd_on_the_mean_of_the_losses():
    places, losses, optimizer = _steps(8, UNLIKE, graph="complete")

    def mean(theta):
        return sum(f(theta) for f in UNLIKE) / CLIENTS

    plain, plain_losses, _ = steps("sgd", 8, mean, lr=0.1)
    assert torch.allclose(torch.stack(places), torch.stack(plain), rtol=1e-12)
    assert losses == pytest.approx(plain_losses)
    assert optimizer.noted["distance_to_consensus"] < 1e-14


@pytest.mark.parametrize("graph", ["ring", "star"])
def test_with_one_curvature_the_mean_takes_the_steps_of_sgd_whatever_the_graph(graph):
    places, _, optimizer = _steps(20, EQUAL, graph=graph)
    centre = CENTRES.mean(0)
    for t, place in enumerate(places, start=1):
        assert torch.allclose(place, centre + (1 - 0.2) ** t * (START - centre), rtol=1e-12)
    assert optimizer.noted["distance_to_consensus"] > 0.05


def test_in_the_ring_clients_come_to_stand_apart_as_the_fourier_modes_of_their_centres_say():
    """y = W((1 − ηh)y + ηh(c − mean c)) in each mode: y_k = ηh μ_k c_k / (1 − (1 − ηh) μ_k), with one curvature h."""
    _, _, optimizer = _steps(600, EQUAL, graph="ring")
    modes = np.fft.fft((CENTRES - CENTRES.mean(0)).numpy(), axis=0)
    mu = ((1 + 2 * np.cos(2 * np.pi * np.arange(CLIENTS) / CLIENTS)) / 3)[:, None]
    apart = np.fft.ifft(0.2 * mu * modes / (1 - 0.8 * mu), axis=0).real
    clients = optimizer.state[optimizer.tensors[0]]["clients"].numpy()
    assert clients - clients.mean(0) == pytest.approx(apart, abs=1e-12)
    distance = float(np.sqrt((apart**2).sum() / CLIENTS))
    assert optimizer.noted["distance_to_consensus"] == pytest.approx(distance, rel=1e-9)


def test_with_unlike_curvatures_the_mean_settles_beside_the_minimum_where_the_linear_system_says():
    """θ = W(θ − ηh(θ − c)), solved at once; the minimum of the mean loss is elsewhere, unless all meet."""
    _, _, optimizer = _steps(3000, UNLIKE, graph="ring")
    W, scaled = mixing_matrix("ring", CLIENTS).numpy(), 0.1 * CURVATURES.numpy()[:, None]
    expected = np.linalg.solve(np.eye(CLIENTS) - W @ np.diag(1 - scaled[:, 0]), W @ (scaled * CENTRES.numpy()))
    clients = optimizer.state[optimizer.tensors[0]]["clients"].numpy()
    assert clients == pytest.approx(expected, abs=1e-10)
    minimum = (CURVATURES[:, None] * CENTRES).sum(0) / CURVATURES.sum()
    assert float((optimizer.tensors[0].detach() - minimum).norm()) > 1e-3
    together, _, _ = _steps(3000, UNLIKE, graph="complete")
    assert torch.allclose(together[-1], minimum, atol=1e-10)


def test_the_distance_to_consensus_is_in_the_history_and_grows_with_unlike_data(tmp_path):
    distances = {}
    for graph in ("ring", "complete"):
        for skew in (0.0, 1.0):
            options = {"clients": 4, "graph": graph, "skew": skew}
            folder = tmp_path / f"{graph}-{skew}"
            train(small(), folder, optimizer="decentralized-sgd", options=options, epochs=4, batch_size=4, save_every=5)
            history = CheckpointDir(folder).history()
            assert len(history["distance_to_consensus"]) == len(history["loss"])
            distances[graph, skew] = float(history["distance_to_consensus"].mean())
    assert distances["ring", 1.0] > 1.2 * distances["ring", 0.0] > 0
    assert distances["complete", 1.0] == 0


def test_clients_have_data_of_their_own_so_no_other_order_can_be_asked_for(tmp_path):
    with pytest.raises(UsageError, match="decentralized-sgd deals the examples out to its clients itself"):
        train(small(), tmp_path, optimizer="decentralized-sgd", order="sorted")


def _steps(count, losses_of, *, graph):
    parameter = torch.nn.Parameter(START.clone())
    optimizer = make_optimizer("decentralized-sgd", [parameter], lr=0.1, clients=CLIENTS, graph=graph)
    closure = LossOf(parameter, None, losses_of)
    places, losses = [], []
    for _ in range(count):
        losses.append(float(optimizer.step(closure)))
        places.append(parameter.detach().clone())
    return places, losses, optimizer
