"""Checkpoints of other libraries: PyTorch, Lightning, safetensors, Hugging Face and others. One converter a file.

A file is recognised by what is in it (``formats``), read without running anything that it names (``pickles``), given
its names in the problem's model (``naming``), its optimizer's state named (``optimizer_states``), and written by
``save_checkpoint``.
"""

from landscape.checkpoints.importers.describe import describe_foreign
from landscape.checkpoints.importers.foreign import Foreign, NotACheckpoint
from landscape.checkpoints.importers.formats import is_foreign, read_foreign
from landscape.checkpoints.importers.importing import import_checkpoint
from landscape.checkpoints.importers.in_place import import_in_place

__all__ = [
    "Foreign",
    "NotACheckpoint",
    "describe_foreign",
    "import_checkpoint",
    "import_in_place",
    "is_foreign",
    "read_foreign",
]
