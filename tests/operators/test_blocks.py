"""Blocks of parameters: by glob, by module, and as a block diagonal of Hessian, Gauss-Newton and Fisher matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.errors import UsageError
from landscape.operators import (
    BlockDiagonalOperator,
    FisherOperator,
    GaussNewtonOperator,
    HessianOperator,
    MatrixOperator,
    PreconditionedOperator,
    block_diagonal,
)
from tests.support.jacobians import assert_matrix, dense_gauss_newton, make_network
from tests.support.networks import dense_hessian

NAMES = ["0.weight", "0.bias", "2.weight", "2.bias"]
OPERATORS = {
    "hessian": HessianOperator,
    "gauss-newton": GaussNewtonOperator,
    "fisher": FisherOperator,
    "preconditioned": lambda o: PreconditionedOperator(HessianOperator(o), torch.ones(o.layout.size)),
}


@pytest.fixture(scope="module", params=OPERATORS)
def whole(request):
    """(operator, its dense matrix by another route, model) of the tanh MLP, on chunks of 7, 4 and 2."""
    model, loss_fn, batches, likelihood = make_network("mlp")
    objective = ls.Objective(model, loss_fn, batches, chunk=None, check=False)
    if request.param in ("hessian", "preconditioned"):
        dense = dense_hessian(model, loss_fn, batches)
    else:
        dense = dense_gauss_newton(model, batches, likelihood)
    return OPERATORS[request.param](objective), dense, model


def places(objective, names):
    slices = objective.layout.slices()
    return [i for name in names for i in range(slices[name].start, slices[name].stop)]


def objective_of(operator):
    return operator._base.objective if isinstance(operator, PreconditionedOperator) else operator.objective


def test_a_block_by_glob_or_module_is_the_diagonal_block_of_the_matrix(whole):
    operator, dense, model = whole
    for pattern, names in [
        ("2.*", NAMES[2:]),
        (["0.bias", "2.weight"], NAMES[1:3]),
        (model[0], NAMES[:2]),
        (model, NAMES),
    ]:
        where = places(objective_of(operator), names)
        assert_matrix(operator.block(pattern).dense(), dense[where][:, where])


def test_a_block_at_another_theta_keeps_the_other_parameters_there():
    model, loss_fn, batches, _ = make_network("mlp")
    objective = ls.Objective(model, loss_fn, batches, check=False)
    for kind in (HessianOperator, GaussNewtonOperator):
        operator = kind(objective, 1.5 * objective.theta)
        where = places(objective, ["2.weight"])
        assert_matrix(operator.block(model[2]).block("*weight").dense(), operator.dense()[where][:, where])


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("tensor", {name: [name] for name in NAMES}),
        ("module", {"0": NAMES[:2], "2": NAMES[2:]}),
        (["*.weight", "*.bias"], {"*.weight": NAMES[::2], "*.bias": NAMES[1::2]}),
        ({"first": "0.*", "last": ["2.bias", "2.weight"]}, {"first": NAMES[:2], "last": NAMES[2:]}),
        ([["0.weight", "2.weight"], "*.bias"], {"0.weight,2.weight": NAMES[::2], "*.bias": NAMES[1::2]}),
    ],
)
def test_groups_part_theta_and_their_blocks_make_the_block_diagonal(whole, groups, expected):
    operator, dense, _ = whole
    together = block_diagonal(operator, groups)
    kept = torch.zeros_like(dense)
    for names in expected.values():
        where = torch.tensor(places(objective_of(operator), names))
        kept[where[:, None], where] = dense[where[:, None], where]
    assert_matrix(together.dense(), kept)
    assert (kept - dense).norm() > 0.01 * dense.norm()
    assert list(operator.blocks(groups)) == list(together.blocks()) == list(expected)
    v = torch.ones(together.dim, dtype=torch.float64)
    assert_matrix(together @ v, kept @ v)


def test_modules_of_the_model_are_groups(whole):
    operator, dense, model = whole
    assert list(operator.blocks([model[0], model[2]])) == ["0", "2"]
    assert_matrix(
        block_diagonal(operator, {"a": model[0], "b": model[2]}).dense(), block_diagonal(operator, "module").dense()
    )
    with torch.random.fork_rng():
        stranger = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"no parameter of θ is in this Linear"):
        operator.block(stranger)


def test_tied_weights_belong_to_every_module_that_holds_them():
    model, loss_fn, batches, _ = make_network("tied")
    H = HessianOperator(ls.Objective(model, loss_fn, batches, check=False))
    by_head, by_table, by_name = H.block(model.lm_head), H.block(model.wte), H.block("wte.weight")
    v = torch.arange(30, dtype=torch.float64)
    assert_matrix(by_head @ v, by_name @ v)
    assert_matrix(by_table @ v, by_name @ v)


def test_parameters_of_the_model_itself_are_a_group():
    class Scaled(torch.nn.Linear):
        pass

    with torch.random.fork_rng():
        model = Scaled(3, 4)
        data = torch.randn(5, 3), torch.randint(4, (5,))
    H = block_diagonal(ls.Objective(model, torch.nn.functional.cross_entropy, data), "module")
    assert list(H.blocks()) == ["(model)"]


def test_groups_that_are_no_partition_are_refused(whole):
    operator, _, model = whole
    for groups, message in [
        (["0.*"], r"2.weight is in no group"),
        (["0.*", "*"], r"0.weight is in 2 groups \(0.\*, \*\)"),
        ([model[0], "*.bias", "2.weight"], r"0.bias is in 2 groups \(0, \*.bias\)"),
        ("layer", "'module'"),
        (["nothing*", "*"], "matches no trainable parameter"),
    ]:
        with pytest.raises(UsageError, match=message):
            block_diagonal(operator, groups)


def test_operators_without_names_have_no_blocks():
    with pytest.raises(UsageError, match="MatrixOperator knows no parameter names"):
        block_diagonal(MatrixOperator(np.eye(3)))


def test_a_block_diagonal_of_matrices_stands_by_itself():
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[5.0]])
    H = BlockDiagonalOperator({"a": MatrixOperator(a), "b": MatrixOperator(b)}, {"a": [2, 0], "b": [1]})
    expected = torch.tensor([[3.0, 0, 1], [0, 5, 0], [1, 0, 2]], dtype=torch.float64)
    assert_matrix(H.dense(), expected)
    with pytest.raises(UsageError, match="fixed: a, b"):
        H.blocks("tensor")
    one = MatrixOperator(b)
    for blocks, positions, message in [
        ({"a": one}, {"b": [0]}, "same names"),
        ({}, {}, "at least one"),
        ({"a": one}, {"a": [0, 1]}, r"'a' is \(1, 1\) but has positions \(2,\)"),
        ({"a": one, "b": one}, {"a": [0], "b": [0]}, "every place from 0 to 1 exactly once"),
        ({"a": one, "b": one}, {"a": [0], "b": [2]}, "every place from 0 to 1 exactly once"),
        ({"a": one, "b": MatrixOperator(torch.eye(1))}, {"a": [0], "b": [1]}, "do not match"),
    ]:
        with pytest.raises(UsageError, match=message):
            BlockDiagonalOperator(blocks, positions)


def test_trace_and_top_eigenvalue_are_those_of_the_blocks(whole):
    operator, _, _ = whole
    together = block_diagonal(operator)
    parts = [torch.linalg.eigvalsh(block.dense()) for block in operator.blocks().values()]
    top = ls.top_eigenpairs(together, 1, tol=1e-6).values[0]
    assert top == pytest.approx(float(max(values[-1] for values in parts)), rel=1e-9)
    assert float(together.dense().trace()) == pytest.approx(float(sum(values.sum() for values in parts)), rel=1e-12)
