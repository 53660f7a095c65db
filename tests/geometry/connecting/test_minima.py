"""Every pair of minima: against formulas, each entry as if its pair were alone, and runs from their folders."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.errors import UsageError
from landscape.geometry.connecting import matrix
from landscape.objective import Objective
from tests.support.landscapes import built, draw
from tests.support.running_statistics import mlp, pair, question, trained

X = draw(24, 5, seed=3)


def quadratics(count=4):
    """The same least squares at several θ, and their Hessian."""
    models = [built(lambda: nn.Linear(5, 1, bias=False)).double() for _ in range(count)]
    for seed, model in enumerate(models):
        model.weight.data = draw(1, 5, seed=seed)
    data = X, X.sum(1, keepdim=True)
    return {f"m{i}": Objective(model, F.mse_loss, data) for i, model in enumerate(models)}, 2 / 24 * (X.T @ X).numpy()


def test_on_a_quadratic_distances_cosines_and_barriers_are_those_of_the_formulas():
    """Below the chord everywhere, so the barrier is 0; outputs differ by √(dᵀHd/2) in the root mean square."""
    objectives, hessian = quadratics()
    found = ls.minima_matrix(objectives)
    thetas = np.stack([o.theta.numpy() for o in objectives.values()])
    for i, j in itertools.product(range(4), repeat=2):
        apart = thetas[i] - thetas[j]
        assert found.distance[i, j] == pytest.approx(np.linalg.norm(apart), abs=1e-12)
        lengths = np.linalg.norm(thetas[i]) * np.linalg.norm(thetas[j])
        assert found.cosine[i, j] == pytest.approx(thetas[i] @ thetas[j] / lengths, rel=1e-12)
        assert found.barrier[i, j] == pytest.approx(0, abs=1e-12)
        assert found.disagreement[i, j] == pytest.approx(np.sqrt(0.5 * apart @ hessian @ apart), abs=1e-12)
    assert found.disagreement_of == "outputs, root mean square"
    np.testing.assert_allclose(found.losses, [o.loss() for o in objectives.values()])
    assert np.isnan(found.test_barrier).all()
    assert np.isnan(found.overlap).all()
    assert found.measured == ("barrier", "distance", "cosine", "disagreement")


def test_cosines_are_of_the_way_from_the_start_where_it_is_known():
    objectives, _ = quadratics(3)
    start = draw(5, seed=9)
    found = ls.minima_matrix(objectives, what=("cosine",), starts=[start] * 3)
    ways = [o.theta - start for o in objectives.values()]
    assert found.cosine[0, 2] == pytest.approx(float(F.cosine_similarity(ways[0], ways[2], dim=0)), rel=1e-12)
    assert found.cosine_of == "θ − θ₀"
    assert "cosine of θ − θ₀" in str(found)
    assert found.measured == ("cosine",)
    with pytest.raises(UsageError, match="1 starts were given for 3 minima"):
        ls.minima_matrix(objectives, starts=[start])


def classifiers():
    """Three that always predict one class, of targets that are padded: 0, 1, and 0 but for positive inputs."""
    x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0], [3.0]]), torch.tensor([0, 1, 0, 1, -100])
    found = {}
    for name, weight, bias in (("zero", [0.0, 0.0], [1.0, 0.0]), ("one", [0.0, 0.0], [0.0, 1.0]),
                               ("sign", [0.0, 1.0], [0.0, 0.0])):  # fmt: skip
        model = built(lambda: nn.Linear(1, 2))
        model.weight.data, model.bias.data = torch.tensor(weight)[:, None], torch.tensor(bias)
        loss = nn.CrossEntropyLoss()
        found[name] = Objective(model, loss, (x, y), weight=lambda batch: (batch[1] >= 0).sum())
    return found, x, y


def test_the_disagreement_of_classifiers_is_counted_by_hand_over_the_targets_that_count():
    found, x, y = classifiers()
    matrix = ls.minima_matrix(found)
    np.testing.assert_allclose(matrix.disagreement, [[0, 1, 0.5], [1, 0, 0.5], [0.5, 0.5, 0]])
    assert matrix.disagreement_of == "predicted classes"
    unseen = torch.tensor([[-1.0], [-2.0], [3.0], [-4.0]]), torch.tensor([0, 0, 1, 1])
    test = Objective(built(lambda: nn.Linear(1, 2)), nn.CrossEntropyLoss(), unseen)
    on_test = ls.minima_matrix(found, test=test)
    np.testing.assert_allclose(on_test.test_disagreement, [[0, 1, 0.25], [1, 0, 0.75], [0.25, 0.75, 0]])
    assert on_test.test_losses == pytest.approx([test.loss(o.theta) for o in found.values()])
    np.testing.assert_array_equal(on_test.disagreement, matrix.disagreement)


def test_each_entry_is_that_of_its_pair_alone_with_the_statistics_of_each_model():
    a, b, at_a, at_b = pair()
    at_c = question(trained(mlp, seed=2, lr=0.2))
    test = question(copy.deepcopy(a), x=draw(60, 6, seed=5))
    found = ls.minima_matrix({"a": at_a, "b": at_b, "c": at_c}, test=test, points=9)
    ends = [at_a, at_b, at_c]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        line = ls.interpolate(ends[i], ends[j], points=9, metrics={"test": test})
        assert found.barrier[i, j] == found.barrier[j, i] == line.barrier
        assert found.barrier_error[i, j] == line.barrier_bound - line.barrier
        assert found.test_barrier[i, j] == line.barrier_of("test")
    assert found.batch_statistics == "interpolate"
    assert found.test_losses[1] == pytest.approx(question(b, x=draw(60, 6, seed=5)).loss(), rel=1e-12)


@pytest.mark.parametrize("statistics", [None, "recompute", "fixed"])
def test_the_losses_are_those_of_the_models_whatever_their_lines_have_at_the_ends(statistics):
    _, _, at_a, at_b = pair()
    ends = [at_a, at_b, question(trained(mlp, seed=2, lr=0.2))]
    found = ls.minima_matrix(ends, what=("barrier",), points=3, batch_statistics=statistics)
    assert found.losses.tolist() == [one.loss() for one in ends]


def test_no_loss_of_a_minimum_is_computed_that_its_lines_have(monkeypatch):
    objectives, _ = quadratics(3)
    asked = []
    monkeypatch.setattr(matrix, "_losses_of", lambda model, test: asked.append(model) or (0.0, 0.0))
    ls.minima_matrix(objectives, what=("barrier",), points=3)
    assert not asked
    ls.minima_matrix(objectives, what=("distance",))
    assert len(asked) == 3


def test_the_overlap_is_that_of_the_top_eigenspaces():
    """Of one quadratic it is 1 everywhere; of eigenpairs that are given, what their angles say."""
    objectives, _ = quadratics(3)
    found = ls.minima_matrix(objectives, what=("overlap",), eigs=2)
    np.testing.assert_allclose(found.overlap, np.ones((3, 3)), atol=1e-6)
    assert found.overlap_dim == 2
    H = [ls.MatrixOperator(torch.diag(torch.tensor(d, dtype=torch.float64)))
         for d in ([5.0, 4, 1, 0, 0], [5.0, 1, 4, 0, 0], [0.0, 0, 1, 5, 4])]  # fmt: skip
    given = ls.minima_matrix(objectives, what=("overlap",), eigs=[ls.top_eigenpairs(h, 2) for h in H])
    np.testing.assert_allclose(given.overlap, [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]], atol=1e-6)
    with pytest.raises(UsageError, match="each of the 3 minima"):
        ls.minima_matrix(objectives, eigs=[given])


def test_an_alignment_is_used_for_the_second_of_each_pair():
    """Two networks that differ in the order of their neurons alone: aligned they are one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    other, order = copy.deepcopy(model), torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        other[0].weight.copy_(model[0].weight[order])
        other[0].bias.copy_(model[0].bias[order])
        other[2].weight.copy_(model[2].weight[:, order])
    a, b = (Objective(m, F.mse_loss, (X, model(X).detach())) for m in (model, other))

    def aligned(one, two):
        return one.theta

    before, after = ls.minima_matrix([a, b]), ls.minima_matrix([a, b], aligned=aligned)
    assert before.barrier[0, 1] > 1e-3
    assert before.distance[0, 1] > 0.5
    assert (after.barrier[0, 1], after.distance[0, 1]) == (pytest.approx(0, abs=1e-12), 0)
    assert after.cosine[0, 1] == pytest.approx(1)
    assert before.disagreement[0, 1] == pytest.approx(0, abs=1e-12)
    assert "after alignment" in str(after)
    assert "after alignment" not in str(before)


