"""All 24 kinds of input, from a user's file by ``landscape analyze`` to numbers as in the dense float64 Hessian."""

from __future__ import annotations

import pytest

from tests.support.kinds import NEEDS, assert_right, load_script

inputs = load_script()


@pytest.mark.campaign
@pytest.mark.parametrize("kind", inputs.KINDS)
def test_a_kind_is_measured_right(kind, tmp_path):
    pytest.importorskip(NEEDS.get(kind, "torch"))
    assert_right(inputs.measured(kind, tmp_path))
