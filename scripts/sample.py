#!/usr/bin/env python
"""Let a trained character model write.

python scripts/sample.py checkpoints/chars/adamw-s0 --prompt "i want" --length 300 --temperature 0.8
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from landscape.checkpoints import CheckpointDir, load_checkpoint
from landscape.errors import LandscapeError, UsageError
from landscape.problems.builtin.transformer import CharTransformer
from landscape.problems.builtin.writing import alphabet_of, written


def main(argv: list[str] | None = None) -> int:
    """Print the prompt and what the model makes of it; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="a checkpoint, or a run, whose last one is taken")
    parser.add_argument("--prompt", default="\n")
    parser.add_argument("--length", type=int, default=300, help="characters to write")
    parser.add_argument("--temperature", type=float, default=0.8, help="0 takes the likeliest character")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, metavar="DIR", help="where the text file lies, if it was trained on one")
    args = parser.parse_args(argv)
    try:
        found = CheckpointDir(args.checkpoint)[-1] if args.checkpoint.is_dir() else load_checkpoint(args.checkpoint)
        model = found.model(data_dir=args.data)
        if not isinstance(model, CharTransformer):
            raise UsageError(f"{found.path} was trained on {found.problem}, which is no character model")
        how = {"length": args.length, "temperature": args.temperature, "seed": args.seed}
        print(written(model, alphabet_of(found.problem_config, args.data), args.prompt, **how))
    except LandscapeError as error:
        print(f"sample.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
