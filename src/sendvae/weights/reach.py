"""A single, brief check whether a server answers at all."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

REACH_SECONDS = 4.0  # with the start of a client, a user waits five seconds at most
# Each of these variables switches the network off, as in huggingface_hub.
OFFLINE_VARIABLES, TRUE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"), ("1", "ON", "YES", "TRUE")


class Unavailable(Exception):
    """An error for weights that cannot be obtained; the message says why."""


def reach(address: str, question: Callable[[], object]) -> None:
    """Ask a server whether it answers, for at most `REACH_SECONDS` seconds in all.

    The timeout of a socket is not enough: it bounds each step (every address of a name, every redirection), but not
    their sum, nor the look-up of the name, and clients that repeat a request multiply it.

    Args:
        address: the address of the server, for the message.
        question: asks the server, and raises an error if it does not answer.

    Raises:
        Unavailable: the server does not answer, or the network is switched off.
    """
    if variable := next((name for name in OFFLINE_VARIABLES if _is_true(name)), None):
        raise Unavailable(f"{variable} is set")
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            question()
            answers.put(None)
        except Exception as error:  # the error may be of any client that the question uses
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        failure = answers.get(timeout=REACH_SECONDS)
    except queue.Empty:
        raise Unavailable(f"{address} did not answer within {REACH_SECONDS:g} seconds") from None
    if failure is not None:
        raise Unavailable(f"{address} cannot be reached ({failure})")


def _is_true(variable: str) -> bool:
    return os.environ.get(variable, "").upper() in TRUE
