"""The `vagrant` program, run in the state folder with the settings as its environment."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import paramiko

from splitbrain.cluster.machines.command import run_program
from splitbrain.cluster.machines.place import Place
from splitbrain.core.errors import SetupError

logger = logging.getLogger(__name__)

UP_LIMIT_S = 900.0
LIMIT_S = 300.0
_MARKED = re.compile(r"^(?:==> )?\s*(n[1-9]): (.+)$")
_WORTH_SAYING = ("Creating", "Booting", "Starting", "Importing", "Machine booted", "Downloading")


class Vagrant:
    """One Vagrantfile with its environment."""

    def __init__(
        self, folder: Path, place: Place, environment: Mapping[str, str], provider: str
    ) -> None:
        self._folder = folder
        self._place = place
        self._provider = provider
        self._log = folder.parent / "vagrant.log"
        self._environment = {
            **os.environ,
            **environment,
            "VAGRANT_CWD": str(folder),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "VAGRANT_NO_COLOR": "1",
            "LIBVIRT_DEFAULT_URI": "qemu:///system",
        }

    def up(self, nodes: Sequence[str], say: Callable[[str], None]) -> None:
        """Bring machines up, side by side; tried twice, since a boot may fail for want of luck.

        Raises: SetupError with Vagrant's own words.
        """

        def heard(line: str) -> None:
            found = _MARKED.match(line)
            if found is not None and found[2].startswith(_WORTH_SAYING):
                say(f"{found[1]}: {found[2].rstrip('.')}")

        command = ("up", "--provider", self._provider, *nodes)
        try:
            self._run(*command, limit_s=UP_LIMIT_S, heard=heard)
        except SetupError as error:
            say(f"trying once more: {error}")
            self._run(*command, limit_s=UP_LIMIT_S, heard=heard)

    def halt(self) -> None:
        """Shut all machines down. Raises: SetupError."""
        self._run("halt")

    def destroy(self) -> None:
        """Remove all machines with their disks. Raises: SetupError."""
        self._run("destroy", "--force")

    def add_box(self, name: str, file: Path) -> None:
        """Let Vagrant know a box; one of this name is replaced. Raises: SetupError."""
        command = ("box", "add", "--force", "--provider", self._provider, "--name", name, str(file))
        self._run(*command)

    def remove_box(self, name: str) -> None:
        """Let Vagrant forget a box, if it knows it."""
        if name in self._run("box", "list"):
            command = ("box", "remove", "--force", "--all", "--provider", self._provider, name)
            self._run(*command)

    def ssh_settings(self, nodes: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Give, for each node, "hostname", "port", "user" and "identityfile".

        Raises: SetupError when a machine is not up.
        """
        return parse_ssh_config(self._run("ssh-config", *nodes), nodes)

    def _run(
        self,
        *arguments: str,
        limit_s: float = LIMIT_S,
        heard: Callable[[str], None] = lambda _line: None,
    ) -> str:
        what = f"vagrant {' '.join(arguments[:2] if arguments[0] == 'box' else arguments[:1])}"
        return run_program(
            self._place.command(("vagrant", *arguments)),
            limit_s=limit_s,
            log=self._log,
            environment=self._environment,
            heard=heard,
            what=what,
        )


def parse_ssh_config(text: str, nodes: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """Read what `vagrant ssh-config` says. Raises: SetupError naming the node that is missing."""
    config = paramiko.SSHConfig.from_text(text)
    found: dict[str, Mapping[str, str]] = {}
    for node in nodes:
        held = config.lookup(node) if node in config.get_hostnames() else {}
        if "hostname" not in held or not held.get("identityfile"):
            message = f"vagrant ssh-config says nothing about {node}"
            raise SetupError(message, advice="see `splitbrain cluster status`")
        found[node] = {
            "hostname": str(held["hostname"]),
            "port": str(held.get("port", "22")),
            "user": str(held.get("user", "vagrant")),
            "identityfile": str(held["identityfile"][0]).strip('"'),
        }
    return found
