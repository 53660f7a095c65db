"""A device that is pretended: its tensors lie in the memory of the CPU, and torch believes that they do not.

It holds code that was written beside a CPU to what a GPU would refuse. It is a backend of torch like any other, written
in Python (``PrivateUse1``): its tensors say that they are on ``pretended:0``, come from ``.to()`` and factories alone,
and go through everything of torch that lies above kernels as those of CUDA do: autograd, with a thread of its own for
backward passes, ``torch.func``, forward mode, recordings, optimizers.

It sees
    tensors of the CPU beside its own, except numbers without dimensions where CUDA takes them, and indices; writing
    into one of the CPU; generators of the CPU for its tensors; ``.numpy()`` without ``.cpu()``; float64 where there is
    none (:func:`without_float64`); random numbers drawn from its own generator; memory that was read before it was
    written, which holds NaN; how often numbers were read from it and sent to it (:data:`counts`).

It does not see
    what depends on kernels: which operations a GPU lacks, their rounding, TF32, that sums are not reproducible; streams
    and work that is still on its way when a clock is read (waits are counted); memory, of which there is enough;
    compiled code; several devices. It has no generators of its own (``torch.Generator(device=…)``) and no fused LSTM.
"""

from tests.support.pretended_device.installing import install, without_float64
from tests.support.pretended_device.kernels import counts
from tests.support.pretended_device.memory import NAME, NoFloat64Error
from tests.support.pretended_device.processes import on_pretended_device
from tests.support.pretended_device.rules import WrongSideError, refusals

__all__ = [
    "NAME",
    "NoFloat64Error",
    "WrongSideError",
    "counts",
    "install",
    "on_pretended_device",
    "refusals",
    "without_float64",
]
