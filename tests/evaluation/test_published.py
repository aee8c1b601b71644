"""Published gFIDs: facts by protocol, for tokenizers of our own table."""

from __future__ import annotations

import pytest

from sendvae.errors import UserError
from sendvae.evaluation.published import PUBLISHED
from sendvae.tokenizers import TOKENIZERS


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_are_of_tokenizers_that_we_know(name: str) -> None:
    protocol = PUBLISHED[name]
    names = [row.name for row in protocol.rows if row.name is not None]
    assert len(set(names)) == len(names) > 1
    assert set(names) <= TOKENIZERS.keys()
    assert len({row.label for row in protocol.rows}) == len(protocol.rows)
    assert all(1 < row.gfid < 100 for row in protocol.rows)
    assert protocol.source
    assert protocol.description


def test_gfids_are_found_by_name_in_the_order_asked_for() -> None:
    names = ["e2e-vavae-f16d32", "mine", "invae-f16d32"]
    assert PUBLISHED["send-vae-sit-b1-80"].known(names) == [8.96, None, 17.43]
    assert PUBLISHED["ifid-sit-xl"].known(names) == [None, None, 25.65]
    assert PUBLISHED["ifid-sit-b"].known(names) == [None, None, 49.17]


def test_what_nobody_reports_is_refused() -> None:
    with pytest.raises(UserError, match=r"no gFID of these(?s:.*)runs/a, demo-f8d16(?s:.*)vavae-f16d32"):
        PUBLISHED["ifid-sit-b"].known(["runs/a", "demo-f8d16"])
    with pytest.raises(UserError, match="unknown published protocol"):
        PUBLISHED["send-vae"]
