"""What a file holds, quoted in a refusal: one line of printable characters, whatever stands there.

Every refusal that shows a piece of a history takes it from here.
"""

from __future__ import annotations

from splitbrain.core.value import Value, canonical

SHOWN = 60


def quoted(text: str, limit: int = SHOWN) -> str:
    r"""Give the beginning of a text with everything escaped that is no printable character."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else _escaped(char) for char in shown)


def quoted_value(value: Value, limit: int = SHOWN) -> str:
    """Give the beginning of a value as JSON, printable and on one line."""
    if isinstance(value, str):
        return quoted(canonical(value[:limit]), limit)
    return quoted(canonical(value), limit)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
