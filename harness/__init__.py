"""splitbrain: break a cluster on purpose, and prove what it promised.

The public names are loaded on first use, so that ``import splitbrain`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from splitbrain.version import __version__

_PUBLIC = {
    "Anomaly": "splitbrain.core.verdict",
    "At": "splitbrain.core.fault",
    "Bed": "splitbrain.core.cluster",
    "Checker": "splitbrain.core.verdict",
    "Client": "splitbrain.core.client",
    "DaemonSpec": "splitbrain.core.system",
    "Evidence": "splitbrain.core.evidence",
    "Fail": "splitbrain.core.client",
    "Fault": "splitbrain.core.fault",
    "HarnessError": "splitbrain.core.errors",
    "History": "splitbrain.core.history",
    "Info": "splitbrain.core.client",
    "Injection": "splitbrain.core.fault",
    "Nemesis": "splitbrain.core.fault",
    "Ok": "splitbrain.core.client",
    "Operation": "splitbrain.core.operation",
    "Outcome": "splitbrain.core.operation",
    "Schedule": "splitbrain.core.fault",
    "Status": "splitbrain.core.verdict",
    "System": "splitbrain.core.system",
    "Verdict": "splitbrain.core.verdict",
    "Vocabulary": "splitbrain.core.operation",
    "Workload": "splitbrain.core.workload",
    "judge": "splitbrain.check",
}

__all__ = [
    "Anomaly",
    "At",
    "Bed",
    "Checker",
    "Client",
    "DaemonSpec",
    "Evidence",
    "Fail",
    "Fault",
    "HarnessError",
    "History",
    "Info",
    "Injection",
    "Nemesis",
    "Ok",
    "Operation",
    "Outcome",
    "Schedule",
    "Status",
    "System",
    "Verdict",
    "Vocabulary",
    "Workload",
    "__version__",
    "judge",
]

if TYPE_CHECKING:
    from splitbrain.check import judge
    from splitbrain.core.client import Client, Fail, Info, Ok
    from splitbrain.core.cluster import Bed
    from splitbrain.core.errors import HarnessError
    from splitbrain.core.evidence import Evidence
    from splitbrain.core.fault import At, Fault, Injection, Nemesis, Schedule
    from splitbrain.core.history import History
    from splitbrain.core.operation import Operation, Outcome, Vocabulary
    from splitbrain.core.system import DaemonSpec, System
    from splitbrain.core.verdict import Anomaly, Checker, Status, Verdict
    from splitbrain.core.workload import Workload


def __getattr__(name: str) -> object:
    module = _PUBLIC.get(name)
    if module is None:
        message = f"module 'splitbrain' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(module), name)
