"""Machines on VirtualBox: their power, by VBoxManage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from splitbrain.cluster.machines.command import run_program

PROGRAM = "VBoxManage"
_LIMIT_S = 120.0


class VirtualBox:
    """What VBoxManage does for us."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "vboxmanage.log"

    def machines(self) -> dict[str, bool]:
        """Give our machines, by node, and whether each runs."""
        every, runs = self._names("vms"), self._names("runningvms")
        return {
            name.removeprefix("splitbrain_"): name in runs
            for name in sorted(every)
            if name.startswith("splitbrain_")
        }

    def cut_power(self, nodes: Sequence[str]) -> None:
        """Cut the power of machines at one moment. Raises: SetupError."""
        self._each(nodes, lambda name: ("controlvm", name, "pause"))
        self._each(nodes, lambda name: ("controlvm", name, "poweroff"))

    def start(self, nodes: Sequence[str]) -> None:
        """Start machines that are off. Raises: SetupError."""
        self._each(nodes, lambda name: ("startvm", name, "--type", "headless"))

    def _names(self, what: str) -> set[str]:
        lines = self._manage("list", what).splitlines()
        return {line.split('"')[1] for line in lines if line.count('"') >= 2}

    def _each(self, nodes: Sequence[str], command: Callable[[str], tuple[str, ...]]) -> None:
        def act(node: str) -> None:
            self._manage(*command(f"splitbrain_{node}"))

        with ThreadPoolExecutor(len(nodes) or 1) as pool:
            for done in [pool.submit(act, node) for node in nodes]:
                done.result()

    def _manage(self, *arguments: str) -> str:
        return run_program(
            (PROGRAM, *arguments),
            limit_s=_LIMIT_S,
            log=self._log,
            what=f"{PROGRAM} {arguments[0]}",
        )
