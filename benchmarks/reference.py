"""The judge: the Hessian of a case by plain double backward in float64, which shares no code with either side."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.cases import Case
from landscape.store.outputs import write_whole

#: Eigenvalues taken out before the rest of the trace is left to probes, and how many probes.
TRACE_PAIRS, TRACE_PROBES = 64, 512


class Reference:
    """Gradients and Hessian-vector products of a case, batch by batch, in the dtype asked for.

    Parameters
    ----------
    case : Case
    dtype : torch.dtype
    state : dict, optional
        Parameters and buffers other than those of the case's model.
    keep : bool
        Keep the gradient's graph: for many products, where it fits into memory.
    """

    def __init__(
        self,
        case: Case,
        *,
        dtype: torch.dtype = torch.float64,
        state: dict[str, Tensor] | None = None,
        keep: bool = False,
    ) -> None:
        self.model = copy.deepcopy(case.model)
        if state is not None:
            self.model.load_state_dict(state)
        self.model = self.model.to(dtype).eval()
        self.loss, self.dtype, self.keep = case.loss, dtype, keep
        self.batches = [(x.to(dtype) if x.is_floating_point() else x, y) for x, y in case.batches]
        self.tensors = list(self.model.parameters())
        self._graphs: list[list[Tensor]] = []

    @property
    def dim(self) -> int:
        """P."""
        return sum(t.numel() for t in self.tensors)

    def _gradients(self, inputs: Tensor, targets: Tensor) -> list[Tensor]:
        loss = self.loss(self.model(inputs), targets)
        return list(torch.autograd.grad(loss, self.tensors, create_graph=True))

    def _all_gradients(self) -> Any:
        if not self.keep:
            return (self._gradients(*batch) for batch in self.batches)
        if not self._graphs:
            self._graphs = [self._gradients(*batch) for batch in self.batches]
        return self._graphs

    def gradient(self) -> Tensor:
        """∇L, shape (P,)."""
        with sdpa_kernel(SDPBackend.MATH):
            parts = [flat(gradients).detach() for gradients in self._all_gradients()]
        return torch.stack(parts).mean(0)

    def products(self, V: Tensor) -> Tensor:
        """H V for V of shape (P, K)."""
        V = V.to(self.dtype)
        sizes = [t.numel() for t in self.tensors]
        out = torch.zeros_like(V)
        with sdpa_kernel(SDPBackend.MATH):
            for gradients in self._all_gradients():
                for k in range(V.shape[1]):
                    pieces = [p.view_as(t) for p, t in zip(V[:, k].split(sizes), self.tensors, strict=True)]
                    last = not self.keep and k == V.shape[1] - 1
                    rows = torch.autograd.grad(gradients, self.tensors, pieces, retain_graph=not last)
                    out[:, k] += flat(rows) / len(self.batches)
        return out

    def to_scipy(self) -> LinearOperator:
        """The Hessian for SciPy, in float64 whatever the dtype inside."""

        def matvec(v: np.ndarray) -> np.ndarray:
            return self.products(torch.from_numpy(np.array(v, dtype=np.float64)).view(-1, 1))[:, 0].double().numpy()

        return LinearOperator((self.dim, self.dim), matvec=matvec, dtype=np.float64)


def flat(tensors: Any) -> Tensor:
    """Tensors as one vector (P,), in the order of ``model.parameters()``, which is the order of θ for everyone here."""
    return torch.cat([t.reshape(-1) for t in tensors])


def remembered(case: Case, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """A reference value, computed once for a case and kept in its cache folder where it has one."""
    if key not in case.memo:
        path = None if case.cache is None else case.cache / f"{case.name}-{case.size}-{key}.npy"
        if path is not None and path.exists():
            case.memo[key] = np.load(path)
        else:
            case.memo[key] = compute()
            if path is not None:
                np.save(stream := io.BytesIO(), case.memo[key])
                write_whole(path, stream.getvalue())
    return case.memo[key]


def reference_products(case: Case, count: int) -> np.ndarray:
    """H V (P, count) for the case's own test vectors."""
    return remembered(case, f"products{count}", lambda: Reference(case).products(case.vectors(count)).numpy())


