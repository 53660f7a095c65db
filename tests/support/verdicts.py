"""The verdicts of the judge of routes, each case in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def judged(*names):
    """Verdict and detail by case and route, each case in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.route_judge", *names],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    begun = [line["route"] for line in lines if line["verdict"] == "begun"]
    return {
        (line["case"], line["route"]): (
            line["verdict"],
            line["detail"] + f" after {begun[-1]}" * (line["verdict"] == "died"),
        )
        for line in lines
        if line["verdict"] != "begun"
    }
