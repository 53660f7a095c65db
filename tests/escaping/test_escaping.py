"""What names from outside may do to a terminal, a spreadsheet and a folder: nothing."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import unicodedata

import pytest
from rich.console import Console

from landscape.comparison import compare, comparison_table, contrast_table, contrasts, spread_table, spreads
from landscape.escaping.control_characters import told_apart, visible
from landscape.escaping.filenames import file_words
from landscape.escaping.frames import frame_of
from landscape.escaping.latex import latex_sentence, latex_text
from landscape.escaping.spreadsheet import csv_text, frame_csv
from landscape.escaping.terminal import json_text
from landscape.store import load_results
from landscape.tables import text_table
from tests.support.hostile import NAMES
from tests.support.synthetic_results import make_results


def steering(text: str) -> set[str]:
    """Characters that do something, by their class in Unicode; line feeds aside."""
    turning = {c for c in text if unicodedata.bidirectional(c) in {"LRO", "RLO", "LRE", "RLE", "PDF", "LRI", "RLI"}}
    return turning | {c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"}


def test_visible_text_steers_nothing_and_words_stay_as_they_are():
    for name in NAMES:
        assert not steering(visible(name)) | ({"\n"} & set(visible(name)))
    for word in ("adam-s0", "α β", "日本語", "👩\u200d🔬", "می\u200cخواهم"):
        assert visible(word) == word
    assert len({visible(name) for name in NAMES}) == len(NAMES)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return load_results(
        make_results(tmp_path_factory.mktemp("r"), optimizers=NAMES[4:11], seeds=(0, 1), steps=(1,), vectors=False)
    )


def test_no_table_lets_a_name_reach_the_terminal_as_a_command(hostile):
    out = Console(width=100, file=io.StringIO(), color_system=None)
    out.print(text_table(hostile))
    out.print(comparison_table(compare(hostile, by="label")))
    out.print(contrast_table(contrasts(hostile, by="label")))
    out.print(spread_table(spreads(hostile, by="label")))
    text = out.file.getvalue()
    assert not steering(text)
    assert "[bold]markup[/bold]" in text.replace("\n", "")


def test_json_for_the_terminal_is_the_same_json_and_steers_nothing():
    rows = [{"run": name, "value": 0.1} for name in NAMES] + [{"run": "λ\x7f\u2028", "value": None}]
    assert json.loads(json_text(rows)) == rows
    assert not steering(json_text(rows))
    assert "λ" in json_text(rows)


def test_a_spreadsheet_runs_no_name_and_numbers_keep_every_bit():
    formulas = ["=1+1", "+1", "-2", "@SUM(1)", " =1", "\t=1", "＝1", "=cmd|'/c calc'!A1"]
    lines = [{"run": name, "value": -1 / 3} for name in [*formulas, *NAMES]]
    frame = frame_of(lines, ["run", "value"]).assign(**{"-x": -1.5})
    for text in (csv_text(("run", "value"), lines), frame_csv(frame[["run", "value"]])):
        read = list(csv.DictReader(io.StringIO(text)))
        assert not [row["run"] for row in read if row["run"].lstrip()[:1] in tuple("=+-@＝")]
        assert {float(row["value"]) for row in read} == {-1 / 3}
        assert len({row["run"] for row in read}) == len({line["run"] for line in lines})
        assert not steering(text)


def test_file_names_are_plain_and_apart_on_every_disk():
    names = [*NAMES, "Adam", "adam", "CON", "nul.txt", "", ".", "..", "a/b", "a\\b", "a b", "a_b", "end."]
    words = file_words(names)
    assert len({word.casefold() for word in words.values()}) == len(set(names))
    assert all(word.isascii() and word.strip(".") == word and len(word) <= 100 for word in words.values())
    assert file_words(["adam", "lr0.1"]) == {"adam": "adam", "lr0.1": "lr0.1"}
    # A name that looks like the word of another does not take its place.
    assert len(set(file_words(["α", file_words(["α"])["α"]]).values())) == 2


def test_latex_is_ascii_whatever_the_name_and_the_sentence():
    for name in NAMES:
        assert latex_text(name).isascii()
        assert latex_sentence(f"{name} differs by -0.5").isascii()
    assert latex_text("[a]").startswith("{}[")  # after a line break it would be its option
    assert latex_text("a--b") == "a-{}-b"
    assert latex_text("é ő ß 日") == r"\'{e} \H{o} \ss{} (U+65E5)"


def test_names_that_are_cut_to_one_look_are_told_apart():
    names = ["x" * 20 + c + "y" * 20 for c in "abc"]
    short = told_apart(names, 12)
    assert len(set(short.values())) == 3
    assert all(len(text) <= 12 for text in short.values())
    assert told_apart(["short"], 12) == {"short": "short"}


def test_the_command_line_prints_errors_in_one_harmless_line_to_any_terminal(tmp_path):
    folder = tmp_path / "no\x1b[31m[such]\nλ"
    for encoding in ("utf-8", "ascii"):
        done = subprocess.run(
            [sys.executable, "-m", "landscape", "show", str(folder)],
            capture_output=True, env={"PYTHONIOENCODING": encoding, "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip
        assert done.returncode == 2
        said = done.stderr.decode()
        assert "Traceback" not in said
        assert not steering(said)
        assert said.count("\n") == 1
        assert "[such]" in said


@pytest.mark.slow
def test_the_command_line_shows_a_folder_whose_name_is_markup(tmp_path):
    path = tmp_path / "[red]runs[/]"
    folder = make_results(path, optimizers=NAMES[4:6], seeds=(0,), steps=(1,), vectors=False).parent
    for command in (["show"], ["show", "--json"], ["compare"]):
        done = subprocess.run(
            [sys.executable, "-m", "landscape", *command, str(folder)],
            capture_output=True, env={"PYTHONIOENCODING": "ascii", "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr.decode()
        assert b"Traceback" not in done.stderr
