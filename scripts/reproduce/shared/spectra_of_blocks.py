"""The Hessian spectra of a network's weight tensors, and how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import rel_entr

import landscape as ls
from landscape.objective import Objective
from landscape.results import SpectralMeasure

BANDWIDTH = 0.01  # of the network's whole range of eigenvalues


@dataclass(frozen=True)
class Blocks:
    """The spectrum of each tensor's own diagonal block, by name."""

    spectra: dict[str, SpectralMeasure]

    def distances(self, bandwidth: float = BANDWIDTH, *, scaled: bool = False) -> np.ndarray:
        """Jensen-Shannon distance of each pair (K, K); every spectrum smoothed and read on the same grid.

        Parameters
        ----------
        bandwidth : float
            Of the smoothing, as a share of the range of all spectra together.
        scaled : bool
            Divide each spectrum by its own largest |eigenvalue|, so that only shapes are compared.
        """
        spectra = list(self.spectra.values())
        if scaled:
            spectra = [replace(one, nodes=one.nodes / abs(one.nodes).max()) for one in spectra]
        nodes = np.concatenate([one.nodes.ravel() for one in spectra])
        width = bandwidth * float(np.ptp(nodes))
        grid = np.arange(nodes.min() - 4 * width, nodes.max() + 4 * width, width / 5)
        rows = [one.density(grid, width)[1] for one in spectra]
        return np.array([[jensen_shannon(a, b) for b in rows] for a in rows])

    def mean_distance(self, bandwidth: float = BANDWIDTH, *, scaled: bool = False) -> float:
        """Mean over all pairs of different blocks."""
        distances = self.distances(bandwidth, scaled=scaled)
        return float(distances[np.triu_indices(len(distances), 1)].mean())

    @property
    def span(self) -> float:
        """The largest |eigenvalue| of the block with the largest ÷ that of the block with the smallest."""
        largest = [abs(one.nodes).max() for one in self.spectra.values()]
        return float(max(largest) / min(largest))


def block_spectra(objective: Objective, *, num_probes: int, num_steps: int, seed: int) -> Blocks:
    """The spectra of all tensors but vectors (biases, gains)."""
    H = ls.HessianOperator(objective)
    tensors = zip(objective.layout.names, objective.layout.shapes, strict=True)
    return Blocks(
        {
            name: ls.spectral_density(H.block(name), num_probes=num_probes, num_steps=num_steps, seed=seed)
            for name, shape in tensors
            if len(shape) > 1
        }
    )


def jensen_shannon(a: np.ndarray, b: np.ndarray) -> float:
    """Square root of the Jensen-Shannon divergence of two densities on one grid, in bits: 0 … 1.

    Lin (1991), IEEE Trans. Inf. Theory 37(1).
    """
    # Below that the mean of two numbers is rounded away.
    a, b = (np.where(x > 1e-300, x, 0.0) for x in (a / a.sum(), b / b.sum()))
    middle = (a + b) / 2
    return float(np.sqrt(max(rel_entr(a, middle).sum() + rel_entr(b, middle).sum(), 0) / (2 * np.log(2))))
