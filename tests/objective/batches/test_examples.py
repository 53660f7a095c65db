"""Batches that do not say how many examples they are need a weight, and are right with it."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import landscape as ls
from landscape.objective.batches import Batches
from tests.support.batches import (
    CUTS,
    Graph,
    X,
    Y,
    assert_right,
    hessian_by_differences,
    make_linear,
)


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = torch.nn.GRU(3, 2), torch.nn.Linear(2, 2)

    def forward(self, x):
        out, last = self.rnn(x)
        return self.head(last[0] if isinstance(x, PackedSequence) else out[-1])


def make_recurrent():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Recurrent()


def graphs():
    """Graphs of 8 and 3 nodes with 5 and 4 edges; each node hears its neighbours."""
    generator = torch.Generator().manual_seed(2)
    return [
        Graph(X[rows], Y[rows], torch.randint(len(X[rows]), (2, count), generator=generator))
        for rows, count in zip(CUTS, (5, 4), strict=True)
    ]


def on_graph(model, graph):
    x = graph.x + torch.zeros_like(graph.x).index_add(0, graph.edges[1], graph.x[graph.edges[0]])
    return F.cross_entropy(model(x), graph.y)


def test_graphs_need_a_weight_and_are_right_with_it():
    with pytest.raises(ls.ObjectiveError, match=r"cannot be told.* first dimensions 2, 8.*weight="):
        ls.Objective.from_loss(make_linear(), on_graph, graphs())
    objective = ls.Objective.from_loss(make_linear(), on_graph, graphs(), weight=lambda graph: graph.num_nodes)
    assert objective.num_examples == 11

    def by_hand(model):
        total = 0.0
        for graph in graphs():
            heard = torch.eye(len(graph.x), dtype=torch.float64)
            for start, end in graph.edges.T.tolist():
                heard[end, start] += 1
            total = total + len(graph.x) * F.cross_entropy(model(heard @ graph.x.double()), graph.y)
        return total / 11

    assert_right(objective, hessian_by_differences(make_linear(), by_hand))
    assert_right(objective.rechunked(2), hessian_by_differences(make_linear(), by_hand))


def test_time_first_sequences_need_a_weight_and_are_right_with_it():
    steps = torch.randn(5, 11, 3, generator=torch.Generator().manual_seed(3))
    batches = [(steps[:, rows], Y[rows]) for rows in CUTS]
    with pytest.raises(ls.ObjectiveError, match=r"cannot be told.* first dimensions 5, 8.*weight="):
        ls.Objective(make_recurrent(), F.cross_entropy, batches)
    objective = ls.Objective(make_recurrent(), F.cross_entropy, batches, weight=lambda batch: len(batch[1]))
    expected = hessian_by_differences(make_recurrent(), lambda m: F.cross_entropy(m(steps.double()), Y))
    assert objective.num_examples == 11
    assert_right(objective, expected)


def test_time_first_with_as_many_steps_as_examples_is_refused_or_kept_whole():
    steps = torch.randn(5, 5, 3, generator=torch.Generator().manual_seed(3))
    with pytest.raises(ls.ObjectiveError, match=r"not on a part of its examples.*time first.*interacting=True"):
        ls.Objective(make_recurrent(), F.cross_entropy, (steps, Y[:5]))
    expected = hessian_by_differences(make_recurrent(), lambda m: F.cross_entropy(m(steps.double()), Y[:5]))
    for options in ({"interacting": True}, {"check": False}):
        assert_right(ls.Objective(make_recurrent(), F.cross_entropy, (steps, Y[:5]), **options), expected)


def test_packed_sequences_need_a_weight_and_are_right_with_it():
    generator = torch.Generator().manual_seed(4)
    sequences = [torch.randn(n, 3, generator=generator) for n in (4, 3, 3, 2)]
    batches = [(pack_sequence(sequences[:3]), Y[:3]), (pack_sequence(sequences[3:]), Y[3:4])]
    with pytest.raises(ls.ObjectiveError, match=r"cannot be told.*weight="):
        ls.Objective(make_recurrent(), F.cross_entropy, batches)
    objective = ls.Objective(make_recurrent(), F.cross_entropy, batches, weight=lambda batch: len(batch[1]))

    def one_by_one(model):
        losses = [F.cross_entropy(model(s.double()[:, None]), y[None]) for s, y in zip(sequences, Y[:4], strict=True)]
        return sum(losses) / 4

    assert objective.num_examples == 4
    assert_right(objective, hessian_by_differences(make_recurrent(), one_by_one))


@pytest.mark.parametrize("layout", ["nested", "sparse"])
def test_nested_and_sparse_inputs_need_a_weight_and_are_right_with_it(layout):
    pieces = [X[:4], X[4:6], X[6:]]
    if layout == "nested":
        data = [torch.nested.nested_tensor(pieces, layout=torch.jagged)]
        loss = lambda model, batch: model(batch).values().square().mean()  # noqa: E731
    else:
        data = [(X.to_sparse(), Y)]
        loss = lambda model, batch: (torch.sparse.mm(batch[0], model.weight.T) + model.bias).square().mean()  # noqa: E731
    with pytest.raises(ls.ObjectiveError, match=r"cannot be told.*weight="):
        ls.Objective.from_loss(make_linear(), loss, data)
    objective = ls.Objective.from_loss(make_linear(), loss, data, weight=lambda batch: 11)
    expected = hessian_by_differences(make_linear(), lambda m: m(X.double()).square().mean())
    assert_right(objective, expected)
    assert objective.digest() != ls.Objective.from_loss(make_linear(), loss, data, weight=lambda batch: 12).digest()


def test_batches_padded_to_different_lengths_need_a_weight():
    """Over sequences they weigh 2 : 1, over tokens 10 : 3; in one batch nothing tells these apart."""
    generator = torch.Generator().manual_seed(6)
    x = [torch.randn(2, 5, 3, generator=generator), torch.randn(1, 3, 3, generator=generator)]
    y = [torch.randint(2, part.shape[:2], generator=generator) for part in x]

    def loss(output, target):
        return F.cross_entropy(output.flatten(0, 1), target.flatten())

    batches = list(zip(x, y, strict=True))
    with pytest.raises(ls.ObjectiveError, match=r"padded to different lengths.*weight="):
        ls.Objective(make_linear(), loss, batches)
    objective = ls.Objective(make_linear(), loss, batches, weight=lambda batch: batch[1].numel())
    flat_x, flat_y = torch.cat([p.flatten(0, 1) for p in x]).double(), torch.cat([p.flatten() for p in y])
    assert_right(objective, hessian_by_differences(make_linear(), lambda m: F.cross_entropy(m(flat_x), flat_y)))


def test_arrays_inside_an_object_are_left_to_it_and_not_counted():
    class Raw:
        def __init__(self, x, y):
            self.x, self.y = x.numpy(), y.numpy()

    def loss(model, batch):
        return F.cross_entropy(model(torch.from_numpy(batch.x).to(model.weight)), torch.from_numpy(batch.y))

    batches = [Raw(X[rows], Y[rows]) for rows in CUTS]
    with pytest.raises(ls.ObjectiveError, match=r"cannot be told.*Raw.*weight="):
        ls.Objective.from_loss(make_linear(), loss, batches)
    objective = ls.Objective.from_loss(make_linear(), loss, batches, weight=lambda batch: len(batch.x))
    expected = hessian_by_differences(make_linear(), lambda m: F.cross_entropy(m(X.double()), Y))
    assert_right(objective, expected)


def test_a_type_that_copies_itself_in_its_own_way_is_refused():
    class Own:
        def __init__(self, x, y):
            self.x, self.y = x, y

        def __deepcopy__(self, memo):
            return Own(self.x.clone(), self.y.clone())

    with pytest.raises(ls.ObjectiveError, match="Own cannot be made again around other tensors"):
        Batches([Own(X, Y)])


def test_indices_that_a_type_shares_between_copies_stay_its_own():
    class Indexed:
        def __init__(self, x, pointer):
            self.x, self.pointer = x, pointer

        def __deepcopy__(self, memo):
            return Indexed(copy.deepcopy(self.x, memo), self.pointer)

    batch = Indexed(X, torch.arange(4))
    assert Batches([batch]).num_examples == 11
    assert Batches([batch]).digest() != Batches([Indexed(X, torch.arange(1, 5))]).digest()


def test_pieces_of_given_sizes_are_the_same_question():
    objective = ls.Objective(make_linear(), F.cross_entropy, (X, Y), dtype=torch.float64)
    pieces = objective.in_pieces([4, 1, 6])
    assert [len(pieces.parts().chunk(index)[0]) for index in range(pieces.num_chunks)] == [4, 1, 6]
    assert pieces.digest() == objective.digest()
    assert pieces.loss() == pytest.approx(objective.loss(), rel=1e-14)
    assert pieces.subset([9, 3]).loss() == pytest.approx(objective.subset([9, 3]).loss(), rel=1e-14)
