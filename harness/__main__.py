"""The program `splitbrain`, which can be interrupted from its first moment on.

The commands take a while to import, and a Ctrl-C meanwhile is one line as well.
"""

from __future__ import annotations

import sys
from typing import NoReturn

_UNKNOWN = 2
"""As in `splitbrain.exit_code`, which is not there yet."""


def entry() -> NoReturn:
    """Run the command line and leave with the right exit code."""
    try:
        from splitbrain import cli  # noqa: PLC0415

        cli.entry()
    except KeyboardInterrupt:
        sys.stderr.write("splitbrain: interrupted\n")
        sys.exit(_UNKNOWN)


if __name__ == "__main__":
    entry()
