"""The papers behind results: those that the report cites, entries that BibTeX reads, and none for what has none."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

import landscape as ls
from landscape import results
from landscape.errors import UsageError
from landscape.report.methods import methods
from landscape.store import catalogue
from landscape.store.citations import papers
from landscape.store.references import REFERENCES
from tests.support.bibtex import entries
from tests.support.record_examples import examples
from tests.support.synthetic_results import make_results


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return ls.load_results(make_results(tmp_path_factory.mktemp("results"), seeds=(0,), steps=(10,), vectors=False))


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),", text, flags=re.M)


def test_every_paper_of_the_report_is_there(found):
    """The methods of a report are written by other rules: a sentence for each quantity."""
    cited = {key for key, paper in REFERENCES.items() if paper.text in methods(found)[1]}
    assert len(cited) == len(methods(found)[1])
    assert cited <= set(keys(ls.citations(found)))


def test_above_each_entry_stands_for_which_quantities_it_is(found):
    text = ls.citations(found)
    assert re.search(r"% sharpness_keskar\n@inproceedings\{keskar,", text)
    assert re.search(r"% density\n@article\{ubaru,", text)
    assert re.search(r"% barrier\n@inproceedings\{frankle,", text)
    assert "version = {0.1.0}" in text, "of the version that measured, which results say"


def test_what_was_not_measured_is_not_cited(found):
    assert set(keys(ls.citations(found["adam-s0"]))) == set(keys(ls.citations(found))) - {"frankle"}
    point = results.PointValue(1.0, 0.1, 1.0)
    assert keys(ls.citations(point)) == ["landscape"]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("Hutchinson, 32 probes", {"hutchinson"}),
        ("deflated, 32 probes", {"hutchinson", "gambhir"}),
        ("Hutch++, 12 probes", {"meyer"}),
        ("XTrace, 12 vectors", {"epperly"}),
        ("exact, the whole diagonal", set()),
    ],
)
def test_a_trace_is_of_the_paper_of_its_method(method, expected):
    assert set(papers(results.Estimate(1.0, method=method))) == expected
    assert set(papers(results.Estimate(1.0, method=method, num_matvecs=32))) == expected | {"pearlmutter"}


def test_the_methods_of_estimators_are_known_here():
    """By what they write into their records, so that a renamed method does not lose its paper."""
    import torch

    H = ls.MatrixOperator(torch.diag(torch.linspace(1.0, 60.0, 60, dtype=torch.float64)))
    eigs = ls.top_eigenpairs(H, 2)
    expected = {"hutchinson": "hutchinson", "hutch++": "meyer", "xtrace": "epperly", "deflated": "gambhir"}
    for method, key in expected.items():
        given = {"eigs": eigs} if method == "deflated" else {}
        assert key in papers(ls.trace(H, method=method, num_probes=12, **given)), method
    assert "wu" in papers(eigs)
    assert "knyazev" in papers(ls.top_eigenpairs(H, 2, method="lobpcg", strict=False))
    assert "bekas" in papers(ls.diagonal(H, num_probes=4, method="hutchinson"))


def test_a_measure_is_of_the_paper_that_its_catalogue_names():
    for key, measure in catalogue.MEASURES.items():
        if measure.reference:
            name = key.removeprefix("sharpness_")
            record = results.Sharpness(name, 1.0, None, "estimate", 0.1, 2.0, *_rest())
            assert measure.reference in papers(record), key


def test_sharpness_of_normalised_logits_is_of_the_paper_of_its_entry():
    record = results.Sharpness("adaptive_worst of normalised logits", 1.0, None, "lower bound", 0.5, 2.0, *_rest())
    assert papers(record) == ("andriushchenko", "dinh")


def test_a_measure_that_is_in_no_catalogue_is_of_the_paper_it_names_or_said_to_have_none():
    named = results.Sharpness(
        "of my own", 1.0, None, "estimate", 0.1, 2.0, *_rest(), reference="Kwon et al. 2021, eq. 3"
    )
    assert papers(named) == ("kwon",)
    unknown = results.Sharpness("of my own", 1.0, None, "estimate", 0.1, 2.0, *_rest(), reference="Someone 1999")
    assert keys(ls.citations(unknown)) == ["landscape"]
    assert "% sharpness: Someone 1999" in ls.citations(unknown)


def _rest():
    import numpy as np

    return np.array([1.0, 2.0]), True, 1, 0


def test_every_record_can_be_asked_and_every_paper_is_of_some_record():
    used = {key for record in examples().values() for key in papers(record)}
    assert used <= set(REFERENCES)
    text = "\n".join(ls.citations(record) for record in examples().values())
    assert set(keys(text)) <= {*REFERENCES, "landscape"}


NEEDED = {"article": {"journal"}, "inproceedings": {"booktitle"}, "book": {"publisher"}, "misc": {"howpublished"}}


def test_every_entry_has_all_that_its_type_needs():
    """Author, title, year and where it appeared; a preprint has the number under which arXiv has it."""
    for key, paper in REFERENCES.items():
        ((kind, name, fields),) = entries(paper.bibtex(key))
        assert name == key
        assert {"author", "title", "year", *NEEDED[kind]} <= set(fields), key
        assert re.fullmatch(r"\d{4}", fields["year"])
        assert all(fields.values())
        assert "," in fields["author"], "family names first"
        preprint = re.search(r"arXiv:(.*)", fields.get("journal", ""))
        if preprint:
            assert (fields["eprint"], fields["archiveprefix"]) == (preprint[1], "arXiv")
            assert re.fullmatch(r"\d{4}\.\d{5}", preprint[1])


def test_all_that_was_measured_is_in_a_file_that_can_be_parsed(found):
    known = {key: fields for _, key, fields in entries(ls.citations(found))}
    used = {key for run in found.runs for c in run.checkpoints for r in c.records.values() for key in papers(r)}
    used |= {key for pair in found.pairs for key in papers(pair.record)}
    assert set(known) == {"landscape", *used}
    assert known["wu"]["author"] == "Wu, Kesheng and Simon, Horst"
    assert known["ghorbani"]["title"].endswith("via {Hessian} eigenvalue density")


def test_bibtex_reads_all_of_them(tmp_path):
    if shutil.which("bibtex") is None:
        pytest.skip("no bibtex here")
    (tmp_path / "all.bib").write_text("\n".join(paper.bibtex(key) for key, paper in REFERENCES.items()))
    (tmp_path / "a.aux").write_text("\\citation{*}\n\\bibdata{all}\n\\bibstyle{plain}\n")
    run = subprocess.run(["bibtex", "a"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    assert (tmp_path / "a.bbl").read_text().count("\\bibitem") == len(REFERENCES)


def test_something_else_is_refused():
    with pytest.raises(UsageError, match=r"not a str: load_results\(path\)"):
        ls.citations("checkpoints/demo")


def test_measures_along_a_training_have_their_papers():
    noise = results.Estimate(30.0, sem=3.0, method="tr Σ/‖g‖², 64 batches of 20")
    share = results.Estimate(0.4, method="share of the gradient in the span of the 2 top eigenvectors")
    given = examples()
    assert (papers(noise), papers(share)) == (("mccandlish",), ("gurari",))
    assert "pan" in papers(given["DirectionalSharpness"])
    assert "lau" in papers(given["LearningCoefficient"])
