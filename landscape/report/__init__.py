"""Results in, one HTML file out: readable on a phone, in print and without a network."""

from landscape.report.build import write_report

__all__ = ["write_report"]
