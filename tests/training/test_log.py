"""What a line of the journal says of the steps since the line before."""

from __future__ import annotations

import math

import pytest
import torch

from sendvae.training.log import SKIPPED, Window


def test_a_line_has_the_means_of_its_finite_steps() -> None:
    """And how many steps had something else; a new line begins anew, also in a resumed run."""
    window = Window(limit=5)
    for position, (loss, norm) in enumerate([(1.0, 4.0), (2.0, math.nan), (6.0, 8.0)]):
        window.add(4 * position, {"loss": torch.tensor(loss), "norm": torch.tensor(norm)})
        resumed = Window(limit=5)
        resumed.restore(window.state())
        window = resumed
    assert window.flush() == pytest.approx({"loss": 3.0, "norm": 6.0, SKIPPED: 1.0})
    window.add(12, {"loss": torch.tensor(5.0)})
    assert window.flush() == {"loss": 5.0}
    assert window.flush() == {}
