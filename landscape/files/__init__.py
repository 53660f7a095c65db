"""Whole files with a seal: HDF5, written and read without HDF5's library. Under checkpoints and results."""

from landscape.files.atomic import NotAFile, opened, placing, reason, remove_leftovers, replacing
from landscape.files.ledger import Ledger
from landscape.files.lock import Held, WriterLock
from landscape.files.reader import Dataset, Group, Malformed
from landscape.files.seal import SEAL_SIZE, Damaged, Proof, Sealed, Unusable, compared, is_sealed, reading, writing
from landscape.files.writer import NewDataset, NewGroup

__all__ = [
    "SEAL_SIZE",
    "Damaged",
    "Dataset",
    "Group",
    "Held",
    "Ledger",
    "Malformed",
    "NewDataset",
    "NewGroup",
    "NotAFile",
    "Proof",
    "Sealed",
    "Unusable",
    "WriterLock",
    "compared",
    "is_sealed",
    "opened",
    "placing",
    "reading",
    "reason",
    "remove_leftovers",
    "replacing",
    "writing",
]
