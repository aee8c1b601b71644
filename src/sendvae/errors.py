"""Errors for people, which say what was given, what was expected and what to do next."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can correct. The command line prints it without a traceback and exits with 2.

    Args:
        problem: what is wrong, naming the field or file.
        given: the offending value, if there is one.
        expected: what would have been accepted.
        next_step: the command or edit that corrects it.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        given: object = None,
        expected: str | None = None,
        next_step: str | None = None,
    ) -> None:
        self.problem, self.given, self.expected, self.next_step = problem, given, expected, next_step
        lines = [problem]
        if given is not None:
            lines.append(f"  given:    {given}")
        if expected is not None:
            lines.append(f"  expected: {expected}")
        if next_step is not None:
            lines.append(f"  next:     {next_step}")
        super().__init__("\n".join(lines))

    def or_else(self, advice: str) -> UserError:
        """Return the same error with something else that could be done."""
        step = "\n            ".join(filter(None, (self.next_step, f"or {advice}")))
        return type(self)(self.problem, given=self.given, expected=self.expected, next_step=step)


class MachineError(UserError):
    """A fault of the machine, such as a full disk or a network that is down.

    No other command line would have helped. The command line exits with 1.
    """

    exit_code = 1
