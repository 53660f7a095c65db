"""Losses of graphs and nodes: against dense adjacency matrices and torch's own Hessian, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls
from tests.support.networks import seeded

pytestmark = pytest.mark.slow  # the library takes seconds to load
pytest.importorskip("torch_geometric")


class OwnConv(nn.Module):
    """ReLU-free convolution by scatter, its propagation written out."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.lin = nn.Linear(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x, edge_index):
        loops = torch.arange(len(x), device=x.device).expand(2, -1)
        source, target = torch.cat([edge_index, loops], dim=1)
        degree = torch.zeros(len(x), dtype=x.dtype, device=x.device).index_add(0, target, torch.ones_like(x[source, 0]))
        norm = (degree[source] * degree[target]).rsqrt()
        return torch.zeros_like(self.lin(x)).index_add(0, target, norm[:, None] * self.lin(x)[source]) + self.bias


class GCN(nn.Module):
    """Two layers; one row a node, or by the mean over each graph one a graph."""

    def __init__(self, conv, *, pooled=False, **options):
        super().__init__()
        self.one, self.two, self.pooled = conv(4, 5, **options), conv(5, 3, **options), pooled

    def forward(self, x, edge_index, batch=None):
        from torch_geometric.nn import global_mean_pool

        found = self.two(torch.tanh(self.one(x, edge_index)), edge_index)
        return global_mean_pool(found, batch) if self.pooled else found


class OfData(GCN):
    def forward(self, data):
        return super().forward(data.x, data.edge_index, data.batch)


def conv(kind):
    from torch_geometric.nn import GCNConv

    return {"own": OwnConv, "GCNConv": GCNConv}[kind]


def made(kind="own", cls=GCN, **options):
    model = seeded(lambda: cls(conv(kind), **options)).double()
    for parameter, seed in zip(model.parameters(), range(9), strict=False):  # biases are zero at first
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    return model


def graph(nodes, seed, *, of_nodes):
    """A ring with chords, in both directions, each edge once; targets of nodes or one of the graph."""
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(seed)
    ring = torch.stack([torch.arange(nodes), (torch.arange(nodes) + 1) % nodes])
    first = torch.arange(0, nodes - 2, 3)
    chords = torch.stack([first, first + 2])
    edges = torch.cat([ring, chords], dim=1)
    return Data(
        x=torch.randn(nodes, 4, dtype=torch.float64, generator=generator),
        edge_index=torch.cat([edges, edges.flip(0)], dim=1).unique(dim=1),
        y=torch.randint(3, (nodes if of_nodes else 1,), generator=generator),
        train_mask=torch.rand(nodes, generator=generator) < 0.5,
    )


def loader(graphs, size):
    from torch_geometric.loader import DataLoader

    return DataLoader(graphs, batch_size=size)


SIZES = (7, 5, 9, 6, 8)


def dense_scores(graphs, pooled, kept):
    """Scores as a function of flat (W₁, b₁, W₂, b₂), by S = D^(-1/2) (A + I) D^(-1/2) of each graph, as a matrix."""

    def propagation(data):
        n = data.num_nodes
        adjacency = torch.eye(n, dtype=torch.float64)
        adjacency[data.edge_index[1], data.edge_index[0]] = 1
        d = adjacency.sum(1).rsqrt()
        return d[:, None] * adjacency * d

    def scores(w1, b1, w2, b2):
        rows = []
        for data in graphs:
            s = propagation(data)
            found = s @ torch.tanh(s @ data.x @ w1.T + b1) @ w2.T + b2
            rows.append(found.mean(0, keepdim=True) if pooled else found[kept(data)])
        return torch.cat(rows)

    return scores


def dense_hessian(model, graphs, kept, loss=F.cross_entropy):
    """And the loss itself; θ in the model's own order of its parameters."""
    named = {n: p.detach() for n, p in model.named_parameters()}
    order = [next(n for n in named if n.startswith(layer) and n.endswith(end)) for layer in ("one", "two")
             for end in ("weight", "bias")]  # fmt: skip
    scores = dense_scores(graphs, model.pooled, kept)
    y = torch.cat([data.y if model.pooled else data.y[kept(data)] for data in graphs])

    def of_theta(theta):
        pieces = dict(
            zip(named, (t.view(p.shape) for t, p in zip(theta.split([p.numel() for p in named.values()]),
                                                        named.values(), strict=True)), strict=True)
        )  # fmt: skip
        return loss(scores(*(pieces[n] for n in order)), y)

    theta = torch.cat([p.reshape(-1) for p in named.values()])
    return float(of_theta(theta)), torch.autograd.functional.hessian(of_theta, theta)


