"""Starts and ends the process that renews the nodes' leases."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from splitbrain.core.errors import SetupError
from splitbrain.core.value import Value

LEASE_S = 15
RENEW_EVERY_S = 1.0
_END_LIMIT_S = 5.0


class LeaseKeeper:
    """The renewing process; it dies with the thread that started it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    def start(
        cls, hosts: Sequence[Mapping[str, str | int]], client_key: str, log: Path
    ) -> LeaseKeeper:
        """Start to renew.

        hosts: "node", "address", "port", "user" and "host_key" of each. Raises: SetupError.
        """
        return cls._start({"hosts": list(hosts), "client_key": client_key}, log)

    @classmethod
    def start_for(cls, logins: Sequence[Mapping[str, Value]], log: Path) -> LeaseKeeper:
        """Start to renew on hosts of the user's own.

        logins: "login" as JSON, "sudo" and "password" of each. Raises: SetupError.
        """
        return cls._start({"logins": list(logins)}, log)

    @classmethod
    def _start(cls, what: Mapping[str, object], log: Path) -> LeaseKeeper:
        """Start the process; whatever is secret goes to it over a pipe."""
        config = {**what, "lease_s": LEASE_S, "every_s": RENEW_EVERY_S}
        # Where there is no setpriv, the end of standard input ends it, if a little later.
        dies = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
        command = (*dies, sys.executable, "-m")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            with log.open("ab") as errors:
                process = subprocess.Popen(
                    (*command, "splitbrain.cluster.lease_keeper"),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
            assert process.stdin is not None
            process.stdin.write(json.dumps(config).encode() + b"\n")
            process.stdin.flush()
        except OSError as error:
            message = f"cannot start the process that renews the leases: {error}"
            raise SetupError(message) from error
        return cls(process)

    def end(self) -> None:
        """End it; idempotent."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_LIMIT_S)
