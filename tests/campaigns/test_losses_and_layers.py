"""Campaign: every loss and every layer of torch by every route is right or refused; no process dies."""

from __future__ import annotations

import shutil

import pytest

from tests.support.route_judge import CASES, ROUTES
from tests.support.verdicts import judged

#: No second derivative in torch, so that every route but differences is refused.
WITHOUT = {
    "multi_margin_loss", "multi_margin_loss squared", "multilabel_margin_loss", "ctc_loss", "cdist", "pdist",
    "EmbeddingBag", "EmbeddingBag sum", "EmbeddingBag max", "CrossMapLRN2d",
}  # fmt: skip


@pytest.mark.campaign
@pytest.mark.parametrize("name", CASES)
def test_every_route_is_right_or_refused(name):
    found = judged(name)
    assert not {route: what for (_, route), what in found.items() if what[0] not in ("right", "refused")}
    assert {*ROUTES, "gauss-newton fresh", "gauss-newton linearized", "preflight"} <= {route for _, route in found}
    right = {route for (_, route), (verdict, _) in found.items() if verdict == "right"}
    refusals = [text for verdict, text in found.values() if verdict == "refused"]
    if name in WITHOUT:
        assert any("route='differences'" in text for text in refusals)
    else:
        assert {"fresh", "retained", "fresh elsewhere", "retained elsewhere"} <= right


@pytest.mark.campaign
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
@pytest.mark.parametrize("name", ["mse_loss mean", "huber_loss mean", "LSTM", "Conv2d", "TransformerEncoderLayer"])
def test_a_compiled_route_is_right_or_refused(name):
    found = judged("--compiled", name)
    assert not {route: what for (_, route), what in found.items() if what[0] not in ("right", "refused")}
    assert (name, "compiled") in found
