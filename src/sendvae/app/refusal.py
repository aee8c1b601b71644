"""What is told to whoever sits at the browser."""

from __future__ import annotations

from sendvae.errors import UserError


class Refusal(UserError):
    """A mistake that somebody at the browser can mend. Its text names no path of this machine.

    Every other error stays in the terminal, and the browser says so.
    """
