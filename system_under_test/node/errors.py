"""The errors that a node replies with: one table, for the replies, the clients and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .canonical import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """One error. definite: the request certainly had no effect and never will have one."""

    code: str
    definite: bool
    meaning: str


_ROWS = (
    ErrorRow(
        code="not-leader",
        definite=True,
        meaning="refused before it was appended, or a read; `leader` names who leads, if known",
    ),
    ErrorRow(
        code="lost-leadership",
        definite=False,
        meaning="appended, then the node stopped leading before it was committed",
    ),
    ErrorRow(
        code="unknown-operation",
        definite=True,
        meaning="there is no such `f` or `admin`",
    ),
    ErrorRow(
        code="bad-request",
        definite=True,
        meaning="a field is missing, of the wrong type or too large; `detail` says which",
    ),
    ErrorRow(
        code="overloaded",
        definite=True,
        meaning="too many requests wait already; refused before it was appended",
    ),
    ErrorRow(
        code="too-large",
        definite=True,
        meaning="the answer to a read or an `admin` is longer than a frame may be",
    ),
    ErrorRow(
        code="stopping",
        definite=True,
        meaning="the node is stopping; refused before it was appended, or a read",
    ),
    ErrorRow(
        code="interrupted",
        definite=False,
        meaning="appended, then the node was stopped before it was committed",
    ),
    ErrorRow(
        code="session-expired",
        definite=True,
        meaning="raft: there is no such session (any more); this request did nothing, though an "
        "earlier try of it may have",
    ),
    ErrorRow(
        code="out-of-sequence",
        definite=True,
        meaning="raft: the session went on to a later sequence; this request was not done now",
    ),
    ErrorRow(
        code="not-ready",
        definite=True,
        meaning="raft: a leader changes members once it has committed an entry of its own term",
    ),
    ErrorRow(
        code="change-in-progress",
        definite=True,
        meaning="raft: one change of members at a time, and no requests while leadership moves",
    ),
    ErrorRow(
        code="unavailable",
        definite=True,
        meaning="store: too few replicas answered before anything was written, or a read",
    ),
    ErrorRow(
        code="timeout",
        definite=False,
        meaning="store: a write that too few replicas acknowledged in time",
    ),
    ErrorRow(
        code="behind",
        definite=True,
        meaning="store: the node has not applied in time what the session had seen",
    ),
    ErrorRow(
        code="weak-quorum",
        definite=True,
        meaning="store: strong with R+W<=N, whose quorums do not meet",
    ),
)

ERRORS: Mapping[str, ErrorRow] = {row.code: row for row in _ROWS}
"""Every error by its code; a code that is not here must be taken as indefinite."""


class RequestError(Exception):
    """A request cannot be taken. code: a row of ERRORS; detail: what is wrong with it, or empty."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class NodeError(Exception):
    """The node cannot start or go on; the message is the one line that a person needs."""


def refusal(error: RequestError) -> dict[str, Json]:
    """Give the reply for a request that cannot be taken."""
    body: dict[str, Json] = {
        "ok": False,
        "error": error.code,
        "definite": ERRORS[error.code].definite,
    }
    if error.detail:
        body["detail"] = error.detail
    return body
