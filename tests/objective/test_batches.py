"""Batches of any type give the numbers of their tensors, or are refused; data sets are told apart by their values."""

from __future__ import annotations

import copy
import enum
import os
import subprocess
import sys
from collections import UserDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import landscape as ls
from landscape.objective.batches import Batches
from tests.support.batches import (
    CUTS,
    FORMS,
    Encoding,
    Example,
    Frozen,
    Graph,
    Named,
    PlainDict,
    X,
    Y,
    assert_right,
    hessian_by_differences,
    make_linear,
    objective_on,
)


@pytest.fixture(scope="module")
def curvature():
    return hessian_by_differences(make_linear(), lambda m: F.cross_entropy(m(X.double()), Y))


@pytest.mark.parametrize("form", FORMS)
def test_uneven_batches_of_any_type_weigh_as_many_as_their_examples(form, curvature):
    objective = objective_on(form, chunk=None)
    assert objective.num_examples == 11
    assert objective.num_chunks == 2
    assert_right(objective, curvature)
    assert_right(objective_on(form, chunk=2), curvature)


@pytest.mark.parametrize("route", ["auto", "retained", "linearized"])
def test_chunks_of_one_type_share_a_recording(route, curvature):
    assert_right(objective_on("object", chunk=3), curvature, route=route)


@pytest.mark.parametrize("form", FORMS)
def test_a_sum_over_examples_is_seen_in_batches_of_any_type(form):
    with pytest.raises(ls.ObjectiveError, match="not a mean over examples"):
        objective_on(form, reduction="sum")


@pytest.mark.parametrize("form", FORMS)
def test_the_loss_is_handed_the_callers_type_in_the_dtype_asked_for(form):
    seen = []
    objective = objective_on(form, seen=seen, dtype=torch.float64, check=False)
    seen.clear()
    objective.loss()
    make, read = FORMS[form]
    assert {type(batch) for batch in seen} == {type(make(X, Y))}
    assert {read(batch)[0].dtype for batch in seen} == {torch.float64}


@pytest.mark.parametrize("form", FORMS)
def test_the_cut_leaves_no_trace_in_the_digest_and_another_value_does(form):
    make, _ = FORMS[form]
    whole, cut, same = ([make(X[rows], Y[rows]) for rows in rows] for rows in ((slice(0, 11),), CUTS, CUTS))
    assert Batches(whole).digest() == Batches(cut).digest() == Batches(same).digest()
    moved = X.clone()
    moved[9, 1] += 1e-6
    assert Batches([make(moved[rows], Y[rows]) for rows in CUTS]).digest() != Batches(cut).digest()


@pytest.mark.parametrize("form", FORMS)
def test_nan_is_found_in_batches_of_any_type(form):
    make, read = FORMS[form]
    bad = X.clone()
    bad[9, 1] = float("nan")
    batches = [make(bad[rows], Y[rows]) for rows in CUTS]
    with pytest.raises(ls.ObjectiveError, match="NaN or infinity, first in batch 1 of 2, example 1 of 3"):
        ls.Objective.from_loss(make_linear(), lambda m, b: F.cross_entropy(m(read(b)[0]), read(b)[1]), batches)


def test_the_callers_batch_stays_as_it_was_and_its_methods_work():
    graph = Graph(X, Y, torch.zeros(2, 5, dtype=torch.long))
    before = dict(graph.store)

    def loss(model, batch):
        batch = batch.to("cpu")
        assert isinstance(batch, Graph)
        assert batch.num_nodes == 11
        return F.cross_entropy(model(batch.x.requires_grad_()), batch.y)

    objective = ls.Objective.from_loss(make_linear(), loss, graph, weight=lambda batch: batch.num_nodes)
    for dtype in (torch.float32, torch.float64):
        objective.with_dtype(dtype).gradient()
    assert graph.store.keys() == before.keys()
    assert all(graph.store[name] is before[name] for name in before)
    assert graph.owner is graph
    assert graph.x.dtype == torch.float32
    assert not graph.x.requires_grad


def test_one_tensor_in_two_places_stays_one():
    shared = Example(X, X)
    seen = []
    ls.Objective.from_loss(
        make_linear(), lambda m, b: (seen.append(b.x is b.y), m(b.x).square().mean())[1], shared, dtype=torch.float64
    )
    assert all(seen)