KEPT = {
    "train_mask": lambda data: data.train_mask,
    "all": lambda data: torch.ones(data.num_nodes, dtype=torch.bool),
    None: lambda data: None,
}


@pytest.mark.parametrize("kind", ["own", "GCNConv"])
@pytest.mark.parametrize("nodes", ["train_mask", "all", None])
def test_the_hessian_is_the_dense_one_whether_graphs_or_nodes_count(kind, nodes):
    """Batches of 2, 2 and 1 graphs, of unlike sizes and counts: any other weights would be another loss."""
    model = made(kind, pooled=nodes is None)
    graphs = [graph(n, seed, of_nodes=nodes is not None) for seed, n in enumerate(SIZES)]
    loss, exact = dense_hessian(model, graphs, KEPT[nodes])
    objective = ls.Objective.from_graphs(model, F.cross_entropy, loader(graphs, 2), nodes=nodes)
    assert objective.num_chunks == 3
    assert objective.loss() == pytest.approx(loss, rel=1e-13)
    found = ls.HessianOperator(objective, route="fresh").dense()
    assert (found - exact).norm() <= 1e-12 * exact.norm()
    v = torch.linspace(-1, 1, len(exact), dtype=torch.float64)
    assert (ls.HessianOperator(objective) @ v - exact @ v).norm() <= 1e-11 * (exact @ v).norm()


def test_accuracy_along_a_line_is_that_of_the_nodes_that_count():
    """The test mask of the same graph is another objective."""
    data, model = graph(12, 3, of_nodes=True), made("GCNConv")
    data.test_mask = ~data.train_mask
    train, test = (ls.Objective.from_graphs(model, F.cross_entropy, data, nodes=m) for m in ("train_mask", "test_mask"))
    line = ls.evaluate_line(train, train.theta, points=3, metrics={"train": "accuracy", "test": ("accuracy", test)})
    hits = (model(data.x, data.edge_index).argmax(1) == data.y).double()
    for name, mask in (("train", data.train_mask), ("test", data.test_mask)):
        assert line.metrics[name][1] == pytest.approx(float(hits[mask].mean()), abs=1e-15)


def test_one_graph_with_a_mask_is_a_batch_by_itself():
    data = graph(12, 3, of_nodes=True)
    model = made("GCNConv")
    loss, exact = dense_hessian(model, [data], KEPT["train_mask"])
    objective = ls.Objective.from_graphs(model, F.cross_entropy, data, nodes="train_mask")
    assert objective.loss() == pytest.approx(loss, rel=1e-13)
    assert (ls.HessianOperator(objective).dense() - exact).norm() <= 1e-11 * exact.norm()


def test_a_graph_whose_shapes_look_like_examples_is_not_cut():
    """Two nodes, two rows of edges, two targets: everything has first dimension 2."""
    data = graph(2, 0, of_nodes=True)
    data.train_mask[:] = True
    model = made()
    loss, _ = dense_hessian(model, [data], KEPT["all"])
    assert ls.Objective.from_graphs(model, F.cross_entropy, data, nodes="all").loss() == pytest.approx(loss, rel=1e-13)


def test_gauss_newton_of_nodes_is_that_of_the_counted_rows_alone():
    """JᵀHJ by torch's own Jacobian; of a softmax Fisher is the same."""
    data, model = graph(10, 1, of_nodes=True), made()
    objective = ls.Objective.from_graphs(model, F.cross_entropy, data, nodes="train_mask")
    named = {n: p.detach() for n, p in model.named_parameters()}

    def scores(theta):
        pieces = theta.split([p.numel() for p in named.values()])
        tensors = {n: t.view(p.shape) for (n, p), t in zip(named.items(), pieces, strict=True)}
        return torch.func.functional_call(model, tensors, (data.x, data.edge_index))[data.train_mask]

    theta = torch.cat([p.reshape(-1) for p in named.values()])
    jacobian, p = torch.autograd.functional.jacobian(scores, theta), scores(theta).softmax(1)
    curvature = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    exact = torch.einsum("nip,nij,njq->pq", jacobian, curvature, jacobian) / len(p)
    assert (ls.GaussNewtonOperator(objective).dense() - exact).norm() <= 1e-11 * exact.norm()
    fisher = ls.FisherOperator(objective, kind="exact", likelihood="categorical").dense()
    assert (fisher - exact).norm() <= 1e-11 * exact.norm()


