"""No damaged input ends in a traceback, leaves half of a result, or is executed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.inputs import try_kind
from tests.faults.kinds import KINDS

SHORT = 20  # cases of a kind in the ordinary suite


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", KINDS)
def test_a_few_damaged_inputs_are_refused_in_words(name: str, tmp_path: Path) -> None:
    tried = try_kind(KINDS[name], SHORT, tmp_path / "inputs")
    assert not tried.failures, "\n".join(tried.words()[:5])
    assert tried.cases > SHORT / 2
    assert tried.refused or name == "images"  # of which a damaged one is left out


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", KINDS)
def test_many_damaged_inputs_are_refused_in_words(name: str, tmp_path: Path) -> None:
    tried = try_kind(KINDS[name], KINDS[name].cases, tmp_path / "inputs")
    assert not tried.failures, "\n".join(tried.words()[:5])
    assert tried.cases > KINDS[name].cases / 2  # all different; the strategies repeat themselves