# ------------------------------------------------------------------ batches that do not say how many examples they are


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


# ------------------------------------------------------------------------------------------- Datasets, and what is none


class Mapped(Dataset):
    def __len__(self):
        return 11

    def __getitem__(self, index):
        return {"x": X[index], "y": int(Y[index]), "file": f"{index}.png"}


class Streamed(IterableDataset):
    def __iter__(self):
        return iter([{"x": x, "y": y} for x, y in zip(X, Y, strict=True)])


@pytest.mark.parametrize("data", [Mapped(), Streamed(), Subset(Mapped(), range(11))], ids=["map", "iterable", "subset"])
def test_a_dataset_is_batched_as_a_loader_would(data, curvature):
    def loss(model, batch):
        return F.cross_entropy(model(batch["x"]), batch["y"])

    objective = ls.Objective.from_loss(make_linear(), loss, data)
    loaded = ls.Objective.from_loss(make_linear(), loss, DataLoader(data, batch_size=4))
    assert objective.num_examples == 11
    assert objective.digest() == loaded.digest()
    assert_right(objective, curvature)


def test_a_dataset_of_tensors_is_its_tensors(curvature):
    objective = ls.Objective(make_linear(), F.cross_entropy, TensorDataset(X, Y))
    assert objective.digest() == ls.Objective(make_linear(), F.cross_entropy, (X, Y)).digest()
    assert_right(objective, curvature)
    one_feature = TensorDataset(X[:, :1], X[:, 1:2])  # examples that unpack like (inputs, targets)
    objective = ls.Objective(make_linear(1, 1), F.mse_loss, one_feature)
    expected = hessian_by_differences(make_linear(1, 1), lambda m: F.mse_loss(m(X[:, :1].double()), X[:, 1:2].double()))
    assert_right(objective, expected)


class Ragged(Mapped):
    def __getitem__(self, index):
        return X[index, : 1 + index % 2], 0


class Opaque(Mapped):
    def __getitem__(self, index):
        return object(), 0


