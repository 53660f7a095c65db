"""Studies whose runs are trained and not analysed."""

from __future__ import annotations

from landscape.study import Study
from landscape.study.trainings import TrainingJob, train_all


def trained(folder, **changes):
    """A study whose runs are there, without its analysis."""
    study = Study(**{"name": "small", "question": "?", "seeds": (0, 1, 2), "paths": True} | changes)
    jobs = [TrainingJob(folder / arm.run(s), study.settings_of(arm, seed=s)) for arm in study.arms for s in study.seeds]
    assert all(done.metrics for done in train_all(jobs, workers=1))
    return study
