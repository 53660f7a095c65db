"""What an operator is as a sum over examples, H = G + R, and its trace and diagonal from examples that are drawn."""

from landscape.operators.by_example.sums import SumsOverExamples
from landscape.operators.by_example.terms import Probe, Term

__all__ = ["Probe", "SumsOverExamples", "Term"]
