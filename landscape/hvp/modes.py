"""What sees every operation that torch carries out, without what torch loads for it."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class OperationMode(TorchDispatchMode):
    """A dispatch mode that is not wrapped for ``torch.compile``, whose modules take seconds to load."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch types no __init__ of a mode

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
