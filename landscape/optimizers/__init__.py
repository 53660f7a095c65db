"""Optimizers and learning rate schedules by name, and what they ask of a training loop."""

from landscape.optimizers.base import Closure
from landscape.optimizers.registry import FULL_BATCH, LEARNING_RATES, OPTIMIZERS, make_optimizer, optimizer_options
from landscape.optimizers.schedules import SCHEDULES, make_schedule, schedule_options

__all__ = [
    "FULL_BATCH",
    "LEARNING_RATES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Closure",
    "make_optimizer",
    "make_schedule",
    "optimizer_options",
    "schedule_options",
]
