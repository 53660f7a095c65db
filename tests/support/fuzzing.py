"""Damaged and crafted files, and a child process in which they are read: what becomes of each is told in one word.

``same``: read, and all as it was written; ``read``: read, of a file that was sealed anew; ``refused``: one error of
ours. Anything else is a fault: ``changed``, ``foreign …`` (another error), ``hang``, ``crash …``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from landscape.files import SEAL_SIZE
from tests.support import format_one

# By the clock; a machine that is busy otherwise needs more of them for the same work.
SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
MEMORY = 2 << 30
GOOD = {"same", "read", "refused"}


class Reader:
    """A child that reads one file after the other, and is started again when it hangs or dies."""

    def __init__(self, kind: str, original: Path) -> None:
        self._command = [sys.executable, "-m", "tests.support.fuzzing", kind, str(original)]
        self._child: subprocess.Popen[str] | None = None

    def read(self, path: Path, *, resealed: bool) -> str:
        """What becomes of a file."""
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps([str(path), resealed]) + "\n")
        child.stdin.flush()
        answered, _, _ = select.select([child.stdout], [], [], SECONDS)
        if answered and (line := child.stdout.readline()):
            return line.strip()
        self.close()
        return f"crash {child.returncode}" if answered else "hang"

    def _start(self) -> subprocess.Popen[str]:
        here = Path(__file__).parents[2]
        child = self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def outcomes(kind: str, original: Path, files: Iterable[bytes], folder: Path, *, anew: bool = False) -> Counter[str]:
    """How many files came to which end; what is no good one is kept in the folder."""
    folder.mkdir(exist_ok=True)
    reader, found = Reader(kind, original), Counter()
    path = folder / original.name
    try:
        for number, content in enumerate(files):
            path.write_bytes(content)
            word = reader.read(path, resealed=anew)
            found[word] += 1
            if word not in GOOD:
                (folder / f"{kind}-{number}-{word.split()[0]}.h5").write_bytes(content)
    finally:
        reader.close()
    return found


# --- files that are not what they were -------------------------------------------------------------------------------


def damaged(whole: bytes, count: int, seed: int, *, behind: int = 0) -> Iterator[bytes]:
    """Copies with one block overwritten: by noise, zeros, ones, or another place of the file; some cut, or longer."""
    rng = random.Random(seed)
    for _ in range(count):
        size = rng.choice([1, 2, 4, 8, 16, 64, 512])
        at = rng.randrange(behind, max(behind + 1, len(whole) - size))
        source = rng.randrange(behind, len(whole))
        block = rng.choice(
            [rng.randbytes(size), b"\0" * size, b"\xff" * size, whole[source : source + size], b"\xff\xff", b"\1"]
        )
        bad = bytearray(whole)
        bad[at : at + len(block)] = block
        if rng.random() < 0.03:
            bad = bad[: rng.randrange(len(bad))] if rng.random() < 0.5 else bad + rng.randbytes(size)
        if bytes(bad) != whole:
            yield bytes(bad)


def resealed(content: bytes) -> bytes:
    """The content with a seal that holds."""
    import hashlib

    title = b" ".join(content[:SEAL_SIZE].split(b" ")[:2])
    body = content[SEAL_SIZE:]
    digest = hashlib.sha256(title + body).hexdigest()
    return title + f" {len(body)} sha256:{digest}\n".encode().ljust(SEAL_SIZE - len(title), b"\0") + body


# --- the child -------------------------------------------------------------------------------------------------------


def read_checkpoint(path: Path) -> str:
    """All that a checkpoint says, by every way there is to read it."""
    import numpy as np
    import torch

    from landscape.checkpoints import describe_checkpoint, load_checkpoint

    ckpt = load_checkpoint(path)
    describe_checkpoint(path)
    model = format_one.Model()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    ckpt.load_into(model, optimizer=optimizer, scheduler=scheduler)
    fields = {key: value for key, value in vars(ckpt).items() if key not in ("path", "proof")}
    parts = [ckpt.params(), ckpt.buffers(), ckpt.optimizer_state(), ckpt.scheduler_state(), ckpt.resume_state()]
    with np.printoptions(threshold=10**6):
        return repr([fields, *parts, ckpt.history(), ckpt.theta(), model.state_dict(), optimizer.state_dict()])


def read_results(path: Path) -> str:
    """All that results say, by every way there is to read them."""
    from landscape import comparison, tables
    from landscape.errors import LandscapeError
    from landscape.store import ResultStore, describe_results, load_results

    found = load_results(path)
    describe_results(path)
    for view in (tables.text_table, lambda r: comparison.compare(r, by="label"), comparison.ranks):
        with contextlib.suppress(LandscapeError):
            view(found)
    with ResultStore(path) as store:
        store.find("adam/s0", 7, "trace", {"seed": 0})
    records = [(c.step, c.metrics, dict(c.records), dict(c.provenance)) for r in found.runs for c in r.checkpoints]
    return repr([found.info, [r.info for r in found.runs], records, found.pairs, tables.rows(found)])


def main() -> None:
    """Answer each line of standard input, a file, with what became of it."""
    import resource

    from landscape.errors import LandscapeError

    kind, original = sys.argv[1], Path(sys.argv[2])
    read = {"checkpoint": read_checkpoint, "results": read_results}[kind]
    whole = read(original)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    answer = sys.stdout
    sys.stdout = sys.stderr
    answer.write("ready\n")
    answer.flush()
    for line in sys.stdin:
        path, sealed_anew = json.loads(line)
        try:
            seen = read(Path(path))
            word = "same" if seen == whole else "read" if sealed_anew else "changed"
        except LandscapeError as error:
            word = "refused" if "\n" not in str(error) else f"foreign lines {error!r}"
        except BaseException as error:
            word = f"foreign {error!r}"
        answer.write(word.replace("\n", " ")[:300] + "\n")
        answer.flush()


if __name__ == "__main__":
    main()
