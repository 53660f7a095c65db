"""All measures of stability that apply to an optimizer at a point, each beside its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch.optim import Optimizer

from landscape.checkpoints import Checkpoint, load_checkpoint
from landscape.checks import check_choice, check_count, check_positive, check_seed, check_share
from landscape.edge_of_stability.measuring import MEASURES, Known, Measuring, batch_size_of
from landscape.edge_of_stability.rebuilding import Make
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.operators import LinearOperator
from landscape.problems import Problem
from landscape.results import Eigenpairs, Stability


def stability(
    checkpoint: Checkpoint | str | Path | Objective,
    *,
    optimizer: Optimizer | Sequence[Optimizer] | Checkpoint | None = None,
    problem: Problem | str | None = None,
    data_dir: str | Path | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    make: Make | None = None,
    hessian: LinearOperator | None = None,
    eigs: Eigenpairs | None = None,
    measures: Sequence[str] | None = None,
    num_batches: int | None = None,
    tol: float = 0.02,
    seed: int = 0,
) -> Stability:
    r"""How near training is to the edge of stability, by every measure that its optimizer has.

    ============================  ===================================================================================
    measure                       threshold
    ============================  ===================================================================================
    ``lambda_max``                GD ``2/η``; momentum ``(2 + 2β)/η``; Nesterov ``(2 + 2β)/((1 + 2β)η)``, less λ of
                                  weight decay
    ``preconditioned_sharpness``  Adam, AdamW, SOAP ``(2 + 2β₁)/((1 − β₁)η)``, AdamW less ``(1 + β₁)λ/(1 − β₁)``;
                                  RMSprop, Adagrad, Shampoo ``2/η``
    ``generalized_sharpness``     signSGD, Lion, Muon: ``2‖g‖*/η`` in the dual norm; momentum is not in it
    ``critical_sharpness``        ``2/η``: beyond it this step raises the loss
    ``batch_sharpness``           SGD ``2/η``
    ``directional_sharpness``     ``2gᵀu/(η‖u‖²)``: beyond it this step raises the quadratic model
    ============================  ===================================================================================

    The first three are where a quadratic with this curvature becomes unstable while η and P stay as they are. Training
    is at the edge where a ratio is about 1.

    Parameters
    ----------
    checkpoint : Checkpoint, path of one, or Objective
        A checkpoint that holds its optimizer; or an objective at its model's parameters, with ``optimizer=``.
    optimizer : Optimizer, sequence of them, or Checkpoint, optional
        In place of what the checkpoint holds.
    problem, data_dir : optional
        As for :meth:`Checkpoint.objective`.
    batch_size : int, optional
        Of the batches; left out, that of the checkpoint's settings.
    lr : float, optional
        η in place of the optimizer's own, such as where a schedule has ended at 0.
    make : callable, optional
        ``make(parameters) -> Optimizer``, for a checkpoint of a class that is not found by its name.
    hessian : LinearOperator, optional
        H there, where it is made already.
    eigs : Eigenpairs, optional
        Of H, where its largest is known already.
    measures : sequence of str, optional
        Of the first column, those that are wanted; left out, all.
    num_batches : int, optional
        So many batches for batch sharpness; left out, until half its 95 % interval is ``5·tol`` of it.
    tol : float
        Relative residual of eigenvalues, width of the bracket of the critical step.
    seed : int

    Returns
    -------
    Stability
        A row for each measure with its error, threshold and ratio; what does not apply is absent, with the reason. Rows
        that did not reach ``tol`` are marked.

    Raises
    ------
    UsageError
        If an objective comes without an optimizer, no optimizer moves any of θ, or a measure is unknown.
    CheckpointError
        If the checkpoint cannot be read, or holds no optimizer.

    Notes
    -----
    In products with the Hessian of all data: an eigenvalue about 15, none where ``eigs`` has it; a maximum in another
    norm up to 300; the critical step at most 12 losses, two products; batches up to 12; along the update one; and a
    gradient for all. ``products`` of the record is what was spent.

    References
    ----------
    Cohen et al. (2021), ICLR; (2022), arXiv:2207.14484. Islamov et al. (2026), arXiv:2603.05002. Kalra et al. (2026),
    arXiv:2601.16979. Andreyev & Beneventano (2024), arXiv:2412.20553. Pan & Li (2023), arXiv:2306.00204.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 3.0)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.ones(4, 1), torch.zeros(4, 1)))
    >>> found = stability(objective, optimizer=torch.optim.SGD(model.parameters(), lr=0.5), batch_size=2)
    >>> [(row.measure, round(row.ratio, 2)) for row in found]  # H = 2, half of 2/η = 4
    [('lambda_max', 0.5), ('critical_sharpness', 0.5), ('batch_sharpness', 0.5), ('directional_sharpness', 0.5)]
    """
    tol, seed = check_share("tol", tol), check_seed(seed)
    wanted = (measures,) if isinstance(measures, str) else tuple(MEASURES if measures is None else measures)
    for measure in wanted:
        check_choice("measures", measure, MEASURES)
    step, known_size = -1, 0
    if isinstance(checkpoint, (str, Path)):
        checkpoint = load_checkpoint(checkpoint)
    if isinstance(checkpoint, Checkpoint):
        objective = checkpoint.objective(problem, data_dir=data_dir)
        step, known_size = checkpoint.step, batch_size_of(checkpoint)
        source = checkpoint if optimizer is None else optimizer
    elif isinstance(checkpoint, Objective):
        objective = checkpoint
        if optimizer is None:
            raise UsageError("stability of an objective is that of an optimizer on it; pass optimizer=")
        source = optimizer
    else:
        raise UsageError(f"stability takes a Checkpoint or an Objective, not a {type(checkpoint).__name__}")
    if batch_size is not None:
        known_size = check_count("batch_size", batch_size)
    return Measuring(
        objective, source, lr=None if lr is None else check_positive("lr", lr),
        batch_size=known_size,
        num_batches=None if num_batches is None else check_count("num_batches", num_batches),
        make=make, known=Known(hessian, eigs), tol=tol, seed=seed,
    ).record(step, wanted)  # fmt: skip
