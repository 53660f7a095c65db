"""The same quantity on disjoint parts of the data, and the noise of a batch."""

from landscape.sampling.noise import gradient_noise, gradient_noise_scale
from landscape.sampling.subsets import over_subsets

__all__ = ["gradient_noise", "gradient_noise_scale", "over_subsets"]
