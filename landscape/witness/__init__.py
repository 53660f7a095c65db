"""Does this installation work, and do others measure the same? Closed forms, and other tools on one objective."""

from landscape.witness.crosscheck import WITNESSES, crosscheck

__all__ = ["WITNESSES", "crosscheck"]
