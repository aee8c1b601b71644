"""Signals are collected in order and answered at once, and handlers are put back."""

from __future__ import annotations

import hashlib
import os
import signal
import threading

import pytest

from sendvae.signals import answered_signals, blocked_signals, collected_signals, handled_signals

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


def test_a_signal_is_answered_while_the_main_thread_computes() -> None:
    """Python's handlers wait until a function in C returns; the answer does not."""
    order: list[object] = []
    with collected_signals() as received, answered_signals(order.append):
        sender = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
        sender.start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 3_000_000)
        order.append("computed")
        signal.raise_signal(signal.SIGTERM)  # schedulers repeat it
        sender.join()
    assert order == [signal.SIGTERM, "computed"]
    assert received == [signal.SIGTERM, signal.SIGTERM]


def test_only_signals_that_ask_to_stop_are_answered_and_the_thread_ends() -> None:
    before, threads = signal.signal(signal.SIGUSR1, lambda *_: None), threading.active_count()
    answers: list[int] = []
    try:
        with answered_signals(answers.append):
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == []
    assert threading.active_count() == threads
    assert signal.set_wakeup_fd(-1) == -1


def test_handlers_are_put_back_after_an_error() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    received: list[int] = []

    def fail() -> None:
        with handled_signals(dict.fromkeys(BOTH, lambda number, _frame: received.append(number))):
            signal.raise_signal(signal.SIGTERM)
            raise ValueError("in the block")

    with pytest.raises(ValueError, match="in the block"):
        fail()
    assert received == [signal.SIGTERM]
    assert [signal.getsignal(number) for number in BOTH] == before


def test_blocked_signals_wait_and_the_former_mask_comes_back() -> None:
    received: list[int] = []
    outer = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with handled_signals(dict.fromkeys(BOTH, lambda number, _frame: received.append(number))):
            with blocked_signals(BOTH):
                signal.raise_signal(signal.SIGTERM)
                assert received == []
            assert received == [signal.SIGTERM]
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            assert signal.SIGINT in mask
            assert signal.SIGTERM not in mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, outer)
