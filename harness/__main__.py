"""The program `splitbrain`, which can be interrupted from its first moment on.

The commands take a while to import, and a Ctrl-C meanwhile is one line as well.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from splitbrain.core.interruption import is_interruption, note_interruptions

_UNKNOWN = 2
"""As in `splitbrain.exit_code`, which is not there yet."""


def entry() -> NoReturn:
    """Run the command line and leave with the right exit code."""
    try:
        note_interruptions()
        from splitbrain import cli  # noqa: PLC0415

        cli.entry()
    except SystemExit:
        raise
    except BaseException as error:
        if not is_interruption(error):
            raise
        sys.stderr.write("splitbrain: interrupted\n")
        sys.exit(_UNKNOWN)


if __name__ == "__main__":
    entry()
