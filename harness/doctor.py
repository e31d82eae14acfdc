"""What works on this machine, what is missing, and how it is mended."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from splitbrain.checkers.porcupine.helper import ensure_helper, helper_status
from splitbrain.cluster import embedded, vagrant
from splitbrain.cluster.inventory_preflight import Lack
from splitbrain.core.errors import HarnessError
from splitbrain.core.value import Value

PACKAGES_SCRIPT = Path(__file__).with_name("system_packages.sh")
INSTALL_LIMIT_S = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    subject: a kind of cluster, or a helper. status: OK, DEGRADED or MISSING. missing: what is not
    there, each with the one line that mends it.
    """

    subject: str
    status: str
    is_cluster: bool
    missing: tuple[tuple[str, str], ...] = ()

    def to_value(self) -> Value:
        """Give it as JSON."""
        rows: list[Value] = [{"what": what, "advice": advice} for what, advice in self.missing]
        return {"name": self.subject, "status": self.status, "missing": rows}


def examine() -> Sequence[Finding]:
    """Look at every kind of cluster and at the helpers; changes nothing."""
    status, missing = embedded.status()
    machines, machines_missing = vagrant.status()
    helper = helper_status()
    advice = () if helper is None else (("the Porcupine helper", helper),)
    return (
        Finding(subject="embedded", status=status, is_cluster=True, missing=tuple(missing)),
        Finding(
            subject="vagrant", status=machines, is_cluster=True, missing=tuple(machines_missing)
        ),
        Finding(
            subject="porcupine",
            status="OK" if helper is None else "MISSING",
            is_cluster=False,
            missing=advice,
        ),
    )


def examine_hosts(source: str) -> Sequence[Finding]:
    """Look at the hosts of an inventory, all at once; changes nothing.

    Raises: UsageError for an inventory that cannot be used.
    """
    from splitbrain.cluster.inventory import Inventory  # noqa: PLC0415

    def finding(node: str, lacks: Sequence[Lack]) -> Finding:
        worst = "MISSING" if any(lack.essential for lack in lacks) else "DEGRADED"
        rows = tuple((lack.what, lack.advice) for lack in lacks)
        status = worst if lacks else "OK"
        return Finding(subject=node, status=status, is_cluster=False, missing=rows)

    return [finding(node, item.lacks) for node, item in Inventory(source).preflight().items()]


def all_work(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing indispensable is missing anywhere."""
    return all(item.status != "MISSING" for item in findings)


def any_cluster_works(findings: Sequence[Finding]) -> bool:
    """Tell whether at least one kind of cluster can be used."""
    return any(item.is_cluster and item.status != "MISSING" for item in findings)


def mend(say: Callable[[str], None]) -> None:
    """Install the system packages that are missing, and build the helper; says what it does.

    What could not be mended is said, and stands in the findings afterwards.
    """
    if embedded.status()[0] != "OK":
        try:
            done = subprocess.run(
                ["sh", str(PACKAGES_SCRIPT)],
                check=False,
                capture_output=True,
                text=True,
                timeout=INSTALL_LIMIT_S,
            )
            lines = (done.stdout + done.stderr).splitlines()
        except (OSError, subprocess.TimeoutExpired) as error:
            lines = [f"system packages: {error}"]
        for line in lines:
            say(line)
    try:
        say(f"porcupine helper: {ensure_helper()}")
    except HarnessError as error:
        say(str(error))
