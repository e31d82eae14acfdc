"""What can go wrong in the harness itself, apart from what the system under test does.

Three families never mix: outcomes (Ok, Fail, Info) say what the system did, a `HarnessError` says
that the test bed or its input is at fault, and an assertion says that we are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

COMMAND_SHOWN = 80


ESCAPES = (Exception, SystemExit, GeneratorExit)
"""What may escape from code of others: all but a Ctrl-C, which is of the person at the keyboard."""


class HarnessError(Exception):
    """The harness cannot go on, and the message is the one line that a person needs.

    `advice` is a command or an action that mends it; it is appended to the line when given.
    """

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message if advice is None else f"{message}; {advice}")
        self.advice = advice


class UsageError(HarnessError):
    """A command, name, file or parameter that a person gave cannot be used (exit code 254)."""


class FaultError(UsageError):
    """A fault of a schedule cannot be used; the message names it and its field."""


class ContractError(UsageError):
    """A plug-in does not have the methods or attributes that its role asks for."""


class SetupError(HarnessError):
    """The cluster or the system could not be brought up."""


class CheckerError(HarnessError):
    """A checker could not do its work; its verdict is unknown, with this line as the reason."""


class NobodyToHitError(HarnessError):
    """A fault's target names nobody at this moment, such as the leader during an election."""


class NotInjectedYetError(HarnessError):
    """A fault does not take hold while others last, as nobody is removed while nobody leads."""


class NotHealedYetError(HarnessError):
    """A fault cannot be undone while others last, as a member does not join while it is cut off."""


class StoreError(HarnessError):
    """The store cannot be written or read: a full disk, a missing or foreign directory."""


class RemoteError(HarnessError):
    """A command on a node failed, or the node could not be reached.

    exit_status is None when no status came back: time ran out, or the connection broke.
    """

    def __init__(
        self,
        node: str,
        argv: Sequence[str],
        *,
        exit_status: int | None = None,
        stderr: str = "",
        reason: str | None = None,
    ) -> None:
        command = _shortened(argv)
        what = reason or ("no exit status" if exit_status is None else f"exit status {exit_status}")
        tail = stderr.strip().splitlines()[-1:] or [""]
        super().__init__(f"{node}: {command}: {what}{': ' + tail[0] if tail[0] else ''}")
        self.node = node
        self.argv = tuple(argv)
        self.exit_status = exit_status
        self.stderr = stderr
        self.reason = reason

    def told_of(self, argv: Sequence[str]) -> RemoteError:
        """Give the same failure as that of another command, of which this one was a part."""
        return RemoteError(
            self.node, argv, exit_status=self.exit_status, stderr=self.stderr, reason=self.reason
        )


def _shortened(argv: Sequence[str]) -> str:
    """Give a command as part of one line: whatever it holds, no line breaks and no novel."""
    line = " ".join(" ".join(argv).split())
    return line if len(line) <= COMMAND_SHOWN else f"{line[: COMMAND_SHOWN - 1]}…"


class MalformedHistoryError(UsageError):
    """A history breaks a rule of histories; the place is named: file, and line or operation."""

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        operation: int | None = None,
    ) -> None:
        place = "" if path is None else str(path)
        if line is not None:
            place += f":{line}"
        if operation is not None:
            place += f"{', ' if place else ''}operation {operation}"
        super().__init__(f"{place}: {message}" if place else message)
        self.path = path
        self.line = line
        self.operation = operation


class JournalError(HarnessError):
    """A journal is damaged in its middle, or is not a journal; names the byte offset."""

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset})")
        self.offset = offset


class InterruptedRunError(HarnessError):
    """A person asked the run to stop (Ctrl-C); what was journaled is judged."""
