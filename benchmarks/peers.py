"""The peers' Hessians behind one face: ``product(V)`` for V of shape (P, K), with the matvecs counted.

Each is used as its documentation says. Where a tool takes batches it is given the whole data as one batch in one
contender and equal batches in another; the table shows both. None of them imports torchvision, and none
is changed but for what ``counting_pyhessian`` says.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.cases import Case
from benchmarks.harness import Answer, Contender, Run
from benchmarks.reference import flat


class Product(Protocol):
    """A Hessian that multiplies and counts."""

    matvecs: int

    def __call__(self, V: Tensor) -> Tensor:
        """H V, (P, K)."""


def split_like(v: Tensor, model: nn.Module) -> list[Tensor]:
    """(P,) as tensors of the shapes of the model's parameters."""
    tensors = list(model.parameters())
    pieces = v.split([t.numel() for t in tensors])
    return [piece.view_as(t) for piece, t in zip(pieces, tensors, strict=True)]


class PyHessian:
    """``pyhessian.hessian``: keeps the graph of the whole batch, or makes it anew for each batch of a loader."""

    def __init__(self, case: Case, *, batches: bool = False) -> None:
        pyhessian = importlib.import_module("pyhessian")
        self.model, self.matvecs = case.own_model(), 0
        source: dict[str, Any] = {"dataloader": case.batches} if batches else {"data": case.data}
        self.hessian = pyhessian.hessian(self.model, case.loss, cuda=False, **source)
        # Its backward(create_graph=True) leaves the graph in .grad, from where it would never be freed.
        self.model.zero_grad()

    def __call__(self, V: Tensor) -> Tensor:
        home: Any = importlib.import_module("pyhessian.utils")
        columns = []
        for v in V.unbind(1):
            pieces = split_like(v.contiguous(), self.model)
            if self.hessian.full_dataset:
                columns.append(flat(self.hessian.dataloader_hv_product(pieces)[1]))
            else:
                columns.append(flat(home.hessian_vector_product(self.hessian.gradsH, self.hessian.params, pieces)))
            self.matvecs += 1
        return torch.stack(columns, dim=1)


class Counter:
    """How many products PyHessian's own algorithms made."""

    matvecs = 0


@contextmanager
def counting_pyhessian(*, restore_eig: bool = False) -> Iterator[Counter]:
    """Count PyHessian's products on one batch; with ``restore_eig`` lend it the function that torch took away.

    ``torch.eig(T, eigenvectors=True)`` gave the eigenvalues as (n, 2), real and imaginary parts, and the eigenvectors;
    for the symmetric T that PyHessian passes, ``torch.linalg.eigh`` gives the same. Both are undone at the end.
    """
    home: Any = importlib.import_module("pyhessian.hessian")
    library: Any = torch  # whose stubs no longer know eig
    counter = Counter()
    multiply, removed = home.hessian_vector_product, library.eig

    def counted(*arguments: Any) -> Any:
        counter.matvecs += 1
        return multiply(*arguments)

    def symmetric_eig(T: Tensor, eigenvectors: bool) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(T)
        return torch.stack([values, torch.zeros_like(values)], dim=1), vectors

    home.hessian_vector_product = counted
    if restore_eig:
        library.eig = symmetric_eig
    try:
        yield counter
    finally:
        home.hessian_vector_product, library.eig = multiply, removed


class Eigenthings:
    """``hessian_eigenthings.HessianOperator``: double backward anew for each vector and batch."""

    def __init__(self, case: Case, *, batches: bool = False) -> None:
        package = importlib.import_module("hessian_eigenthings")
        self.matvecs = 0
        data = case.batches if batches else [case.data]
        base = package.HessianOperator(case.own_model(), data, package.supervised_loss(case.loss))

        def counted(v: Tensor) -> Tensor:
            self.matvecs += 1
            product: Tensor = base.matvec(v)
            return product

        # Its own wrapper for a callable: the algorithms take it as they take the operator.
        self.operator = package.LambdaOperator(counted, size=base.size, dtype=base.dtype)

    def __call__(self, V: Tensor) -> Tensor:
        return torch.stack([self.operator.matvec(v.contiguous()) for v in V.unbind(1)], dim=1)


