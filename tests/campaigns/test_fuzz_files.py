"""Campaign: thousands of damaged and crafted files; none may hang, crash, change a value or raise a foreign error.

``FUZZ_SHARE=0.1`` runs a tenth of the damaged files.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.support import crafting, format_one, fuzzing

SHARE = float(os.environ.get("FUZZ_SHARE", "1"))
FORMATS = {"checkpoint": "landscape-checkpoint 2", "results": "landscape-results 2"}
# (kind, format) → files with a damaged block
DAMAGED = {("checkpoint", 2): 12_000, ("results", 2): 8_000, ("results", 1): 2_000, ("checkpoint", 1): 1_500}


def original(kind: str, version: int, folder: Path) -> Path:
    if version == 1:
        return format_one.DATA / {"checkpoint": "step_00000007.h5", "results": "results.h5"}[kind]
    if kind == "checkpoint":
        with torch.random.fork_rng(devices=[]):
            return format_one.save(folder)
    folder.mkdir()
    format_one.store(folder)
    return folder / "results.h5"


def check(found: dict[str, int], what: str) -> None:
    print(f"{what}: {dict(found)}")
    assert set(found) <= fuzzing.GOOD, found


@pytest.mark.campaign
@pytest.mark.parametrize(("kind", "version"), DAMAGED, ids=str)
def test_a_damaged_block_is_refused_or_changes_nothing(tmp_path, kind, version):
    file = original(kind, version, tmp_path / "original")
    many = fuzzing.damaged(file.read_bytes(), int(SHARE * DAMAGED[kind, version]), seed=version)
    check(fuzzing.outcomes(kind, file, many, tmp_path / "bad"), f"{kind} {version}, damaged")


@pytest.mark.campaign
@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_block_under_a_seal_made_anew_does_no_harm(tmp_path, kind):
    file = original(kind, 2, tmp_path / "original")
    bad = fuzzing.damaged(file.read_bytes(), int(SHARE * 4_000), seed=5, behind=512)
    many = (fuzzing.resealed(content) for content in bad)
    check(fuzzing.outcomes(kind, file, many, tmp_path / "bad", anew=True), f"{kind}, damaged and sealed anew")


@pytest.mark.campaign
@pytest.mark.parametrize("kind", FORMATS)
def test_crafted_files_are_read_or_refused(tmp_path, kind):
    file, title = original(kind, 2, tmp_path / "original"), FORMATS[kind]
    tree = crafting.tree_of(file, title.split()[0])
    scratch = tmp_path / "scratch.h5"
    nonsense = (crafting.written(scratch, title, bad) for bad in crafting.nonsense(tree))
    check(fuzzing.outcomes(kind, file, nonsense, tmp_path / "bad", anew=True), f"{kind}, nonsense")
    rewired = map(fuzzing.resealed, crafting.rewired(file.read_bytes()))
    check(fuzzing.outcomes(kind, file, rewired, tmp_path / "bad", anew=True), f"{kind}, rewired")
    tricks = (crafting.by_hdf5(tmp_path, title, name) for name in crafting.TRICKS)
    found = fuzzing.outcomes(kind, file, tricks, tmp_path / "bad", anew=True)
    check(found, f"{kind}, by HDF5")
    assert set(found) == {"refused"}


@pytest.mark.campaign
def test_what_hdf5_can_do_is_refused_in_files_of_the_first_format(tmp_path):
    file = original("checkpoint", 1, tmp_path)
    tricks = (content for _, content in crafting.first_format(tmp_path, file))
    found = fuzzing.outcomes("checkpoint", file, tricks, tmp_path / "bad")
    check(found, "checkpoint 1, by HDF5")
    assert set(found) == {"refused"}
