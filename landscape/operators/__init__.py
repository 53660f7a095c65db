"""Symmetric operators: what estimators know of an objective."""

from landscape.operators.base import IdentityOperator, LinearOperator, MatrixOperator
from landscape.operators.hessian import HessianOperator

__all__ = ["HessianOperator", "IdentityOperator", "LinearOperator", "MatrixOperator"]
