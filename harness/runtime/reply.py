"""What a client replied, as the record of a completion: checked, and believed no further."""

from __future__ import annotations

from typing import Final

from splitbrain.core.client import Fail, Info, Ok
from splitbrain.core.journal import Complete, encode
from splitbrain.core.value import require_value

ERROR_LIMIT = 1000
_INT64: Final = range(-(2**63), 2**63)
_SCALARS: Final = (type(None), bool, int, str)


def completion(invoke: int, reply: object, time_ns: int) -> tuple[Complete, bytes]:
    """Give the record that completes an operation, and its bytes.

    A reply that is none, or whose value is not JSON, makes the outcome unknown: what it says of
    the operation cannot be believed or kept.
    """
    try:
        record = _record(invoke, reply, time_ns)
        return record, encode(record)
    except (ValueError, TypeError, RecursionError) as error:
        record = unknown(invoke, f"the client's reply cannot be kept: {error}", time_ns)
        return record, encode(record)


def unknown(invoke: int, error: str, time_ns: int) -> Complete:
    """Give the record of an operation of which nobody knows what became."""
    return Complete(invoke=invoke, outcome="info", time_ns=time_ns, error=one_line(error))


def raised(error: BaseException) -> str:
    """Give the text for an exception that escaped a client: its type, and what it says."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a foreign exception may not even have a text
        text = "?"
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def one_line(text: object) -> str:
    """Give a text that can be kept: of bounded length, and without halves of characters."""
    return str(text)[:ERROR_LIMIT].encode("utf-8", "backslashreplace").decode()


def _record(invoke: int, reply: object, time_ns: int) -> Complete:
    if isinstance(reply, Ok):
        return _ok(invoke, reply, time_ns)
    if isinstance(reply, Fail):
        error = one_line(reply.error)
        return Complete(invoke=invoke, outcome="fail", time_ns=time_ns, error=error)
    if isinstance(reply, Info):
        return unknown(invoke, reply.error, time_ns)
    message = f"{type(reply).__name__} is not Ok, Fail or Info"
    raise TypeError(message)


def _ok(invoke: int, reply: Ok, time_ns: int) -> Complete:
    value, context, version = reply.value, reply.context, reply.version
    if type(value) not in _SCALARS:
        value = require_value(value)
    if version is None and context is None and reply.applied is True and reply.served_by is None:
        return Complete(invoke=invoke, outcome="ok", time_ns=time_ns, result=value)
    if context is not None:
        context = require_value(context)
    if version is not None and (type(version) is not int or version not in _INT64):
        message = f"version {version!r} is not a 64-bit integer"
        raise TypeError(message)
    if type(reply.applied) is not bool:
        message = f"applied is {reply.applied!r} and not a boolean"
        raise TypeError(message)
    if reply.served_by is not None and not isinstance(reply.served_by, str):
        message = f"served_by is {reply.served_by!r} and not the name of a node"
        raise TypeError(message)
    return Complete(
        invoke=invoke,
        outcome="ok",
        time_ns=time_ns,
        result=value,
        applied=reply.applied,
        version=version,
        context=context,
        served_by=reply.served_by,
    )
