"""Problem × optimizers × seeds: run, analyzed, compared, and written up."""

from landscape.study.arms import Arm, Tuning
from landscape.study.design import Study
from landscape.study.extras import Blocks, Forgetting, Writing
from landscape.study.run import Outcome, run_study
from landscape.study.trajectory import Trajectory, follow
from landscape.study.tuning import Choice

__all__ = [
    "Arm", "Blocks", "Choice", "Forgetting", "Outcome", "Study", "Trajectory", "Tuning", "Writing", "follow",
    "run_study",
]  # fmt: skip
