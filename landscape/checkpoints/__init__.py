"""Checkpoint files: HDF5, written as a whole, hashed, never pickled. checkpoints/README.md documents the format."""

from landscape.checkpoints.describe import describe_checkpoint, hashes_hold
from landscape.checkpoints.files import FORMAT, FORMAT_VERSION, DamagedCheckpoint, remove_temporaries
from landscape.checkpoints.foreign_files import IMPORTED
from landscape.checkpoints.importers import describe_foreign, import_checkpoint, import_in_place, is_foreign
from landscape.checkpoints.losses import LossPath
from landscape.checkpoints.matching import Matching, match_losses
from landscape.checkpoints.reader import Checkpoint, load_checkpoint
from landscape.checkpoints.runs import CheckpointDir, Skipped, checkpoint_files, find_runs, history_of
from landscape.checkpoints.writer import save_checkpoint

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "IMPORTED",
    "Checkpoint",
    "CheckpointDir",
    "DamagedCheckpoint",
    "LossPath",
    "Matching",
    "Skipped",
    "checkpoint_files",
    "describe_checkpoint",
    "describe_foreign",
    "find_runs",
    "hashes_hold",
    "history_of",
    "import_checkpoint",
    "import_in_place",
    "is_foreign",
    "load_checkpoint",
    "match_losses",
    "remove_temporaries",
    "save_checkpoint",
]
