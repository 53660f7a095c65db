"""Train a problem into a folder of checkpoints."""

from landscape.training.demo import train_demo
from landscape.training.order import BATCH_SCHEDULES, ORDERS
from landscape.training.run import Diverged, Training, latest_checkpoint, train
from landscape.training.settings import resumed_settings, training_settings

__all__ = [
    "BATCH_SCHEDULES",
    "ORDERS",
    "Diverged",
    "Training",
    "latest_checkpoint",
    "resumed_settings",
    "train",
    "train_demo",
    "training_settings",
]
