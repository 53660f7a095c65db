"""Symmetric operators: what estimators know of an objective."""

from landscape.operators.base import LinearOperator
from landscape.operators.block_diagonal import BlockDiagonalOperator, block_diagonal
from landscape.operators.exact import ExactOperator, exact, exact_cost, exact_fits
from landscape.operators.fisher import FisherOperator
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.operators.hessian import HessianOperator, check_route
from landscape.operators.matrix import IdentityOperator, MatrixOperator
from landscape.operators.other_libraries import as_operator
from landscape.operators.preconditioned import PreconditionedOperator
from landscape.operators.preconditioners import preconditioner
from landscape.operators.subspaces import DeflatedOperator, ProjectedOperator

__all__ = [
    "BlockDiagonalOperator",
    "DeflatedOperator",
    "ExactOperator",
    "FisherOperator",
    "GaussNewtonOperator",
    "HessianOperator",
    "IdentityOperator",
    "LinearOperator",
    "MatrixOperator",
    "PreconditionedOperator",
    "ProjectedOperator",
    "as_operator",
    "block_diagonal",
    "check_route",
    "exact",
    "exact_cost",
    "exact_fits",
    "preconditioner",
]
