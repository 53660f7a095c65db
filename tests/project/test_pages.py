"""Pages are whole: no trace of a merge left half done, and every room of the house in its table once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OVER = re.compile(r"^(<{7} |>{7} |={7}$|\|{7} )", re.MULTILINE)


def tracked_texts() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split() if listed.returncode == 0 else []
    kinds = {".py", ".md", ".cfg", ".toml", ".txt", ".json", ".cff", ""}
    return [path for path in (ROOT / name for name in names) if path.suffix in kinds and path.is_file()]


def rows_of_rooms() -> list[str]:
    page = (ROOT / "docs" / "design.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`(\w+)/?`", row.split("|")[1])]


def test_no_file_holds_what_a_merge_leaves_to_be_decided():
    assert not [str(path.relative_to(ROOT)) for path in tracked_texts() if LEFT_OVER.search(path.read_text())]


def test_every_room_of_the_house_stands_in_its_table_once():
    rooms = [path.name for path in (ROOT / "landscape").iterdir() if (path / "__init__.py").exists()]
    listed = rows_of_rooms()
    assert {room: listed.count(room) for room in rooms} == dict.fromkeys(rooms, 1)
