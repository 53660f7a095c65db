#!/usr/bin/env python
"""The pages of docs/ that are made from the program: the command line's options, and the gallery.

python scripts/documentation/generated.py       # writes docs/reference/command-line.md and docs/gallery.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from landscape.cli import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: What stands for a value of an option whose help names none, by its type.
WORDS = {"int": "N", "float": "NUMBER", "Path": "PATH"}
#: Of files, as people write them.
NAMES = {"adam": "Adam", "gd": "GD", "hutchpp": "Hutch++", "hvp": "Hessian-vector", "muon": "Muon", "pca": "PCA",
         "polyak": "Polyak", "sam": "SAM", "sgd": "SGD", "slq": "Lanczos quadrature"}  # fmt: skip
COMMANDS = """# Command line

Exit status 0: all converged. 1: measured, but something did not converge or was skipped. 2: could not start, with one
line that says why ([errors](../errors.md)). `landscape COMMAND --help` prints what stands here;
`python scripts/documentation/generated.py` wrote this page from it.
"""
GALLERY = """# Gallery

Pictures that are in the repository, each with the command that makes it. The command leaves figures below
`checkpoints/` (`--out` says where else); `--quick` makes them in small, which decides nothing.
`python scripts/documentation/generated.py` wrote this page.

[Notebooks](notebooks.md) draw theirs step by step, from an empty page. A picture of your own runs, loss or accuracy on
a plane, takes one command ([how to read it](reading-landscapes.md)):

```console
$ landscape draw checkpoints/demo/adam-s0
$ landscape draw checkpoints/demo --plane pca --on both
```
"""
STUDIES = """## Studies

Several optimizers, problems or settings, over seeds. [What they found](studies.md).
"""
FACTS = """## Published facts

One claim of the literature each, put to the test. [What was measured](facts.md), and what does not hold at this scale.
"""


def command_line() -> str:
    """``docs/reference/command-line.md``."""
    return "\n".join([COMMANDS, *(_command(name, command) for name, command in commands().items())])


def commands() -> dict[str, Any]:
    """Name -> command, in the order of ``landscape --help``."""
    return dict(get_command(app).commands)  # type: ignore[attr-defined]


def _command(name: str, command: Any) -> str:
    positional = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join(["landscape", name, *("[OPTIONS]" for _ in options[:1]), *(_metavar(p) for p in positional)])
    rows = [f"| `{_metavar(p)}` | {_cell(p.help)} |" for p in positional]
    rows += [f"| {_flags(p)} | {_cell(p.help)} |" for p in options]
    table = ["", "| argument | what |", "|---|---|", *rows] if rows else []
    return "\n".join([f"## landscape {name}\n", f"{_cell(command.help)}\n", f"```\n{usage}\n```", *table, ""])


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _flags(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    kind = str(option.type_descriptor.annotation)
    word = option.metavar or next((word for name, word in WORDS.items() if name in kind), "TEXT")
    value = "" if option.is_flag else f" {word}"
    return ", ".join(f"`{name}{value}`" for name in names)


def _cell(text: str | None) -> str:
    """One line of a table."""
    return re.sub(r"([|*<])", r"\\\1", " ".join((text or "").split()))


def gallery() -> str:
    """``docs/gallery.md``."""
    parts = [GALLERY, STUDIES, _side_by_side(_studies()), FACTS, _side_by_side(_facts())]
    return "\n".join(parts)


def _side_by_side(pictures: Iterator[str]) -> str:
    """In two columns on the site, where there is room; below each other where the repository is read."""
    cards = "\n".join(f'<div markdown="1">\n\n{picture}\n</div>\n' for picture in pictures)
    return f'<div class="gallery" markdown="1">\n\n{cards}\n</div>\n'


def _facts() -> Iterator[str]:
    for fact in json.loads((DOCS / "facts.json").read_text("utf-8")):
        name = fact["name"]
        if (DOCS / "figures" / "facts" / f"{name}.png").exists():
            words = " ".join(NAMES.get(word, word) for word in name.split("_"))
            yield _picture(words, fact["claim"], f"figures/facts/{name}.png", f"reproduce/{name}.py")


def _studies() -> Iterator[str]:
    sections = re.split(r"^## ", (DOCS / "studies.md").read_text("utf-8"), flags=re.M)[1:]
    for section in sections:
        title, _, text = section.partition("\n")
        question = text.strip().split("\n\n")[0]
        for name in re.findall(r"!\[[^\]]*\]\(figures/studies/(\w+)\.png\)", text):  # none where it was not run
            yield _picture(title, question, f"figures/studies/{name}.png", f"studies/{name}.py")


def _picture(title: str, words: str, figure: str, script: str) -> str:
    title = f"{title[0].upper()}{title[1:]}"
    return f"### {title}\n\n![{title}]({figure})\n\n{words} `python scripts/{script}`\n"


PAGES = {"reference/command-line.md": command_line, "gallery.md": gallery}


def main() -> None:
    for name, made in PAGES.items():
        (DOCS / name).write_text(made(), encoding="utf-8")
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
