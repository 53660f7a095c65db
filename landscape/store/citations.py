"""Which papers stand behind what was measured, as BibTeX."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from landscape.errors import UsageError
from landscape.results import (
    Alignment,
    Attribution,
    Basins,
    BlockTable,
    Connection,
    Diagonal,
    DirectionalSharpness,
    Eigenpairs,
    Estimate,
    GeneralizedSharpness,
    LearningCoefficient,
    LineSlice,
    Merged,
    MinimaMatrix,
    MissedSearch,
    ModelPlane,
    OutlierCount,
    PathSlice,
    PcaPlane,
    Persistence,
    PlaneSlice,
    PrincipalAngles,
    Record,
    Repaired,
    SecondOrderGain,
    Sharpness,
    SpectralGap,
    SpectralMeasure,
    SpectralMoments,
    Spectrum,
    Stability,
    StepReport,
)
from landscape.store.catalogue import measure_of
from landscape.store.references import REFERENCES

if TYPE_CHECKING:
    from landscape.store.view import CheckpointResults, Results, RunResults

#: A type that every style of BibTeX knows.
_OURS = """@misc{landscape,
  author = {{The landscape authors}},
  title = {landscape: curvature and loss landscapes of {PyTorch} models, with errors},
  howpublished = {Python package},%s
}"""
#: Who showed that layers can be rescaled without a change of the network.
_RESCALED = "dinh"


def citations(found: Results | RunResults | CheckpointResults | Record) -> str:
    """The papers behind what was measured, as BibTeX; above each entry stands for which quantities it is.

    Of a quantity that has no paper in the table of :mod:`landscape.store.references`, a line says so.

    Parameters
    ----------
    found : Results, RunResults, CheckpointResults or a record
        As :func:`load_results` gives them, or a function of this package.

    Raises
    ------
    UsageError
        If it is something else.

    Examples
    --------
    >>> print(citations(Estimate(3.64, sem=0.23, method="Hutchinson, 32 probes")).split(chr(10) * 2)[-1])
    % estimate
    @article{hutchinson,
      author = {Hutchinson, M. F.},
      title = {A stochastic estimator of the trace of the influence matrix for {Laplacian} smoothing splines},
      year = {1990},
      journal = {Commun. Stat. Simul. Comput.},
      volume = {19},
      number = {2},
    }
    """
    records, version = _records_in(found)
    for_what: dict[str, dict[str, None]] = {}
    unknown: dict[str, None] = {}
    for name, record in records:
        keys = papers(record)
        for key in keys:
            for_what.setdefault(key, {})[name] = None
        if not keys and isinstance(record, Sharpness) and record.reference:
            unknown[f"% {name}: {record.reference}"] = None
    parts = [_OURS % (f"\n  version = {{{version}}}," if version else "")]
    parts += ["\n".join(unknown)] if unknown else []
    parts += [
        f"% {', '.join(for_what[key])}\n{reference.bibtex(key)}"
        for key, reference in REFERENCES.items()
        if key in for_what
    ]
    return "\n\n".join(parts)


def papers(record: Record) -> tuple[str, ...]:
    """Keys of the papers that one record rests on."""
    first = ("pearlmutter",) if getattr(record, "num_matvecs", 0) > 0 else ()
    return tuple(dict.fromkeys((*first, *_papers(record))))


def _records_in(found: Results | RunResults | CheckpointResults | Record) -> tuple[list[tuple[str, Record]], str]:
    """Every record with its name, and the version of this package that measured them, where it is known."""
    if isinstance(found, Record):
        return [(type(found).__name__.lower(), found)], ""
    runs = getattr(found, "runs", None)
    checkpoints = getattr(found, "checkpoints", None)
    if runs is not None:
        parts = [item for run in runs for item in _records_in(run)[0]]
        parts += [("barrier", pair.record) for pair in getattr(found, "pairs", ())]
        return parts, str((getattr(found, "info", {}).get("versions") or {}).get("landscape", ""))
    if checkpoints is not None:
        return [item for checkpoint in checkpoints for item in checkpoint.records.items()], ""
    if hasattr(found, "records"):
        return list(found.records.items()), ""
    raise UsageError(
        f"citations() takes results, a run, a checkpoint or a record, not a {type(found).__name__}: load_results(path) "
        "reads the results of a folder"
    )


@singledispatch
def _papers(record: Record) -> tuple[str, ...]:
    """Nothing: a loss, an accuracy, a share."""
    return ()


@_papers.register
def _(record: Eigenpairs) -> tuple[str, ...]:
    return {"lanczos": ("wu",), "lobpcg": ("knyazev",), "tracked": ("sleijpen",)}.get(record.method, ("parlett",))


@_papers.register
def _(record: Estimate) -> tuple[str, ...]:
    """By its method: of a trace, of stability, of noise; other estimates rest on records that are cited themselves."""
    method = record.method.lower()
    known = {
        "η_c": "kalra", "batch sharpness": "andreyev", "λ_max(p⁻¹h)": "adaptive", "tr σ/‖g‖²": "mccandlish",
        "top eigenvectors": "gurari",
    }  # fmt: skip
    for words, key in known.items():
        if words in method:
            return (key,)
    by_word = {"hutchinson": "hutchinson", "deflated": "gambhir", "hutch++": "meyer", "xtrace": "epperly"}
    found = [key for word, key in by_word.items() if word in method]
    return ("hutchinson", *found) if found == ["gambhir"] else tuple(found)


@_papers.register
def _(record: SpectralGap) -> tuple[str, ...]:
    return ("parlett",)


@_papers.register
def _(record: SecondOrderGain) -> tuple[str, ...]:
    return ("golub",)


@_papers.register
def _(record: SpectralMeasure) -> tuple[str, ...]:
    if record.is_exact:
        return ()
    return ("ubaru", "ghorbani", *(("gambhir",) if record.num_known else ()))


@_papers.register
def _(record: OutlierCount) -> tuple[str, ...]:
    return ("ubaru",)


@_papers.register
def _(record: Spectrum) -> tuple[str, ...]:
    return (*_papers(record.eigs), "gambhir", *_papers(record.density))


@_papers.register
def _(record: SpectralMoments) -> tuple[str, ...]:
    return ("meyer",) if "Hutch++" in record.method else ("hutchinson",)


@_papers.register
def _(record: Diagonal) -> tuple[str, ...]:
    return ("epperly",) if "XDiag" in record.method else ("bekas",)


@_papers.register
def _(record: BlockTable) -> tuple[str, ...]:
    return ("hutchinson",)


@_papers.register
def _(record: MissedSearch) -> tuple[str, ...]:
    return ("parlett",)


@_papers.register
def _(record: PrincipalAngles) -> tuple[str, ...]:
    return ("bjorck",)


@_papers.register
def _(record: Attribution) -> tuple[str, ...]:
    return ("papyan",) if record.kind == "class" else ()


@_papers.register
def _(record: LineSlice) -> tuple[str, ...]:
    if record.kind == "interpolation":
        return ("frankle",)
    return ("li",) if "filter" in record.direction else ()


@_papers.register
def _(record: Connection) -> tuple[str, ...]:
    return ("garipov",)


@_papers.register
def _(record: Merged) -> tuple[str, ...]:
    return ("wortsman",)


@_papers.register
def _(record: MinimaMatrix) -> tuple[str, ...]:
    found = set(record.measured)
    by_quantity = {"frankle": {"barrier"}, "fort": {"cosine", "disagreement"}, "gurari": {"overlap"}}
    return tuple(key for key, quantities in by_quantity.items() if found & quantities)


@_papers.register
def _(record: PlaneSlice) -> tuple[str, ...]:
    return ("li",) if any("filter" in direction for direction in record.directions) else ()


@_papers.register
def _(record: PathSlice) -> tuple[str, ...]:
    return ("li", "antognini") if len(record.walks) else ("li",)


@_papers.register
def _(record: PcaPlane) -> tuple[str, ...]:
    return ("li", "antognini")


@_papers.register
def _(record: ModelPlane) -> tuple[str, ...]:
    return ("garipov",)


@_papers.register
def _(record: Persistence) -> tuple[str, ...]:
    return ("edelsbrunner", "cohen-steiner", "geniesse")


@_papers.register
def _(record: Basins) -> tuple[str, ...]:
    return ("hairer",)


@_papers.register
def _(record: StepReport) -> tuple[str, ...]:
    return ("nesterov",)


@_papers.register
def _(record: Alignment) -> tuple[str, ...]:
    return ("ainsworth", *(("convergent",) if "correlation" in record.method else ()))


@_papers.register
def _(record: Repaired) -> tuple[str, ...]:
    return ("jordan",)


@_papers.register
def _(record: DirectionalSharpness) -> tuple[str, ...]:
    return ("pan",)


@_papers.register
def _(record: GeneralizedSharpness) -> tuple[str, ...]:
    return ("islamov",)


@_papers.register
def _(record: Stability) -> tuple[str, ...]:
    rows = {
        "lambda_max": "cohen", "preconditioned_sharpness": "adaptive", "generalized_sharpness": "islamov",
        "critical_sharpness": "kalra", "batch_sharpness": "andreyev", "directional_sharpness": "pan",
    }  # fmt: skip
    return tuple(rows[measure] for measure in record.measures if measure in rows)


@_papers.register
def _(record: LearningCoefficient) -> tuple[str, ...]:
    batches = record.batch_size < record.num_examples
    return ("lau", "leimkuhler", *(("baker",) if batches else ()), "vehtari")


@_papers.register
def _(record: Sharpness) -> tuple[str, ...]:
    """The paper of the catalogue; of a measure that is not in it, the one that the record itself names."""
    measure = measure_of(record)
    named = _named_in(record.reference)
    if measure is None:
        return tuple(named)
    listed = [measure.reference] if measure.reference in REFERENCES else named
    return (*listed, *([_RESCALED] if measure.is_invariant_to_layers else []))


def _named_in(text: str) -> list[str]:
    """Papers whose first author and year a text names."""
    return [key for key, paper in REFERENCES.items() if paper.families[0] in text and str(paper.year) in text]