class Curvlinops:
    """``curvlinops.HessianLinearOperator``: forward over reverse, vmapped over the columns.

    ``check_deterministic=False`` spares it the two gradients and two products by which it would look for randomness.

    Parameters
    ----------
    columns : int, optional
        At most so many at once: it multiplies all columns of a block at a time, whatever memory that takes.
    """

    def __init__(self, case: Case, *, batches: bool = False, columns: int | None = None) -> None:
        package = importlib.import_module("curvlinops")
        face, self.matvecs = self, 0

        class Counted(package.HessianLinearOperator):  # type: ignore[name-defined, misc]
            def _matmat(self, M: list[Tensor]) -> list[Tensor]:
                face.matvecs += M[0].shape[-1]
                if columns is None or M[0].shape[-1] <= columns:
                    whole: list[Tensor] = super()._matmat(M)
                    return whole
                parts = zip(*(m.split(columns, -1) for m in M), strict=True)
                blocks = [super(Counted, self)._matmat(list(part)) for part in parts]
                return [torch.cat(pieces, dim=-1) for pieces in zip(*blocks, strict=True)]

        model = case.own_model()
        data = case.batches if batches else [case.data]
        self.operator = Counted(model, case.loss, list(model.parameters()), data, check_deterministic=False)

    def __call__(self, V: Tensor) -> Tensor:
        return (self.operator @ V[:, 0].contiguous())[:, None] if V.shape[1] == 1 else self.operator @ V


class PlainTorch:
    """A dozen lines of eager double backward with the graph kept: what a user writes without a tool."""

    def __init__(self, case: Case, *, batches: bool = False) -> None:
        self.model, self.matvecs = case.own_model(), 0
        self.tensors = list(self.model.parameters())
        data = case.batches if batches else [case.data]
        losses = [case.loss(self.model(x), y) for x, y in data]
        self.gradients = [torch.autograd.grad(loss, self.tensors, create_graph=True) for loss in losses]

    def __call__(self, V: Tensor) -> Tensor:
        columns = []
        for v in V.unbind(1):
            pieces = split_like(v.contiguous(), self.model)
            rows = [torch.autograd.grad(g, self.tensors, pieces, retain_graph=True) for g in self.gradients]
            columns.append(torch.stack([flat(row) for row in rows]).mean(0))
            self.matvecs += 1
        return torch.stack(columns, dim=1)


def as_scipy(product: Product, dim: int) -> LinearOperator:
    """A product for ARPACK, which works in float64 around the float32 matvecs."""

    def matvec(v: np.ndarray) -> np.ndarray:
        return product(torch.from_numpy(np.array(v, dtype=np.float32)).view(-1, 1))[:, 0].numpy()

    return LinearOperator((dim, dim), matvec=matvec, dtype=np.float64)


#: name -> (module, how to open it on one batch or on several)
TOOLS: dict[str, tuple[str | None, Callable[..., Product]]] = {
    "PyHessian": ("pyhessian", PyHessian),
    "hessian-eigenthings": ("hessian_eigenthings", Eigenthings),
    "curvlinops": ("curvlinops", Curvlinops),
    "plain torch": (None, PlainTorch),
}


def product_contenders(columns: int, *, attention: bool = False) -> list[Contender]:
    """Every peer on the whole data and on equal batches; with ``attention`` again under the math kernel."""
    contenders = []
    for name, (package, tool) in TOOLS.items():
        role = "peer" if package else "yardstick"
        for batches in (False, True):
            label = f"{name}, batches" if batches else name
            contenders.append(Contender(label, products(tool, columns, batches=batches), package, role=role))
    return [*contenders, *map(on_math_attention, contenders)] if attention else contenders


def products(tool: Callable[..., Product], columns: int, *, batches: bool) -> Callable[[Case], Run]:
    """``prepare`` of: multiply the case's test vectors by a Hessian that is ready."""

    def prepare(case: Case) -> Run:
        product, V = tool(case, batches=batches), case.vectors(columns)
        return lambda repeat: Answer(product(V), columns)

    return prepare


def gradient_contenders() -> list[Contender]:
    """One eager gradient of the whole data, as one batch and in equal batches."""

    def prepare_with(batches: bool) -> Callable[[Case], Run]:
        def prepare(case: Case) -> Run:
            model = case.own_model()
            tensors, data = list(model.parameters()), case.batches if batches else [case.data]

            def run(repeat: int) -> Answer:
                total = torch.zeros(case.dim)
                for x, y in data:
                    total += flat(torch.autograd.grad(case.loss(model(x), y), tensors)) / len(data)
                return Answer(total[:, None])

            return run

        return prepare

    return [
        Contender("one gradient", prepare_with(False), role="yardstick"),
        Contender("one gradient, batches", prepare_with(True), role="yardstick"),
    ]


def on_math_attention(contender: Contender) -> Contender:
    """The same under ``sdpa_kernel(MATH)``, the work-around by which a user gets a second derivative of attention."""

    def prepare(case: Case) -> Run:
        with sdpa_kernel(SDPBackend.MATH):
            inner = contender.prepare(case)

        def run(repeat: int) -> Answer:
            with sdpa_kernel(SDPBackend.MATH):
                return inner(repeat)

        return run

    return replace(contender, name=f"{contender.name}, math attention", prepare=prepare)