def reference_gradient(case: Case) -> np.ndarray:
    """∇L (P,)."""
    return remembered(case, "gradient", lambda: Reference(case).gradient().numpy())


def reference_dense(case: Case) -> np.ndarray:
    """The Hessian itself (P, P), symmetrised."""
    reference = Reference(case, keep=True)
    dense = reference.products(torch.eye(reference.dim, dtype=torch.float64)).numpy()
    symmetric: np.ndarray = (dense + dense.T) / 2
    return symmetric


def reference_spectrum(case: Case) -> np.ndarray:
    """All eigenvalues (P,), ascending, from the dense float64 Hessian."""
    return remembered(case, "spectrum", lambda: np.linalg.eigvalsh(reference_dense(case)))


def reference_largest(case: Case, count: int) -> np.ndarray:
    """The ``count`` largest eigenvalues, descending, by ARPACK on the float64 Hessian."""

    def compute() -> np.ndarray:
        operator = Reference(case, keep=True).to_scipy()
        return eigsh(operator, k=count, which="LA", tol=1e-7, return_eigenvectors=False)[::-1].copy()

    return remembered(case, f"largest{count}", compute)


def reference_trace(case: Case) -> tuple[float, float, float]:
    """The trace, its standard error, and the standard deviation of ``zᵀHz`` for one sign vector z.

    The outlying eigenvalues exactly, the rest from many probes; in float32 products, for the trace is wanted to a tenth
    of a percent and not to rounding. Exact where that is no more work.
    """

    def compute() -> np.ndarray:
        if case.dim <= TRACE_PAIRS + TRACE_PROBES:
            dense = reference_dense(case)
            return np.array(
                [np.trace(dense), 0.0, np.sqrt(2 * (np.square(dense).sum() - np.square(np.diag(dense)).sum()))]
            )
        reference = Reference(case, dtype=torch.float32, keep=True)
        _, vectors = eigsh(reference.to_scipy(), k=TRACE_PAIRS, which="LM", tol=1e-3)
        Q = torch.linalg.qr(torch.from_numpy(vectors)).Q
        HQ = reference.products(Q).double()
        inside = float((Q * HQ).sum())
        generator = torch.Generator().manual_seed(2)
        plain, rest = [], []
        for _ in range(TRACE_PROBES):
            z = torch.randint(0, 2, (case.dim, 1), generator=generator, dtype=torch.float64) * 2 - 1
            Hz, within = reference.products(z).double(), Q.T @ z
            plain.append(float((z * Hz).sum()))
            rest.append(float(((z - Q @ within) * (Hz - HQ @ within)).sum()))
        return np.array([inside + np.mean(rest), np.std(rest, ddof=1) / np.sqrt(len(rest)), np.std(plain, ddof=1)])

    value, sem, spread = remembered(case, "trace", compute)
    return float(value), float(sem), float(spread)


def relative_residuals(
    case: Case,
    values: np.ndarray,
    vectors: np.ndarray,
    *,
    state: dict[str, Tensor] | None = None,
    dtype: torch.dtype = torch.float64,
) -> np.ndarray:
    """‖Hu − λu‖ / |λ| of each pair (K,), the vectors (P, K) brought to length 1 first.

    Float32 products are wrong in the sixth digit, which is little beside a residual of 1e-3 and a quarter of the work.
    """
    U = torch.from_numpy(np.array(vectors, dtype=np.float64))
    U = U / U.norm(dim=0)
    eigenvalues = torch.from_numpy(np.array(values, dtype=np.float64))
    apart = Reference(case, state=state, dtype=dtype).products(U).double() - U * eigenvalues
    relative: np.ndarray = (apart.norm(dim=0) / eigenvalues.abs()).numpy()
    return relative
