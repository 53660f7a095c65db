"""In somebody's own training loop: checkpoints saved, and curvature measured within a share of the training time."""

from landscape.monitoring.for_huggingface import HuggingFaceMonitor
from landscape.monitoring.for_lightning import LightningMonitor
from landscape.monitoring.monitor import Monitor
from landscape.monitoring.writer import CheckpointWriter

__all__ = ["CheckpointWriter", "HuggingFaceMonitor", "LightningMonitor", "Monitor"]