class Unmarked:
    def __len__(self):
        return 11

    def __getitem__(self, index):
        return X[index % 11], Y[index % 11]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Ragged(), r"Ragged do not stack into a batch .*collate_fn"),
        (Opaque(), r"Opaque do not stack into a batch .*collate_fn"),
        (Unmarked(), r"Unmarked can be indexed but says neither"),
        ("digits.npz", "data of type str cannot be read"),
        (None, "data of type NoneType cannot be read"),
        ([X, Y], r"bare tensors of different shapes .*tuple"),
        (X, r"\(inputs, targets\).*Tensor, without targets.*from_loss"),
        (X[:2], r"\(inputs, targets\).*Tensor, without targets.*a tuple is one"),
        ([X[:4], X[4:]], r"\(inputs, targets\).*Tensor, without targets.*a tuple is one"),
        ((X,), r"\(inputs, targets\).*tuple of 1.*from_loss"),
        ({"x": X, "y": Y}, r"\(inputs, targets\).*dict with x, y.*from_loss"),
        ([UserDict(x=X, y=Y)], r"\(inputs, targets\).*UserDict with x, y.*from_loss"),
        ((X, None), r"no targets.*from_loss"),
        (((255 * X.abs()).to(torch.uint8), Y), r"integers \(uint8, int64\).*x.float\(\) / 255"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_data_for_output_and_target_is_refused_with_the_way_out(data, message):
    with pytest.raises(ls.ObjectiveError, match=message):
        ls.Objective(make_linear(), F.cross_entropy, data)


def test_integer_images_are_refused_before_a_convolution_and_integer_targets_before_a_regression():
    with torch.random.fork_rng():
        model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 2), torch.nn.Flatten(), torch.nn.Linear(8, 2))
    images = torch.randint(256, (11, 1, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ls.ObjectiveError, match=r"integers \(uint8, int64\).*x.float\(\) / 255"):
        ls.Objective(model, F.cross_entropy, (images, Y))
    labels = F.one_hot(Y, 2)
    with pytest.raises(ls.ObjectiveError, match=r"integers \(int64\).*other numbers as x.float\(\)"):
        ls.Objective(make_linear(), F.binary_cross_entropy_with_logits, (X, labels))


def test_complex_data_stay_complex_and_their_imaginary_nan_is_found():
    z = torch.complex(X, X.flip(0))
    seen = []

    def loss(model, batch):
        seen.append(batch.dtype)
        return model(batch.abs()).square().mean()

    objective = ls.Objective.from_loss(make_linear(), loss, z)
    assert_right(objective, hessian_by_differences(make_linear(), lambda m: m(z.abs().double()).square().mean()))
    objective.with_dtype(torch.float64).loss()
    assert set(seen) == {torch.complex64, torch.complex128}
    z[4, 1] = complex(0, float("nan"))
    with pytest.raises(ls.ObjectiveError, match="NaN or infinity, first in batch 0 of 1, example 4 of 11"):
        ls.Objective.from_loss(make_linear(), loss, z)


# ---------------------------------------------------------------------------------------------- digests


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Carrier:
    def __init__(self, **named):
        self.__dict__.update(named)


OTHERS = [
    (X, Y),
    (X, (Y,)),
    ((X, Y), None),
    (X, Y.double()),
    (X.reshape(11, 1, 3), Y),
    {"x": X, "y": Y},
    {"y": X, "x": Y},
    Encoding(x=X, y=Y),
    PlainDict(x=X, y=Y),
    Example(X, Y),
    Example(X, Y, "telescope"),
    Frozen(X, Y),
    Named(X, Y),
    Carrier(x=X, y=Y),
    Carrier(x=X, y=Y, colour=Colour.RED),
    Carrier(x=X, y=Y, colour=Colour.BLUE),
    Carrier(x=X, y=Y, tags={"a", "b"}),
    Carrier(x=X, y=Y, tags={"a", "c"}),
    Carrier(x=X, y=Y, limit=1),
    Carrier(x=X, y=Y, limit=1.0),
    Carrier(x=X, y=Y, limit=True),
    Carrier(x=X, y=Y, limit="1"),
    Carrier(x=X, y=Y, path=Path("a")),
    Carrier(x=X, y=Y, table=np.arange(5000)),
    Carrier(x=X, y=Y, table=np.where(np.arange(5000) == 2500, 0, np.arange(5000))),
    Carrier(x=X, y=Y, inner=Carrier(value=1)),
    Carrier(x=X, y=Y, inner=Carrier(value=2)),
    {"x": X, "y": Y, "file": [str(i) for i in range(11)]},
    {"x": X, "y": Y, "file": [str(i) for i in range(10)] + ["x"]},
]


def test_two_different_data_sets_never_have_one_digest():
    digests = [Batches([data]).digest() for data in OTHERS]
    assert len(set(digests)) == len(OTHERS)
    assert digests == [Batches([copy.deepcopy(data)]).digest() for data in OTHERS]


def test_equal_data_sets_have_equal_digests_in_another_process():
    code = (
        "from tests.objective.test_batches import OTHERS\nfrom landscape.objective.batches import Batches\n"
        "print(*(Batches([data]).digest() for data in OTHERS))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [Batches([data]).digest() for data in OTHERS]


def test_pairs_of_tensors_keep_the_digest_that_stored_results_have():
    x, y = torch.arange(6, dtype=torch.float32).reshape(3, 2), torch.tensor([0, 1, 1])
    assert Batches((x, y)).digest() == "b0cd231835fcc45ddb6dc6e26728a9645d349ebb05de80f3825988c0764a25fc"
    assert Batches([(x[:2], y[:2]), (x[2:], y[2:])]).digest() == Batches((x, y)).digest()


def test_what_has_no_value_has_no_digest():
    batch = Carrier(x=X, y=Y, transform=lambda x: x)
    objective = ls.Objective.from_loss(make_linear(), lambda m, b: F.cross_entropy(m(b.x), b.y), [batch])
    assert objective.loss() > 0
    with pytest.raises(ls.ObjectiveError, match=r"a function \(at Carrier.transform\), which has no value"):
        objective.digest()


def test_a_loss_that_is_a_partial_function_has_one_name_in_every_process():
    from functools import partial

    loss = partial(F.cross_entropy, label_smoothing=0.1)
    objective = ls.Objective(make_linear(), loss, (X, Y))
    assert "0x" not in objective.loss_name
    assert "label_smoothing=0.1" in objective.loss_name
