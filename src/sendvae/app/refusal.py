"""The error whose message is shown in the browser."""

from __future__ import annotations

from sendvae.errors import UserError


class Refusal(UserError):
    """A mistake that the user at the browser can correct. Its message names no path of this machine.

    Every other error is printed in the terminal, and the browser only says that there was one.
    """
