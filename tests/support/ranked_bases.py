"""What estimators with bases in slices find, and how those slices are, as plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import landscape as ls
from landscape import distributed
from landscape.device import peak_of_process
from landscape.estimators.krylov.lanczos import Krylov
from landscape.estimators.krylov.projection import orthogonalise
from landscape.estimators.krylov.several_starts import Lockstep
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.estimators.vectors import Slices
from tests.support.ranked_questions import perceptron

STEPS = 12


def hessian(dtype: torch.dtype = torch.float64) -> ls.HessianOperator:
    """Of 66 parameters, which neither 4 nor 5 ranks divide."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        objective = perceptron(chunk=16, dtype=dtype)
    return ls.HessianOperator(objective, route="fresh")


def estimates(dtype: torch.dtype) -> dict[str, np.ndarray]:
    """By every iteration that holds a basis: more vectors than fit, so that all of them restart."""
    H = hessian(dtype)
    how: dict[str, Any] = {"tol": 1e-6 if dtype == torch.float64 else 1e-4, "max_matvecs": 2000}
    eigs = ls.top_eigenpairs(H, 3, which="both", max_basis=14, **how)
    near = eigs.vectors + 0.02 * np.linspace(-1, 1, H.dim)[:, None].astype(eigs.vectors.dtype)
    found = {
        "restarted": eigs.values,
        "from a guess": ls.top_eigenpairs(H, 3, which="both", start=near, max_basis=20, **how).values,
        "from a block": ls.top_eigenpairs(H, 2, block=2, max_basis=12, **how).values,
        "locally optimal": ls.top_eigenpairs(H, 2, method="lobpcg", **how).values,
        "by powers": ls.top_eigenpairs(H, 1, method="power", **how).values,
        "by powers, from a guess": ls.top_eigenpairs(H, 1, method="power", start=near[:, :1], **how).values,
        "from a core": ls.top_eigenpairs(H, 2, core=0.6, max_basis=16, **how).values,
        "from a core and a guess": ls.top_eigenpairs(H, 2, core=0.6, start=near[:, :2], max_basis=16, **how).values,
        "of a sum": ls.top_eigenpairs(2 * H + ls.IdentityOperator(H.dim), 2, max_basis=12, **how).values,
        "with a preconditioner": ls.top_eigenpairs(
            ls.PreconditionedOperator(H, np.linspace(1, 2, H.dim)), 2, max_basis=12, **how
        ).values,
        "whether any is missed": ls.search_missed(H, eigs=eigs, max_matvecs=20).largest,
        "of second order": ls.second_order_gain(H, H.objective.gradient(), eigs=eigs, num_steps=8).over_descent,
    }
    return _plain(found | tracked(H, how) | averages(H, eigs))


def tracked(H: ls.HessianOperator, how: dict[str, Any]) -> dict[str, Any]:
    """Pairs of one operator after another, by a model of all products."""
    tracker, found = ls.EigenTracker(k=2, rank=6, tol=how["tol"]), {}
    for number in range(3):
        found[f"tracked {number}"] = tracker.update(H.at((1 + 0.01 * number) * H.theta)).values
    return found


def averages(H: ls.HessianOperator, eigs: ls.Eigenpairs) -> dict[str, Any]:
    """Densities and traces, by bases of several runs and by sketches."""
    spectrum = ls.spectrum(H, k=2, num_probes=3, num_steps=12, strict=False)
    density = ls.spectral_density(H, eigs, num_probes=2, num_steps=8)
    to_accuracy = ls.spectral_density(H, tol=0.05, strict=False)
    found = {
        "spectrum": spectrum.eigs.values, "its trace": spectrum.trace.value, "its nodes": spectrum.density.nodes,
        "density of the rest": density.nodes, "its weights": density.weights,
        "density to an accuracy": to_accuracy.nodes[:, :4],
        "trace of the rest": ls.trace(H, method="deflated", eigs=eigs, num_probes=6).value,
        "trace outside of vectors": ls.trace(H, method="deflated", eigs=eigs.vectors, num_probes=12).value,
        "moments": ls.spectral_moments(H, (1, 2, 3), method="hutch++", num_probes=12).values,
        "diagonal": ls.diagonal(H, method="xdiag", num_probes=12).values,
    }  # fmt: skip
    return found | {name: ls.trace(H, method=name, num_probes=12).value for name in ("hutch++", "xtrace")}


