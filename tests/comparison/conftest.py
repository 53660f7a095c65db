"""Three optimizers with three seeds each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.synthetic_results import make_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results")
    make_results(path, seeds=(0, 1, 2), steps=(10, 20), vectors=False)
    return path
