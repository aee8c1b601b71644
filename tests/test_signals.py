"""Signals are collected in order, and handlers are put back."""

from __future__ import annotations

import signal
import threading

import pytest

from sendvae.signals import collected_signals

BOTH = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("interrupt_at_second", [False, True])
def test_they_come_in_order_and_handlers_go_back(interrupt_at_second: bool) -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with collected_signals(interrupt_at_second) as received:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # schedulers repeat it
        assert received == [signal.SIGINT, signal.SIGTERM, signal.SIGTERM]
    assert [signal.getsignal(number) for number in BOTH] == before


@pytest.mark.parametrize("first", BOTH)
def test_a_second_ctrl_c_does_not_wait_where_it_is_asked_for(first: signal.Signals) -> None:
    before = [signal.getsignal(number) for number in BOTH]
    taken: list[int] = []

    def twice() -> None:
        with collected_signals(interrupt_at_second=True) as received:
            signal.raise_signal(first)
            taken.extend(received)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert taken == [first]
    assert [signal.getsignal(number) for number in BOTH] == before
    with collected_signals() as received:
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGINT)
    assert received == [first, signal.SIGINT]


def test_outside_the_main_thread_nothing_is_collected() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    seen: list[object] = []

    def work() -> None:
        with collected_signals() as received:
            seen.extend([received, [signal.getsignal(number) for number in BOTH]])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[], before]