def test_models_of_a_whole_batch_and_calls_by_hand_are_the_same():
    graphs = [graph(n, seed, of_nodes=False) for seed, n in enumerate(SIZES)]
    plain = made(pooled=True)
    whole = made(cls=OfData, pooled=True)
    first = ls.Objective.from_graphs(plain, F.cross_entropy, loader(graphs, 2))
    second = ls.Objective.from_graphs(whole, F.cross_entropy, loader(graphs, 2))
    third = ls.Objective.from_graphs(
        plain, F.cross_entropy, graphs, outputs=lambda model, b: model(b.x, b.edge_index, b.batch)
    )
    assert first.loss() == second.loss() == pytest.approx(third.loss(), rel=1e-14)
    assert third.num_chunks == 5


def test_what_a_convolution_caches_is_the_callers_as_it_was():
    """A float64 cache left in a float32 model would stop its next training step."""
    data, model = graph(12, 3, of_nodes=True), made("GCNConv", cached=True).float()
    data.x = data.x.float()
    objective = ls.Objective.from_graphs(model, F.cross_entropy, data, nodes="train_mask", dtype=torch.float64)
    ls.HessianOperator(objective) @ objective.theta
    assert model.one._cached_edge_index is None
    plain = ls.Objective.from_graphs(made("GCNConv").float(), F.cross_entropy, data, nodes="all", dtype=torch.float64)
    kept = ls.Objective.from_graphs(model, F.cross_entropy, data, nodes="all", dtype=torch.float64)
    model(data.x, data.edge_index)
    before = copy.copy(model.one._cached_edge_index)
    assert kept.loss() == pytest.approx(plain.loss(), rel=1e-6)
    assert all(a is b for a, b in zip(before, model.one._cached_edge_index, strict=True))


def test_class_weights_of_a_loss_module_follow_the_dtype_where_a_weight_says_what_they_count():
    data, model, weights = graph(12, 3, of_nodes=True), made(), torch.tensor([1.0, 2.0, 5.0])
    loss = nn.CrossEntropyLoss(weight=weights)
    with pytest.raises(ls.ObjectiveError, match=r"not a mean over nodes.*class weights"):
        ls.Objective.from_graphs(model, loss, data, nodes="train_mask")
    objective = ls.Objective.from_graphs(
        model, loss, data, nodes="train_mask", weight=lambda b: float(weights[b.y].sum())
    )
    exact, _ = dense_hessian(model, [data], KEPT["train_mask"], lambda f, y: F.cross_entropy(f, y, weights.double()))
    assert objective.loss() == pytest.approx(exact, rel=1e-13)


def test_settings_of_the_loss_and_the_mask_are_part_of_the_question():
    data, model = graph(12, 3, of_nodes=True), made()
    data.val_mask = ~data.train_mask

    def digest(loss, nodes):
        return ls.Objective.from_graphs(model, loss, data, nodes=nodes).digest()

    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    assert digest(smoothed, "all") == digest(nn.CrossEntropyLoss(label_smoothing=0.1), "all")
    found = [digest(F.cross_entropy, "train_mask"), digest(F.cross_entropy, "val_mask"), digest(F.cross_entropy, "all"),
             digest(smoothed, "all"), digest(nn.CrossEntropyLoss(), "all")]  # fmt: skip
    assert len(set(found)) == 5


def test_what_is_no_question_is_refused_with_a_way_out():
    graphs = [graph(n, seed, of_nodes=True) for seed, n in enumerate(SIZES)]
    model, batches = made(), loader(graphs, 2)
    ask = ls.Objective.from_graphs
    with pytest.raises(ls.ObjectiveError, match=r"one row for each of the 2 graphs.*shape \(12, 3\).*nodes='all'"):
        ask(model, F.cross_entropy, batches)
    with pytest.raises(ls.ObjectiveError, match=r"not a mean over nodes.*reduction='sum'"):
        ask(model, lambda f, y: F.cross_entropy(f, y, reduction="sum"), batches, nodes="all")
    with pytest.raises(ls.ObjectiveError, match=r"must name a mask, bool of shape \(12,\).*it is None"):
        ask(model, F.cross_entropy, batches, nodes="test_mask")
    with pytest.raises(ls.ObjectiveError, match="it is torch.float64 of shape"):
        ask(model, F.cross_entropy, batches, nodes="x")
    with pytest.raises(ls.UsageError, match="nodes=True must be 'all' or the name of a mask"):
        ask(model, F.cross_entropy, batches, nodes=True)
    for data in graphs:
        del data.y
    with pytest.raises(ls.ObjectiveError, match=r"must have its targets in batch\.y"):
        ask(model, F.cross_entropy, loader(graphs, 2), nodes="all")
    for data in graphs:
        del data.edge_index
    with pytest.raises(ls.ObjectiveError, match=r"GCN\.forward needs edge_index, which.*outputs=lambda"):
        ask(model, F.cross_entropy, loader(graphs, 2), nodes="all")
