"""Subspaces of parameter space: how they lie to each other, to the gradient, to layers and to classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg

from landscape.checks import check_choice, check_count
from landscape.errors import UsageError
from landscape.results import Attribution, Eigenpairs, Estimate, PrincipalAngles

if TYPE_CHECKING:
    from landscape.params import ParamLayout


def principal_angles(V1: Any, V2: Any) -> PrincipalAngles:
    r"""Angles between the spans of the columns of two matrices, such as the top eigenspaces of two checkpoints.

    With orthonormal bases Q₁, Q₂ the cosines are the singular values of :math:`Q_1ᵀQ_2`, exact for large angles; below
    π/4 the sines, singular values of :math:`(I - Q_1Q_1ᵀ)Q_2`, take their place: a cosine near 1 holds only half the
    digits of its angle. Errors are of the order of the dtype's rounding, 1e-15 in float64, 1e-7 in float32.

    Parameters
    ----------
    V1, V2 : (P, K₁), (P, K₂) arrays, tensors or Eigenpairs
        A vector (P,) is one column. Columns need not be orthonormal, but must be linearly independent.

    Returns
    -------
    PrincipalAngles
        min(K₁, K₂) angles in radians, ascending.

    Raises
    ------
    UsageError
        For different P, no column, dependent columns, or entries that are not finite.

    References
    ----------
    Björck & Golub (1973), Math. Comp. 27(123). Knyazev & Argentati (2002), SIAM J. Sci. Comput. 23(6), for the sines.

    Examples
    --------
    >>> found = principal_angles(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    >>> print(found.angles.round(6), round(found.overlap, 6))
    [0.785398] 0.5
    """
    Q1, Q2 = _orthonormal(V1, "V1"), _orthonormal(V2, "V2")
    if Q1.shape[0] != Q2.shape[0]:
        raise UsageError(f"V1 has vectors of length {Q1.shape[0]}, V2 of {Q2.shape[0]}; expected the same P")
    dims = (Q1.shape[1], Q2.shape[1])
    if Q1.shape[1] < Q2.shape[1]:
        Q1, Q2 = Q2, Q1
    _, cosines, Vt = linalg.svd(Q1.T @ Q2, full_matrices=False)
    rest = Q2 @ Vt.T
    rest = rest - Q1 @ (Q1.T @ rest)
    # In the basis of principal vectors: the columns of what is left have the sines as lengths.
    sines = np.sort(linalg.svd(rest, compute_uv=False))
    angles = np.where(cosines**2 < 0.5, np.arccos(np.clip(cosines, 0, 1)), np.arcsin(np.clip(sines, 0, 1)))
    return PrincipalAngles(np.maximum.accumulate(angles), dims, int(Q1.shape[0]))


def gradient_share(gradient: Any, eigs: Any, *, k: int | None = None) -> Estimate:
    r"""Share of the squared gradient in the span of k eigenvectors: :math:`‖U_kᵀg‖² / ‖g‖²`.

    Parameters
    ----------
    gradient : (P,) array or tensor
        Not zero.
    eigs : Eigenpairs, or (P, K) array or tensor
        With Eigenpairs of ``which="largest"``, the first k are the top space.
    k : int, optional
        Columns counted from the first; all of them where left out. The number of classes in Gur-Ari et al.

    Returns
    -------
    Estimate
        In [0, 1]. With Eigenpairs that hold a further value, λ_{k+1} < λ_k, ``bound`` is what the residuals allow: by
        Davis & Kahan's sin Θ theorem the space is within ``s = ‖R‖_F/δ`` of the true one, δ the distance from λ_k −
        r_k to λ_{k+1} + r_{k+1}, and the root of the share moves by s at most. Otherwise there is no error: nothing
        says how far the rest of the spectrum is. Costs no matvec.

    Raises
    ------
    UsageError
        For a zero gradient, another P, or k beyond the columns.

    References
    ----------
    Gur-Ari, Roberts & Dyer (2018), arXiv:1812.04754. Davis & Kahan (1970), SIAM J. Numer. Anal. 7(1).
    """
    g = _columns(gradient, "gradient")
    U = _columns(eigs, "eigs")
    k = U.shape[1] if k is None else k
    if g.shape[1] != 1 or g.shape[0] != U.shape[0]:
        raise UsageError(f"gradient has shape {g.shape}, the vectors {U.shape}; expected (P,) and (P, K)")
    if check_count("k", k) > U.shape[1]:
        raise UsageError(f"k={k} must lie between 1 and the {U.shape[1]} vectors given")
    length = float(np.abs(g).max())
    if length == 0:
        raise UsageError("the gradient is zero; no share of it is defined")
    g = g / length
    g = g / np.linalg.norm(g)
    share = min(float(np.sum((_orthonormal(U[:, :k], "eigs").T @ g) ** 2)), 1.0)
    return Estimate(share, bound=_share_bound(share, eigs, k), method=f"share of the gradient in {k} directions")


def _share_bound(share: float, eigs: Any, k: int) -> float | None:
    """How far the share may be from that in the true space; None where the residuals do not say."""
    if not isinstance(eigs, Eigenpairs) or eigs.which != "largest" or (len(eigs) <= k and len(eigs) < eigs.dim):
        return None
    if k == eigs.dim:
        return 0.0
    gap = (eigs.values[k - 1] - eigs.bounds[k - 1]) - (eigs.values[k] + eigs.bounds[k])
    if gap <= 0:
        return max(share, 1 - share)
    sine: float = min(float(np.linalg.norm(eigs.bounds[:k])) / gap, 1.0)
    root = float(np.sqrt(share))
    low, high = max(root - sine, 0.0) ** 2, min(root + sine, 1.0) ** 2
    return max(share - low, high - share)


def layer_attribution(vectors: Any, layout: ParamLayout, *, groups: str = "tensor") -> Attribution:
    """Share of each vector's squared length in each tensor or module.

    Parameters
    ----------
    vectors : (P,) or (P, K) array or tensor, or Eigenpairs
    layout : ParamLayout
        ``objective.layout``.
    groups : {"tensor", "module"}
        ``"module"`` joins tensors whose names agree up to the last dot: ``fc1.weight`` and ``fc1.bias``.

    Returns
    -------
    Attribution
        Rows sum to 1.

    Raises
    ------
    UsageError
        For another P, or a vector that is zero.

    Examples
    --------
    >>> from landscape.params import ParamLayout
    >>> import torch
    >>> layout = ParamLayout.of(torch.nn.Linear(2, 1))
    >>> print(layer_attribution(np.array([3.0, 0.0, 4.0]), layout))
    vector 1  bias 64 %, weight 36 %
    """
    check_choice("groups", groups, ("tensor", "module"))
    V = _columns(vectors, "vectors")
    if V.shape[0] != layout.size:
        raise UsageError(f"the vectors have length {V.shape[0]}, the layout {layout.size}")
    V = _normalised(V, "vectors")
    shares: dict[str, np.ndarray] = {}
    for name, place in layout.slices().items():
        group = (name.rpartition(".")[0] or name) if groups == "module" else name
        shares[group] = shares.get(group, 0.0) + np.sum(V[place] ** 2, axis=0)
    table = np.stack(list(shares.values()), axis=1)
    return Attribution(tuple(shares), table / table.sum(1, keepdims=True), np.ones(V.shape[1]), groups)


def class_attribution(vectors: Any, gradients: Any, *, names: Sequence[str] | None = None) -> Attribution:
    r"""Squared cosine of each vector with the mean gradient of each class, and with the span of all of them.

    For a classifier the outliers of the Hessian come from the class means of the gradients: about as many as classes,
    their eigenvectors in the span of :math:`g_c = E_{x \in c}\,\nabla_θ ℓ` (Papyan 2019, 2020). The logits' own
    derivative classes, :math:`g_{c,c'}`, can be passed as well: any (C, P) rows.

    Parameters
    ----------
    vectors : (P,) or (P, K) array or tensor, or Eigenpairs
    gradients : (C, P) array or tensor
        One row per class, not zero: the gradient of the mean loss over the examples of that class.
    names : sequence of str, optional
        Of the classes; their numbers where left out.

    Returns
    -------
    Attribution
        ``shares`` (K, C): cos² with each row; ``explained`` (K,): cos² with their span. Rows do not sum to 1, since the
        gradients of classes are not orthogonal.

    Raises
    ------
    UsageError
        For shapes that do not fit, or a row that is zero.

    References
    ----------
    Papyan (2019), Measurements of three-level hierarchical structure in the outliers in the spectrum of deepnet
    Hessians, ICML. Papyan (2020), Traces of class/cross-class structure pervade deep learning spectra, JMLR 21.
    """
    V = _normalised(_columns(vectors, "vectors"), "vectors")
    rows = _array(gradients)
    if rows.ndim != 2 or rows.shape[1] != V.shape[0]:
        raise UsageError(f"gradients has shape {rows.shape}; expected (C, {V.shape[0]}), one row per class")
    G = _normalised(rows.T, "gradients")
    labels = tuple(str(c) for c in range(G.shape[1])) if names is None else tuple(names)
    if len(labels) != G.shape[1]:
        raise UsageError(f"{len(labels)} names were given for {G.shape[1]} classes")
    # Gradients of classes may be dependent: at a stationary point they sum to zero.
    U, sizes, _ = linalg.svd(G, full_matrices=False)
    span = U[:, sizes > max(G.shape) * np.finfo(rows.dtype).eps * sizes[0]]
    return Attribution(labels, (V.T @ G) ** 2, np.minimum(np.sum((V.T @ span) ** 2, axis=1), 1.0), "class")


def _array(given: Any) -> np.ndarray:
    """A NumPy array of floats; of the vectors, where eigenpairs are given."""
    if isinstance(given, Eigenpairs):
        given = given.vectors
    if hasattr(given, "detach"):
        given = given.detach().cpu().numpy()
    array = np.asarray(given)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _columns(given: Any, name: str) -> np.ndarray:
    """(P, K), float64."""
    array = _array(given)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or 0 in array.shape:
        raise UsageError(f"{name} has shape {array.shape}; expected (P,) or (P, K) with at least one column")
    if not np.isfinite(array).all():
        raise UsageError(f"{name} holds NaN or Inf")
    return array.astype(np.float64)


def _normalised(V: np.ndarray, name: str) -> np.ndarray:
    """The columns at length 1, also where their squares would leave the range of float64."""
    largest = np.abs(V).max(axis=0)
    if not np.isfinite(largest).all() or (largest == 0).any():
        raise UsageError(f"{name} holds a vector that is zero or not finite; no direction to attribute")
    V = V.astype(np.float64) / largest
    unit: np.ndarray = V / np.linalg.norm(V, axis=0)
    return unit


def _orthonormal(given: Any, name: str) -> np.ndarray:
    """An orthonormal basis (P, K) of the columns' span."""
    V = _normalised(_columns(given, name), name)
    if V.shape[1] > V.shape[0]:
        raise UsageError(f"{name} has {V.shape[1]} columns of length {V.shape[0]}; they cannot be independent")
    Q, R = linalg.qr(V, mode="economic")
    sizes = linalg.svdvals(R)
    if sizes[-1] <= V.shape[0] * np.finfo(np.float64).eps * sizes[0]:
        raise UsageError(f"the columns of {name} are linearly dependent; leave out those that add no direction")
    basis: np.ndarray = Q
    return basis
