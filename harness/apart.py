"""A run in a process of its own, which is root of a user namespace: for whoever cannot begin anew.

A pytest session of an ordinary user cannot enter a user namespace, and it would be wrong to move it
there. Plans are data and so are results: another process carries the plan out, and the run is read
from the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from splitbrain.check import show_path
from splitbrain.cluster.user_namespace import entering
from splitbrain.core.errors import HarnessError, StoreError, UsageError
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.value import Value
from splitbrain.execute import execute
from splitbrain.exit_code import BAD_USAGE, FAILED, VALID
from splitbrain.report.quiet import Quiet
from splitbrain.runtime.store import plan_from_value, plan_to_value


def is_needed(plan: Plan) -> bool:
    """Tell whether a plan's cluster needs a root that this process is not."""
    return plan.cluster == "embedded" and os.geteuid() != 0


def execute_apart(plan: Plan, *, store: Path) -> RunResult:
    """Carry out a plan in a process that is root of a user namespace, and give its result.

    Raises: UsageError for names that cannot be used, HarnessError when there is no result.
    """
    asked = {"plan": plan_to_value(plan), "store": str(store)}
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"
    child = subprocess.Popen(
        (*entering(), sys.executable, "-c", code),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said, complaint = child.communicate(json.dumps(asked))
    except BaseException:  # Ctrl-C: it was pressed for the child as well, which heals and ends
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(60)
        child.kill()
        raise
    return _result(child.returncode, said, complaint)


def _result(status: int, said: str, complaint: str) -> RunResult:
    lines = complaint.strip().splitlines()
    line = lines[-1].removeprefix("splitbrain: ") if lines else f"it ended with status {status}"
    if status == BAD_USAGE:
        raise UsageError(line)
    try:
        answer: Mapping[str, Value] = json.loads(said)
        path = Path(str(answer["path"]))
    except (ValueError, KeyError, TypeError) as error:
        message = f"the run could not be carried out: {line}"
        raise HarnessError(message) from error
    return show_path(path)


def main() -> None:
    """Carry out the plan on standard input, and say where the run lies."""
    asked = json.loads(sys.stdin.readline() or "{}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        plan = plan_from_value(asked["plan"])
        result = execute(plan, store=Path(asked["store"]), monitor=Quiet())
    except (UsageError, StoreError) as error:
        sys.stderr.write(f"splitbrain: {error}\n")
        sys.exit(BAD_USAGE if isinstance(error, UsageError) else FAILED)
    sys.stdout.write(json.dumps({"path": str(result.path)}) + "\n")
    sys.exit(VALID)
