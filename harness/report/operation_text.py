"""One operation in a few words: what was asked, and what came of it."""

from __future__ import annotations

from splitbrain.core.operation import Operation, Outcome
from splitbrain.report.alphabet import Alphabet

KEY_LIMIT = 16
NAME_LIMIT = 20
LEAST_VALUE = 6


def operation_text(
    operation: Operation, alphabet: Alphabet, cells: int, *, node: str | None = None
) -> str:
    """Write an operation as `write x ← 5` or `read x → 5`, at most so many cells wide.

    node: named at the end if given.
    """
    words = [alphabet.text(operation.f, NAME_LIMIT)]
    if operation.key is not None:
        words.append(alphabet.key(operation.key, KEY_LIMIT))
    share = max(LEAST_VALUE, (cells - sum(map(len, words)) - 6) // 2)
    if operation.argument is not None:
        words += [alphabet.left, alphabet.value(operation.argument, share)]
    words += _ending(operation, alphabet, share)
    if node is not None:
        words.append("@" + alphabet.text(node, NAME_LIMIT))
    return alphabet.text(" ".join(words), cells)


def _ending(operation: Operation, alphabet: Alphabet, share: int) -> list[str]:
    """Say what came of it; a write that went well needs no words."""
    words: list[str] = []
    if operation.outcome is Outcome.OK:
        asked = operation.argument is not None
        if operation.result is not None or not (asked or not operation.applied):
            words = [alphabet.right, alphabet.value(operation.result, share)]
        if not operation.applied:
            words.append("refused")
        return words
    if operation.error:
        reason = alphabet.text(operation.error, max(share, 12))
    else:
        reason = "failed" if operation.outcome is Outcome.FAIL else "unknown"
    return [alphabet.right, reason]
