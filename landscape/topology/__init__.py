"""The shape of a surface that was evaluated: its basins, and the saddles between them. No torch."""

from landscape.topology.persistence import persistence

__all__ = ["persistence"]
