"""Campaign: a writer killed with -9 at random moments never loses what it was told is stored, and blocks nobody."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from landscape.store import ResultStore, load_results

WRITER = textwrap.dedent(
    """
    import os, sys
    import numpy as np
    from landscape.results import Estimate
    from landscape.store import ResultStore

    folder, first = sys.argv[1], int(sys.argv[2])
    said = os.open(os.path.join(folder, "said.txt"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with ResultStore(folder) as store:
        print("ready", flush=True)
        for number in range(first, first + 100_000):
            samples = np.full(1 + (number * 7919) % 30_000, float(number))
            store.write(f"run-{number % 5}", number, "trace", Estimate(float(number), samples=samples), {"key": number})
            os.write(said, f"{number}\\n".encode())       # only now may it be counted on
            if number % 6 == 5:
                store.consolidate()
    """
)


def told(folder: Path) -> list[int]:
    path = folder / "said.txt"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.mark.campaign
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_twenty_kills_at_random_moments_lose_no_record(tmp_path):
    rng = random.Random(0)
    merged_before_kill = 0
    for kill in range(20):
        first = max(told(tmp_path), default=-1) + 1
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(first)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", f"the writer after kill {kill} did not start"
        time.sleep(rng.uniform(0.0, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()

        numbers = told(tmp_path)
        merged_before_kill += (tmp_path / "results.h5").exists()
        if not numbers:
            continue
        results = load_results(tmp_path)
        found = {c.step: c.records["trace"] for run in results.runs for c in run.checkpoints}
        assert set(numbers) <= set(found)
        # The write that the kill interrupted may have landed too, but then whole.
        assert set(found) - set(numbers) <= {max(numbers) + 1, first}
        for number, record in found.items():
            assert record.value == number  # type: ignore[attr-defined]
            assert (record.samples == number).all()  # type: ignore[attr-defined]
            assert record.samples.size == 1 + (number * 7919) % 30_000  # type: ignore[attr-defined]
    assert merged_before_kill > 10
    with ResultStore(tmp_path) as store:
        last = told(tmp_path)[-1]
        assert store.find(f"run-{last % 5}", last, "trace", last) is not None  # type: ignore[arg-type]
        store.consolidate()
    assert {p.name for p in tmp_path.iterdir()} == {"results.h5", "said.txt"}
