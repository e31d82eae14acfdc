"""Writing to a console as one piece, and saying so truly when nobody reads it any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def paper(console: Console) -> Iterator[None]:
    """Write what is printed within as one piece.

    Raises: BrokenPipeError when the reader has gone.
    """
    with reader_may_leave(), console:
        yield


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Raise BrokenPipeError when the reader has gone, instead of ending the process.

    Rich would end it with the code 1 then, which is the code of an invalid verdict. It leaves the
    console quiet, so that whoever goes on may print to nobody.
    """
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            message = "nobody reads the report any more"
            raise BrokenPipeError(message) from error
        raise
