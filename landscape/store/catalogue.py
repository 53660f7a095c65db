"""The measures: of each its name, symbol and unit, how it is read from records with its error, and where it is shown.

Rows, tables, figures, comparisons, report and papers read this list; a new measure is one entry here, and its name in
the places where it is to stand.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from landscape.escaping.latex import latex_text
from landscape.results import SecondOrderGain, Sharpness
from landscape.store.measure_reads import Read, of_distance, of_end, of_gap, of_metric, of_record
from landscape.store.metrics import ACCURACY, TRAIN_ACCURACY, CheckpointLike
from landscape.store.reading import Reading
from landscape.store.stability_rows import decisive_ratio, row_of

_CURVATURE, _SLOPE = "loss/parameter²", "loss/parameter"


@dataclass(frozen=True)
class Measure:
    """What is said of one measure.

    Attributes
    ----------
    key : str
        Its column in rows and CSV.
    words : str
        How a sentence calls it.
    symbol : str
        On an axis; ``tex`` the same in LaTeX.
    unit : str
        Empty where it has none.
    read : callable
        A checkpoint in, its reading out; None where the records do not have it.
    title : str
        Above a panel; left out, the words.
    heading : str
        Above a column of a terminal's table, where it stands in one; ``tex_heading`` in LaTeX, if not ``tex``.
    error : str
        The column of its error, where it has one.
    note : str
        Below a table in which it stands: what its sign or its error means, and that of those like it.
    definition, reference : str
        Of a sharpness, for the methods of a report: what it is, with ``{rho}`` for the radius, and the key of its
        paper. Left out, the methods do not say it.
    digits : int, optional
        How many are shown; left out, as many as the error leaves.
    is_positive : bool
        It lives on a scale of factors: groups are averaged and compared by its logarithm.
    is_share : bool
        Between 0 and 1, shown in percent.
    is_bound : bool
        A lower bound of what it is called.
    is_flatness : bool
        A measure of flatness: where it is smaller, a minimum is called flatter; where a radius is larger.
    is_invariant_to_layers : bool
        Of a measure of flatness: it stays when one layer of a ReLU network is multiplied by a and the next divided by
        a, which leaves the function (Dinh et al. 2017).
    is_invariant_to_logits : bool
        Of a measure of flatness: it stays when weight and bias of the last layer are multiplied by a > 0, which leaves
        every prediction and scales the logits.
    """

    key: str
    words: str
    symbol: str
    unit: str
    read: Read
    title: str = ""
    tex: str = ""
    heading: str = ""
    tex_heading: str = ""
    error: str = ""
    note: str = ""
    definition: str = ""
    reference: str = ""
    digits: int | None = None
    is_positive: bool = True
    is_share: bool = False
    is_bound: bool = False
    is_flatness: bool = False
    is_invariant_to_layers: bool = False
    is_invariant_to_logits: bool = False

    @property
    def panel_title(self) -> str:
        """Above a panel of a figure."""
        return self.title or f"{self.words[0].upper()}{self.words[1:]}"

    @property
    def label(self) -> str:
        """In a row or a column of a narrow table, as the table of runs has it: a symbol, else words."""
        return self.words if self.is_share or not self.heading else self.heading.replace("\n", " ")

    @property
    def axis_label(self) -> str:
        """With its unit."""
        return f"{self.symbol} ({self.unit})" if self.unit else self.symbol

    @property
    def columns(self) -> tuple[str, ...]:
        """Its own, and that of its error."""
        return (self.key, self.error) if self.error else (self.key,)


# --- the measures -------------------------------------------------------------------------------------------------


def sharpness_record(measure: str) -> str:
    """Under which name a measure of :func:`landscape.sharpness` is stored."""
    return f"sharpness_{measure}"


def _sharpness(
    measure: str, words: str, title: str, *, bound: bool, layers: bool = False, logits: bool = False,
    symbol: str = "", unit: str = "loss", heading: str = "", note: str = "", definition: str = "", reference: str = "",
    has_error: bool = False,
) -> Measure:  # fmt: skip
    """``layers`` and ``logits``: to rescaling of which it is invariant; ``has_error``: in a column of its own."""
    key, stacked, sign = sharpness_record(measure), heading.replace("\n", r"\\"), r"\,$\ge$" if bound else ""
    return Measure(
        key, words, symbol or ("max rise ≥" if bound else "mean rise"), unit, of_record(key), title=title,
        heading=heading, tex_heading=rf"\shortstack[r]{{{stacked}{sign}}}" if heading else "",
        tex=latex_text(words), digits=3 if bound else None, note=note, definition=definition,
        error=f"{key}_sem" if has_error else "",
        reference=reference, is_bound=bound, is_flatness=True, is_invariant_to_layers=layers,
        is_invariant_to_logits=logits,
    )  # fmt: skip


#: In the order of the columns that rows have promised first, before converged, seconds and matvecs.
_FIRST = (
    Measure("train_loss", "training loss", "loss", "", of_metric("train_loss"), tex="training loss",
            heading="train\nloss", tex_heading=r"\shortstack[r]{train\\loss}", digits=2),
    Measure("test_loss", "test loss", "loss", "", of_metric("test_loss"), tex="test loss"),
    Measure(ACCURACY, "test accuracy", "accuracy", "%", of_metric(ACCURACY), tex="test accuracy", heading="test\nacc%",
            tex_heading=r"\shortstack[r]{test\\acc.\,\%}", is_positive=False, is_share=True),
    Measure("grad_norm", "gradient norm", "‖∇L‖", _SLOPE, of_metric("grad_norm"), tex=r"$\|\nabla L\|$", heading="‖g‖",
            digits=3),
    Measure("lambda_max", "largest eigenvalue", "λ_max", _CURVATURE, of_end(True), tex=r"$\lambda_{\max}$",
            heading="λ_max", error="lambda_max_residual", is_flatness=True,
            note="± of λ and λ₁/λ₂: bound from residuals, where it shows"),
    Measure("lambda_min", "smallest eigenvalue", "λ_min", _CURVATURE, of_end(False), tex=r"$\lambda_{\min}$",
            heading="λ_min", is_positive=False),
    Measure("spectral_gap", "spectral gap", "λ₁ − λ₂", _CURVATURE, of_gap("difference"),
            tex=r"$\lambda_1 - \lambda_2$"),
    Measure("spectral_ratio", "spectral ratio", "λ₁/λ₂", "", of_gap("ratio"), tex=r"$\lambda_1/\lambda_2$",
            heading="λ₁/λ₂"),
    Measure("trace", "trace", "tr H", _CURVATURE, of_record("trace"), tex=r"$\operatorname{tr} H$", heading="trace",
            error="trace_sem", is_flatness=True, note="± of the trace: one standard error"),
    _sharpness("worst", "worst-case sharpness", "Sharpness, worst case", bound=True,
               heading="worst\nsharp.",
               note="worst sharp.: the largest rise of the loss found in a ball, a lower bound",
               definition="the largest rise of the loss found within ‖δ‖₂ ≤ {rho}, a lower bound", reference="foret"),
    _sharpness("average", "average sharpness", "Sharpness, average", bound=False,
               definition="the mean rise under Gaussian noise of standard deviation {rho}", reference="andriushchenko"),
    _sharpness("adaptive_worst", "adaptive worst-case sharpness", "Adaptive, worst case", bound=True, layers=True,
               definition="the largest rise found within ‖δ/|θ|‖₂ ≤ {rho}, a lower bound", reference="kwon"),
    _sharpness("adaptive_average", "adaptive average sharpness", "Adaptive, average", bound=False, layers=True,
               definition="the mean rise under Gaussian noise of standard deviation {rho}·|θ|",
               reference="andriushchenko"),
)  # fmt: skip
_LATER = (
    # Records of an older version, plain estimates, are of another question: Newton against one gradient step.
    Measure("second_order_gain", "second-order gain at equal cost", "gain", "",
            of_record("second_order_gain", SecondOrderGain), tex="second-order gain"),
    _sharpness("normalized_worst", "logit-normalised worst-case sharpness", "Normalised, worst", bound=True,
               layers=True, logits=True, reference="andriushchenko",
               definition="the largest rise of the loss of normalised logits found within ‖δ/|θ|‖₂ ≤ {rho}, a lower "
                          "bound"),
    _sharpness("normalized_average", "logit-normalised average sharpness", "Normalised, average", bound=False,
               layers=True, logits=True, reference="andriushchenko",
               definition="the mean rise of the loss of normalised logits under Gaussian noise of standard deviation "
                          "{rho}·|θ|"),
    _sharpness("keskar", "Keskar's ε-sharpness", "Keskar's ε-sharpness", bound=True, symbol="max rise/(1 + loss) ≥",
               unit="%", reference="keskar",
               definition="the largest rise found within |δᵢ| ≤ {rho}·(|θᵢ| + 1), in per cent of 1 + the loss, a lower "
                          "bound"),
    _sharpness("relative_flatness", "relative flatness", "Relative flatness", bound=False, layers=True, symbol="κ",
               has_error=True, reference="petzka",
               definition="relative flatness of the last layer, the sum over pairs of rows of its weights of their "
                          "product times the trace of the Hessian between them"),
    _sharpness("fisher_rao", "squared Fisher–Rao norm", "Fisher–Rao norm, squared", bound=False, layers=True,
               symbol="θᵀFθ", reference="liang",
               definition="the squared Fisher–Rao norm θᵀFθ, with the Gauss–Newton matrix for F"),
    _sharpness("flatness_radius", "flatness radius", "Flatness radius", bound=False, symbol="σ", unit="parameter",
               has_error=True, reference="jiang",
               definition="the flatness radius, the standard deviation of Gaussian noise under which the loss rises by "
                          "0.1 on average"),
    _sharpness("flatness_radius_magnitude", "flatness radius in magnitudes", "Flatness radius, in |θ|", bound=False,
               layers=True, symbol="σ/|θ|", unit="", has_error=True, reference="jiang",
               definition="the same in units of |θ|"),
    Measure(TRAIN_ACCURACY, "training accuracy", "accuracy", "%", of_metric(TRAIN_ACCURACY), tex="training accuracy",
            heading="train\nacc%", is_positive=False, is_share=True),
    Measure("stability_ratio", "curvature over the optimizer's threshold", "λ ÷ threshold", "",
            decisive_ratio, title="Edge of stability", tex="edge of stability"),
    Measure("critical_sharpness", "critical sharpness", "2/η_c", "1/learning rate", row_of("critical_sharpness"),
            tex="critical sharpness"),
    Measure("batch_sharpness", "batch sharpness", "batch sharpness", _CURVATURE, row_of("batch_sharpness"),
            tex="batch sharpness", is_positive=False),
    Measure("directional_sharpness", "directional sharpness", "uᵀHu/‖u‖²", _CURVATURE,
            row_of("directional_sharpness"), tex="directional sharpness", is_positive=False),
    Measure("noise_scale", "gradient noise scale", "tr Σ/‖g‖²", "examples", of_record("noise_scale"),
            tex="gradient noise scale", error="noise_scale_sem"),
    Measure("gradient_share", "share of the gradient in the top space", "‖Uᵀg‖²/‖g‖²", "%", of_record("gradient_share"),
            title="Gradient in the top space", tex="gradient in the top space", is_positive=False, is_share=True),
    Measure("update_share", "share of the update in the top space", "‖Uᵀu‖²/‖u‖²", "%", of_record("update_share"),
            title="Update in the top space", tex="update in the top space", is_positive=False, is_share=True),
    Measure("distance_from_start", "distance from the start", "‖θ − θ₀‖", "parameter", of_distance(True),
            tex=r"$\|\theta - \theta_0\|$"),
    Measure("distance_from_end", "distance from the end", "‖θ − θ_T‖", "parameter", of_distance(False),
            tex=r"$\|\theta - \theta_T\|$"),
)  # fmt: skip

MEASURES: dict[str, Measure] = {measure.key: measure for measure in (*_FIRST, *_LATER)}


def label_of(measure: str) -> str:
    """How a table calls a measure that is known by its key; what is none is called as it is.

    >>> label_of("lambda_max"), label_of("sharpness_average"), label_of("lr")
    ('λ_max', 'average sharpness', 'lr')
    """
    return MEASURES[measure].label if measure in MEASURES else measure


def measure_of(found: Sharpness) -> Measure | None:
    """The entry that a sharpness is of, by the name that it carries; None where it is in no table.

    >>> measure_of(Sharpness("adaptive_worst of normalised logits", 1, None, "lower bound", 1, 2, [], True, 1, 0)).key
    'sharpness_normalized_worst'
    """
    name, logits, _ = found.measure.partition(" of normalised logits")
    name = f"normalized_{name.removeprefix('adaptive_')}" if logits else name
    return MEASURES.get(sharpness_record(name), MEASURES.get(name))


# --- where they are shown, in this order --------------------------------------------------------------------------

#: The table of runs, in a terminal, the report and LaTeX.
IN_TABLE = ("test_accuracy", "train_loss", "grad_norm", "lambda_max", "spectral_ratio", "trace", "lambda_min",
            "sharpness_worst")  # fmt: skip
#: The same where there is room: in the report.
IN_WIDE_TABLE = (TRAIN_ACCURACY, *IN_TABLE)
#: The panels that compare groups.
IN_SUMMARY = ("lambda_max", "trace", "sharpness_worst", "sharpness_average", "sharpness_keskar",
              "sharpness_adaptive_worst", "sharpness_adaptive_average", "sharpness_normalized_worst",
              "sharpness_normalized_average", "sharpness_relative_flatness",
              "test_loss", "test_accuracy")  # fmt: skip
#: The figure of the last iterations.
IN_TAIL = ("lambda_max", "spectral_ratio", "spectral_gap", "grad_norm")
#: The figure of noise and top space along a training.
IN_ALONG = ("noise_scale", "gradient_share", "update_share")
#: The figures of a whole training, by what they are of: their panels.
WHOLE_TRAINING = {
    "loss": ("train_loss", "test_loss", TRAIN_ACCURACY, ACCURACY),
    "gradient": ("grad_norm",),
    "curvature": ("lambda_max", "spectral_ratio", "trace", "stability_ratio"),
    "distance": ("distance_from_start", "distance_from_end"),
}
#: Means of more than three groups in a terminal.
IN_MEANS = ("train_loss", "test_accuracy", "grad_norm", "lambda_max", "spectral_ratio", "trace", "sharpness_worst",
            "sharpness_normalized_worst")  # fmt: skip
#: Differences in a terminal and in the forest plot: see :func:`shown_contrasts`.
IN_CONTRASTS = ("test_accuracy", "test_loss", "lambda_max", "trace", "sharpness_adaptive_worst",
                "sharpness_normalized_worst")  # fmt: skip
#: Order groups in the sentences of the report.
IN_HEADLINE = ("lambda_max", "trace", "sharpness_worst", "sharpness_adaptive_worst", "sharpness_normalized_worst")
#: Of these, besides the first, the ones whose groups are listed with their means.
IN_LISTS = ("trace", "sharpness_worst")
#: Held against the generalisation gap.
IN_RANKS = ("lambda_max", "spectral_ratio", "trace", "sharpness_worst", "sharpness_average", "sharpness_keskar",
            "sharpness_adaptive_worst", "sharpness_adaptive_average", "sharpness_normalized_worst",
            "sharpness_normalized_average", "sharpness_relative_flatness", "grad_norm")  # fmt: skip
#: The tables of a study's paper, and those of its differences and ranks.
IN_PAPER = ("train_loss", "test_loss", "test_accuracy", "grad_norm", "lambda_max", "spectral_ratio", "trace",
            "sharpness_adaptive_worst", "sharpness_normalized_worst", "second_order_gain")  # fmt: skip
IN_PAPER_CONTRASTS = ("test_accuracy", "lambda_max", "sharpness_adaptive_worst")
#: A measure that changes when layers are rescaled into an equal network beside one that does not: they should order
#: groups alike.
COUNTERPARTS = (("lambda_max", "sharpness_adaptive_worst"), ("trace", "sharpness_adaptive_average"))


def shown_contrasts(there: Collection[str]) -> list[str]:
    """Of ``IN_CONTRASTS`` those that are there; the test loss only where there is no accuracy."""
    return [key for key in IN_CONTRASTS if key in there and not (key == "test_loss" and ACCURACY in there)]


def flatness(*, invariant_to_layers: bool = False, invariant_to_logits: bool = False) -> list[str]:
    """The measures of flatness that are invariant to what is asked for, and maybe to more.

    >>> flatness(invariant_to_logits=True)
    ['sharpness_normalized_worst', 'sharpness_normalized_average']
    """
    return [
        key
        for key, measure in MEASURES.items()
        if measure.is_flatness
        and (measure.is_invariant_to_layers or not invariant_to_layers)
        and (measure.is_invariant_to_logits or not invariant_to_logits)
    ]


def first_columns() -> tuple[str, ...]:
    """Those that stand before converged, seconds and matvecs."""
    return tuple(column for measure in _FIRST for column in measure.columns)


def later_columns() -> tuple[str, ...]:
    """Those behind them."""
    return tuple(column for measure in _LATER for column in measure.columns)


def read(checkpoint: CheckpointLike, key: str) -> Reading | None:
    """A measure at a checkpoint; None where it is missing or not finite."""
    found = MEASURES[key].read(checkpoint)
    return None if found is None or not math.isfinite(found.value) else found
