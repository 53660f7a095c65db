#!/usr/bin/env python
"""Five optimizers on a transformer over characters: loss, step sizes, curvature of its blocks, and what it writes.

    python scripts/studies/transformer_optimizers.py
    python scripts/studies/transformer_optimizers.py --text book.txt    # of a text of your own, in UTF-8
    python scripts/studies/transformer_optimizers.py --large            # 10.8 million parameters, three optimizers
    python scripts/studies/transformer_optimizers.py --quick

Muon has the matrices, here the embeddings too; gains and biases have AdamW. With ``--large`` nothing is tuned and there
is one seed, so that nothing can be said of differences: it shows the first steps of a model of this size, as many as
two cores take in about an hour, and the curvature of its blocks on a few sequences.
"""

import re
import sys
from dataclasses import replace
from pathlib import Path

from command_line import ROOT, Say, exit_status, parser

from landscape.study import Arm, Blocks, Study, Tuning, Writing, run_study

BETAS = tuple({"betas": betas} for betas in ((0.9, 0.95), (0.9, 0.99), (0.95, 0.999)))
GROUPS = {
    "embedding": "tokens.*",
    "positions": "positions.*",
    "attention 1": ("blocks.0.qkv.*", "blocks.0.out.*"),
    "attention 2": ("blocks.1.qkv.*", "blocks.1.out.*"),
    "network 1": ("blocks.0.up.*", "blocks.0.down.*"),
    "network 2": ("blocks.1.up.*", "blocks.1.down.*"),
    "norms": ("*norm*",),
}
STUDY = Study(
    name="transformer-optimizers",
    title="A transformer by optimizers",
    question=(
        "A small transformer over characters by constant SGD, Polyak steps, Adam, Polyak-Adam and Muon, each with a "
        "tuned rate, batch size and option: test loss, step sizes, curvature by blocks, and what the models write."
    ),
    problem="char-transformer-small",
    arms=(
        Arm("sgd", {"optimizer": "sgd"}, over={"lr": (0.55, 0.75, 1.8)}),
        Arm("polyak-sgd", {"optimizer": "polyak-sgd", "lr": 0.1},
            over={"options": tuple({"lowest": lowest} for lowest in (0.25, 0.5, 0.75))}),
        Arm("adam", {"optimizer": "adam"}, over={"options": BETAS}),
        Arm("polyak-adam", {"optimizer": "polyak-adam"}, over={"options": BETAS}),
        Arm("muon", {"optimizer": "muon"},
            over={"options": tuple({"momentum": momentum} for momentum in (0.8, 0.9, 0.98))}),
    ),
    seeds=(0, 1, 2, 3, 4),
    settings={"epochs": 10},
    tuning=Tuning(
        grid=(0.1, 0.3, 1.0, 3.0, 10.0), seeds=(1000,), over={"batch_size": (16, 32, 64, 128)},
        settings={"epochs": 6, "problem_config": {"characters": 25_000}},
    ),
    histories=True,
    validation=True,
    blocks=Blocks(groups=GROUPS, looks=6, probes=8),
    writing=Writing(length=100),
    plan={"plan": "quick", "last": 1, "examples": 64},
)  # fmt: skip
#: Three of the arms, at what is usual for them.
LARGE = replace(
    STUDY,
    name="transformer-optimizers-large",
    title="The first steps of a transformer of 10.8 million parameters",
    question="Adam, Polyak-Adam and Muon on 10.8 million parameters over as many steps as two cores take in an hour.",
    problem="char-transformer",
    problem_config={"characters": 50_000},
    arms=(
        Arm("adam", {"optimizer": "adam"}),
        Arm("polyak-adam", {"optimizer": "polyak-adam", "lr": 1e-3}),
        Arm("muon", {"optimizer": "muon"}),
    ),
    seeds=(0,),
    settings={"epochs": 16, "batch_size": 16, "save_every": 44},
    tuning=None,
    matched=False,
    blocks=Blocks(
        groups={
            "embedding": "tokens.*", "positions": "positions.*", "attention": ("blocks.*.qkv.*", "blocks.*.out.*"),
            "networks": ("blocks.*.up.*", "blocks.*.down.*"), "norms": ("*norm*",),
        },
        looks=3, probes=4,
    ),
    plan={
        "plan": "quick", "last": 1, "examples": 4, "eigs": 2, "trace_probes": 4, "density_probes": 1, "steps": 8,
        "points": 5, "planes": "", "directions": 1, "samples": 2, "barriers": 1,
    },
)  # fmt: skip


def named(study: Study, text: Path) -> str:
    """A study on another text is another study."""
    return study.name + "-" + re.sub(r"[^\w.-]+", "-", text.stem)


def small(study: Study) -> Study:
    """In small, and of a smaller model."""
    quick = study.quick()
    return replace(quick, problem_config={**quick.problem_config, "width": 16, "heads": 2, "context": 16})


def main(study: Study, argv: list[str] | None = None) -> int:
    """Run the study, or that of the large model, on a text; the exit status is that of all studies."""
    made = parser(study.name, study.question)
    made.add_argument("--text", type=Path, metavar="FILE", help="in UTF-8; left out, a generated conversation")
    made.add_argument("--large", action="store_true", help="three optimizers on 10.8 million parameters, one seed")
    args = made.parse_args(argv)
    if args.large and args.quick:
        made.error("the large model is not made small; leave --quick out")
    study = LARGE if args.large else study
    name = study.name if args.text is None else named(study, args.text)
    out = args.out or ROOT / "checkpoints" / "studies" / (name + ("-quick" if args.quick else ""))

    def work(say: Say) -> None:
        chosen = replace(study, data=args.data)
        if args.text is not None:
            config = {**study.problem_config, "file": args.text.name}
            chosen = replace(study, name=name, problem_config=config, data=str(args.text.parent))
        run_study(small(chosen) if args.quick else chosen, out, workers=args.workers, executor=args.executor, say=say)

    return exit_status(name, out, work)


if __name__ == "__main__":
    sys.exit(main(STUDY))
