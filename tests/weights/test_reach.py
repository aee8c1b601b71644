"""One short question before the client's own patience."""

from __future__ import annotations

import time

import pytest

from sendvae.weights import reach as module
from sendvae.weights.reach import Unavailable, reach


@pytest.mark.usefixtures("online")
def test_an_answer_is_enough() -> None:
    reach("example.org", lambda: None)


@pytest.mark.usefixtures("online")
def test_silence_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question itself may take longer than the timeout it was given, address after address."""
    assert module.REACH_SECONDS <= 4.0
    monkeypatch.setattr(module, "REACH_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"example\.org did not answer within 0\.2 seconds"):
        reach("example.org", lambda: time.sleep(2.0))
    assert time.monotonic() - began < 1.5


@pytest.mark.usefixtures("online")
def test_a_refusal_is_told() -> None:
    def refuse() -> None:
        raise RuntimeError("of whatever client")

    with pytest.raises(Unavailable, match=r"example\.org cannot be reached \(of whatever client\)"):
        reach("example.org", refuse)


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
@pytest.mark.parametrize("value", ["1", "yes", "True", "ON"])
def test_nothing_is_asked_while_offline(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Unavailable, match=f"{variable} is set"):
        reach("example.org", lambda: pytest.fail("asked"))


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("value", ["0", "", "no"])
def test_other_values_do_not_switch_it_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    reach("example.org", lambda: None)
