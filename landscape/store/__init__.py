"""Results on disk: every record with its provenance, written as it comes, found again after a kill. No torch."""

from landscape.store.citations import citations
from landscape.store.files import FORMAT, FORMAT_VERSION, is_results_file
from landscape.store.levels import ALONG, AROUND, LEVELS
from landscape.store.loading import load_results
from landscape.store.rows import final_rows, rows
from landscape.store.summary import describe_results
from landscape.store.view import CheckpointResults, PairResult, Results, RunResults
from landscape.store.writer import ResultStore

__all__ = [
    "ALONG",
    "AROUND",
    "FORMAT",
    "FORMAT_VERSION",
    "LEVELS",
    "CheckpointResults",
    "PairResult",
    "ResultStore",
    "Results",
    "RunResults",
    "citations",
    "describe_results",
    "final_rows",
    "is_results_file",
    "load_results",
    "rows",
]