def test_minima_of_other_questions_are_refused_with_all_their_names():
    objectives, _ = quadratics(2)
    wide = built(lambda: nn.Linear(5, 2, bias=False)).double()
    other = Objective(wide, F.mse_loss, (X, X[:, :2]))
    with pytest.raises(UsageError, match=r"w, v: of another architecture than m0: the parameters weight of w"):
        ls.minima_matrix({**objectives, "w": other, "v": copy.copy(other)})
    apart = Objective(built(lambda: nn.Linear(5, 1, bias=False)).double(), F.mse_loss, (X + 1, X.sum(1, keepdim=True)))
    with pytest.raises(UsageError, match="z: on other data"):
        ls.minima_matrix({**objectives, "z": apart})
    with pytest.raises(UsageError, match="at least 2"):
        ls.minima_matrix({"m0": objectives["m0"]})
    with pytest.raises(UsageError, match="given twice"):
        ls.minima_matrix([objectives["m0"]] * 2)
    with pytest.raises(UsageError, match="what='height'"):
        ls.minima_matrix(objectives, what=("height",))


def test_where_the_loss_hides_the_outputs_there_is_no_disagreement():
    models = [built(lambda: nn.Linear(5, 1), seed=seed).double() for seed in range(2)]
    objectives = [Objective.from_loss(m, lambda m, batch: m(batch[0]).square().mean(), (X, X)) for m in models]
    found = ls.minima_matrix(objectives)
    assert np.isnan(found.disagreement).all()
    assert "disagreement" not in found.measured


def test_progress_counts_the_pairs():
    told = []
    ls.minima_matrix(quadratics(3)[0], progress=lambda done, most: told.append((done, most)))
    assert told == [(1, 3), (2, 3), (3, 3)]
