"""Whether a server answers at all, asked once and briefly."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

REACH_SECONDS = 4.0  # with the start of a client, a user waits for five at most
# Either switches the network off, as in huggingface_hub.
OFFLINE_VARIABLES, TRUE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"), ("1", "ON", "YES", "TRUE")


class Unavailable(Exception):
    """Weights cannot be had; the message says why."""


def reach(address: str, question: Callable[[], object]) -> None:
    """Ask a server whether it is there, for at most `REACH_SECONDS` in all.

    The timeout of a socket bounds each step (every address of a name, every redirection), not their sum, and
    the search for the name not at all; clients that repeat a question multiply it.

    Args:
        address: of the server, for the message.
        question: raises if the server does not answer.

    Raises:
        Unavailable: no answer, or the network is switched off.
    """
    if variable := next((name for name in OFFLINE_VARIABLES if _is_true(name)), None):
        raise Unavailable(f"{variable} is set")
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            question()
            answers.put(None)
        except Exception as error:  # of whatever client the question uses
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
