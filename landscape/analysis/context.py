"""One checkpoint while it is measured: its objective and Hessian, its test data, and what has been found so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from landscape.analysis.plan import Plan
from landscape.checkpoints import Checkpoint
from landscape.edge_of_stability.rebuilding import rebuilt
from landscape.edge_of_stability.updates import optimizer_update
from landscape.errors import LandscapeError, ModelError, ObjectiveError
from landscape.geometry.batch_statistics import layers, moved_by_training
from landscape.objective import Objective, logit_normalized
from landscape.objective.batches.hashing import digest_of
from landscape.operators import GaussNewtonOperator, HessianOperator, LinearOperator, exact, exact_fits
from landscape.operators.exact import exact_is_quick
from landscape.problems import Problem
from landscape.problems.metrics import evaluate_split
from landscape.results import Eigenpairs, OptimizerUpdate, Record


@dataclass
class CheckpointContext:
    """One checkpoint while it is measured.

    Attributes
    ----------
    is_last, is_around : bool
        Whether it is the last of its run, and whether a training loss lies beside it at which runs are compared.
    guess : (P, K) array or None
        Eigenvectors of the run's last checkpoint, from which Lanczos starts at the earlier ones.
    route : str
        How to multiply by the Hessian: as records stored earlier were measured, else by trial.
    expected_matvecs : int
        Products at this and the run's earlier checkpoints, which share what is recorded and compiled.
    last : CheckpointContext or None
        Of the run's last checkpoint, whose recording serves here too if the questions are the same.
    problem : Problem or None
        Where the test data are.
    checkpoint : Checkpoint or None
        Whose optimizer is held against the curvature here.
    model : callable or None
        ``model() -> nn.Module``, one of its own with the checkpoint's parameters.
    path_of_run : callable or None
        ``path_of_run() -> list of Checkpoint``, those of the run that are measured, oldest first.
    ends_of_run : callable or None
        ``ends_of_run() -> list of Checkpoint``, the first and the last of the run that can be read.
    found : dict of name to Record
        What has been measured here so far; slices go along the eigenvectors found.
    fields : dict of name to dict
        The settings by which each of these was measured, for the keys of what rests on them.
    affordable : float or None
        Products that the quantity measured now may take, where time is short.
    coarser : Record or None
        What is stored of the quantity measured now, and is not as accurate as asked.
    is_asked : bool
        Whether a person asked for the accuracy of the plan; on a time alone, nobody did.
    planned : float
        Products at this checkpoint.
    kept_pairs : Eigenpairs or None
        Of an earlier checkpoint, with the vectors that its record leaves out.
    resume : Path or None
        Folder in which the slice that is evaluated now is kept.
    """

    objective: Objective
    plan: Plan
    is_last: bool
    is_around: bool = False
    guess: np.ndarray | None = None
    route: str = "auto"
    expected_matvecs: int = 100
    last: CheckpointContext | None = None
    problem: Problem | None = None
    model: Callable[[], nn.Module] | None = None
    path_of_run: Callable[[], list[Checkpoint]] | None = None
    ends_of_run: Callable[[], list[Checkpoint]] | None = None
    found: dict[str, Record] = field(default_factory=dict)
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    affordable: float | None = None
    coarser: Record | None = None
    is_asked: bool = True
    planned: float = 0.0
    resume: Path | None = None
    checkpoint: Checkpoint | None = None
    kept_pairs: Eigenpairs | None = None

    @cached_property
    def question(self) -> dict[str, str]:
        """What is measured at this checkpoint, apart from θ, as hashes; computed once, as it reads all the data."""
        return {"objective": self.objective.digest(), "constants": self.objective.constants_digest()}

    @property
    def interacting(self) -> bool:
        """Whether batches stay whole because the plan or the problem says so."""
        return self.plan.interacting or bool(self.problem is not None and self.problem.interacting)

    @property
    def params(self) -> str | None:
        """Globs of the parameters that make up θ, where plan or problem name some."""
        named = None if self.problem is None else self.problem.params
        return self.plan.params or (named if named is None or isinstance(named, str) else ",".join(named))

    @cached_property
    def test_data(self) -> str | None:
        """Hash of the test data; None where there are none."""
        if self.problem is None or self.problem.test is None:
            return None
        return self.problem.batches("test").digest()

    @cached_property
    def loss_and_gradient(self) -> tuple[float, Tensor]:
        """At θ, for all that reads them."""
        return self.objective.loss_and_gradient(self.objective.theta)

    @cached_property
    def optimizer_digest(self) -> str | None:
        """Hash of the optimizer's state, and of the settings by which it is built again; None without a state."""
        state = None if self.checkpoint is None else self.checkpoint.optimizer_state()
        if state is None or self.checkpoint is None:
            return None
        config = self.checkpoint.config
        return digest_of([state, {name: config.get(name) for name in ("optimizer", "options", "batch_size")}])

    @cached_property
    def has_optimizer(self) -> bool:
        """Whether the checkpoint holds the state of its optimizer."""
        return self.optimizer_digest is not None

    @cached_property
    def update(self) -> OptimizerUpdate | None:
        """What its optimizer would do next; None where none can be made of what is stored."""
        checkpoint = self.checkpoint
        if checkpoint is None or not self.has_optimizer:
            return None
        try:
            optimizer = rebuilt(checkpoint, self.objective.module.model)
            return optimizer_update(self.objective, optimizer, gradient=self.loss_and_gradient[1], seed=self.plan.seed)
        except LandscapeError:  # the table of stability says why
            return None

    @cached_property
    def has_scores(self) -> bool:
        """Whether the problem has class scores, or measures of its own, as a few examples show."""
        if self.problem is None or self.model is None:
            return False
        if self.problem.measures is not None:
            return True
        model = self.model().to(self.objective.device, self.objective.dtype)
        few = self.objective.on_first(self.objective.few).batches
        return evaluate_split(self.problem, model, "train", few).accuracy is not None

    @cached_property
    def path(self) -> list[Checkpoint]:
        """The checkpoints of the run that are measured, oldest first."""
        return [] if self.path_of_run is None else self.path_of_run()

    @cached_property
    def ends(self) -> tuple[Checkpoint, Checkpoint] | None:
        """The first and the last checkpoint of the run; None where it has but one."""
        both = [] if self.ends_of_run is None else self.ends_of_run()
        return (both[0], both[1]) if len(both) == 2 else None

    @cached_property
    def has_path(self) -> bool:
        """Whether they span a plane on which the loss depends on θ alone."""
        moved = len({checkpoint.params_sha256 for checkpoint in self.path}) > 1
        if not moved or self.objective.layout.size < 3:
            return False
        gathers = self.objective.mode == "eval" and bool(layers(self.objective.parts().model))
        return not gathers and not moved_by_training(self.objective)

    @cached_property
    def hessian(self) -> LinearOperator:
        """Made when first needed, and kept for all quantities of this checkpoint: the matrix, where that is cheaper.

        So it is where it costs less than what is planned, and where that is a matter of seconds and nobody counted.
        """
        H = self.products
        formed = exact_fits(H, self.planned) or (exact_is_quick(H) and not self.plan.counts_products)
        return exact(H) if formed else H

    @cached_property
    def products(self) -> HessianOperator:
        """The same as products, whatever is made of them."""
        if self.last is not None and self.last.question == self.question:
            return self.last.products.at(self.objective.theta)
        return HessianOperator(self.objective, route=self.route, expected_matvecs=self.expected_matvecs)

    @cached_property
    def of_normalized_logits(self) -> Objective | None:
        """The same question with the scale of the logits taken out; None where the loss is none of logits."""
        try:
            return logit_normalized(self.objective)
        except ModelError:
            raise
        except ObjectiveError:
            return None

    @cached_property
    def has_bent_outputs(self) -> bool:
        """Whether the loss says where its outputs are and bends in them, so that there is a Gauss-Newton matrix."""
        few = self.objective.on_first(self.objective.few)
        try:
            GaussNewtonOperator(few, self.objective.theta, route="fresh")
        except ModelError:
            raise
        except ObjectiveError:
            return False
        return True

    @property
    def held(self) -> int:
        """Bytes that are in memory as long as this is, about."""
        vectors = 6 + 2 * (2 * self.plan.eigs if self.is_last else 2)
        held = vectors * self.objective.layout.size * self.objective.theta.element_size()
        return held + self.held_by_products

    @property
    def held_by_products(self) -> int:
        """Bytes that products keep of what they are made from; 0 before the first."""
        if "products" not in self.__dict__:
            return 0
        return sum(c.held for c in self.products.plan.candidates if c.route == self.products.route)

    @property
    def eigenpairs(self) -> Eigenpairs:
        """Of this checkpoint; measured before anything that needs them."""
        eigs = self.found["eigenpairs"]
        assert isinstance(eigs, Eigenpairs)
        return eigs
