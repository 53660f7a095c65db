"""Optimizers and learning rate schedules by name, and what they ask of a training loop."""

from landscape.optimizers.base import Closure
from landscape.optimizers.decentralized import mixing_matrix, spectral_gap
from landscape.optimizers.imperfect import delayed_limit
from landscape.optimizers.registry import (
    BY_CLIENTS,
    FULL_BATCH,
    LEARNING_RATES,
    OPTIMIZERS,
    make_optimizer,
    optimizer_options,
)
from landscape.optimizers.schedules import SCHEDULES, make_schedule, schedule_options

__all__ = [
    "BY_CLIENTS",
    "FULL_BATCH",
    "LEARNING_RATES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Closure",
    "delayed_limit",
    "make_optimizer",
    "make_schedule",
    "mixing_matrix",
    "optimizer_options",
    "schedule_options",
    "spectral_gap",
]
