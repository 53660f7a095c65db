"""Checkpoint files: HDF5, written as a whole, hashed, never pickled. checkpoints/README.md documents the format."""

from landscape.checkpoints.describe import describe_checkpoint, hashes_hold
from landscape.checkpoints.files import FORMAT, FORMAT_VERSION, DamagedCheckpoint, remove_temporaries
from landscape.checkpoints.losses import LossPath
from landscape.checkpoints.matching import Matching, match_losses
from landscape.checkpoints.reader import Checkpoint, load_checkpoint
from landscape.checkpoints.runs import CheckpointDir, Skipped, checkpoint_files, find_runs, history_of
from landscape.checkpoints.writer import save_checkpoint

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "Checkpoint",
    "CheckpointDir",
    "DamagedCheckpoint",
    "LossPath",
    "Matching",
    "Skipped",
    "checkpoint_files",
    "describe_checkpoint",
    "find_runs",
    "hashes_hold",
    "history_of",
    "load_checkpoint",
    "match_losses",
    "remove_temporaries",
    "save_checkpoint",
]
