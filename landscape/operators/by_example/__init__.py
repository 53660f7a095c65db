"""What an operator is as a sum over examples, H = G + R, and its trace and diagonal from examples that are drawn."""

from landscape.operators.by_example.drawing import Probe, Sample
from landscape.operators.by_example.sums import SumsOverExamples
from landscape.operators.by_example.terms import Term

__all__ = ["Probe", "Sample", "SumsOverExamples", "Term"]
