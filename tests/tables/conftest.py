"""Results of several runs, and the tables written of them."""

from __future__ import annotations

import pytest

from landscape.store import Results, load_results
from landscape.tables import write_tables
from tests.support.synthetic_results import make_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return load_results(make_results(tmp_path_factory.mktemp("results"), vectors=False))


@pytest.fixture(scope="module")
def written(results: Results, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tables")
    paths = write_tables(results, folder)
    assert sorted(paths) == sorted((folder / "tables").iterdir())
    return {path.name: path.read_text(encoding="utf-8") for path in paths}
