"""The Python that runs the nodes of reference systems on a host."""

from __future__ import annotations

import contextlib

from splitbrain.core.cluster import Host
from splitbrain.core.errors import RemoteError, SetupError

PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")
"""Where it is looked for, in this order."""


def find_python(host: Host) -> str:
    """Give the path of a host's Python.

    Raises: SetupError when it has none of version 3.11 or newer.
    """
    question = "import sys; sys.exit(sys.version_info < (3, 11))"
    for path in PYTHONS:
        with contextlib.suppress(RemoteError):
            if host.run([path, "-Ic", question], check=False).exit_status == 0:
                return path
    message = f"{host.node} has no Python 3.11 or newer at {' or '.join(PYTHONS)}"
    raise SetupError(message, advice="install the package python3 on it")