def factorisation(dtype: torch.dtype) -> dict[str, Any]:
    """A Krylov space through a restart, put together again, and how much of it a rank holds."""
    H = hessian(dtype)
    matvecs = Matvecs(H, 1000)
    slices = matvecs.slices

    def fresh(i: int) -> torch.Tensor:
        return slices.own(probe(i, H.dim, seed=3, kind="gaussian", dtype=dtype))

    space = Krylov(matvecs, fresh(0), capacity=STEPS, fresh=lambda i: fresh(i + 1))
    for _ in range(2 * STEPS):
        if space.is_full:
            values, vectors = space.ritz()
            space.restart(values[-5:], vectors[:, -5:])
        space.step()
    runs = Lockstep(matvecs, torch.stack([fresh(7), fresh(8)]), steps=STEPS)
    runs.run()
    A, Q, r = H.dense().double(), slices.whole(space.basis).double(), slices.whole(space.residual).double()
    defect = A @ Q - Q @ torch.from_numpy(space.projected)
    defect[:, -1] -= r
    one = slices.whole(runs.basis(1)).double()
    return {
        "size": H.dim, "held": space.basis.shape[0], "scale": float(torch.linalg.matrix_norm(A, 2)),
        "defect": float(defect.abs().max()), "aslant": float((Q.T @ Q - torch.eye(space.size)).abs().max()),
        "residual aslant": float((Q.T @ r).abs().max()), "bits": _plain({"Q": Q, "T": space.projected}),
        "run aslant": float((one.T @ one - torch.eye(STEPS)).abs().max()),
    }  # fmt: skip


def algebra() -> dict[str, Any]:
    """Each operation on slices, of vectors that are shorter, and longer, than there are ranks."""
    group, found = distributed.current(), dict[str, Any]()
    for size in (1, 2, 7, 100):
        slices = Slices(size, group)
        draw = torch.Generator().manual_seed(size)
        V = torch.randn(size, min(size, 5), generator=draw, dtype=torch.float64)
        V[:, 1:] = V[:, :1] + 1e-9 * V[:, 1:]  # nearly the same direction
        own, tiny = slices.own(V), slices.own(1e-200 * V)
        Q, R = slices.qr(own)
        wide = slices.qr(slices.own(torch.randn(size, 8, generator=draw, dtype=torch.float64)))
        rest = slices.outside(slices.own(torch.ones(size, dtype=torch.float64)), Q)
        found |= {
            f"{size} again": slices.whole(own) - V, f"{size} one again": slices.whole(own[:, 0]) - V[:, 0],
            f"{size} product": slices.whole(Q) @ R - V, f"{size} basis": slices.whole(Q).T @ slices.whole(Q),
            f"{size} wide basis": slices.whole(wide[0]).T @ slices.whole(wide[0]), f"{size} tiny": slices.norms(tiny),
            f"{size} norm": slices.norm(own[:, 0]), f"{size} dots": slices.dots(own, own),
            f"{size} largest": slices.largest(own), f"{size} sum": slices.sum(own.T @ own),
            f"{size} outside": slices.sum(Q.T @ rest), f"{size} in memory": slices.in_memory(own) - V,
        }  # fmt: skip
    return _plain(found)


def exchanges() -> list[int]:
    """How many a projection on a basis takes, of few vectors and of many; and a step of Lanczos."""
    H, group = hessian(), distributed.current()
    assert group is not None
    matvecs = Matvecs(H, 1000)
    slices, counts = matvecs.slices, []
    rows = slices.own(torch.linalg.qr(torch.randn(H.dim, 40, generator=torch.Generator().manual_seed(0)))[0]).T.double()
    for count in (2, 40):
        before = group.traffic.calls
        orthogonalise(slices.own(probe(0, H.dim, seed=0)), rows[:count], slices=slices)
        counts.append(group.traffic.calls - before)
    space = Krylov(matvecs, slices.own(probe(0, H.dim, seed=0)), capacity=9)
    before = group.traffic.calls
    space.step()
    return [*counts, group.traffic.calls - before]


def peak_of_a_basis(width: int, vectors: int) -> dict[str, float]:
    """Bytes by which a basis of so many vectors, of about 2 · 256 · width parameters, raised the most that was used."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(256, width), nn.Tanh(), nn.Linear(width, 256))
        objective = ls.Objective(model, functional.mse_loss, (torch.randn(6, 256), torch.randn(6, 256)), check=False)
    H = ls.HessianOperator(objective, route="fresh")
    for _ in range(2):
        H @ torch.ones(H.dim)
    before = peak_of_process()
    eigs = ls.top_eigenpairs(H, 1, tol=0, max_basis=vectors, max_matvecs=vectors + 2, strict=False)
    return {"parameters": H.dim, "bytes": peak_of_process() - before, "value": float(eigs.values[0])}


def _plain(found: dict[str, Any]) -> dict[str, np.ndarray]:
    return {key: torch.as_tensor(value, dtype=torch.float64).numpy().copy() for key, value in found.items()}
