"""The machines of one state folder: brought up, reused, halted, removed.

Every step is said, with the time that it took; what is up and as it should be is used as it is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from splitbrain.cluster.keys import KeyPair
from splitbrain.cluster.machines import preflight
from splitbrain.cluster.machines.acceleration import Acceleration, chosen, find_acceleration
from splitbrain.cluster.machines.access import Entrance, connector, enrol, own_key
from splitbrain.cluster.machines.box import built_box, trial_image
from splitbrain.cluster.machines.choice import Choice, choose
from splitbrain.cluster.machines.files import box_seal, copy_files
from splitbrain.cluster.machines.libvirt import FIRST_ADDRESS, Libvirt
from splitbrain.cluster.machines.place import Place
from splitbrain.cluster.machines.roster import Roster, held_alone, read_roster, write_roster
from splitbrain.cluster.machines.settings import NODE_LIMIT, OWN_BOX, Settings
from splitbrain.cluster.machines.vagrant_command import Vagrant
from splitbrain.cluster.machines.virtualbox import VirtualBox
from splitbrain.cluster.parallel import on_nodes
from splitbrain.cluster.ssh import SshHost
from splitbrain.core.errors import RemoteError, SetupError

logger = logging.getLogger(__name__)

_ANSWER_LIMIT_S = 15.0
_SHARED_PLUGINS = "plugins.json"

Say = Callable[[str], None]


class Power(Protocol):
    """What a provider can do to machines that neither Vagrant nor they themselves do."""

    def machines(self) -> dict[str, bool]:
        """Give our machines, by node, and whether each runs."""

    def cut_power(self, nodes: list[str]) -> None:
        """Cut the power of machines at one moment."""

    def start(self, nodes: list[str]) -> None:
        """Start machines that are off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How one machine is: running, off, or unknown where its provider does not answer."""

    node: str
    state: str
    address: str


class Fleet:
    """All that can be done to the machines of one state folder."""

    def __init__(self, settings: Settings, say: Say = logger.info) -> None:
        self.settings = settings
        self.say = say
        self.choice: Choice = choose(settings)
        self.place: Place = self.choice.place(settings)
        self._folder = settings.folder
        self._files = settings.folder / "vagrant"
        self._roster_file = settings.folder / "roster.json"

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Hold the machines for this process. Raises: SetupError when another has them."""
        return held_alone(self._folder)

    @property
    def key(self) -> KeyPair:
        """The key by which machines are entered."""
        return own_key(self._folder / "client_key")

    @property
    def key_file(self) -> Path:
        """Where that key lies."""
        return self._folder / "client_key"

    def roster(self) -> Roster | None:
        """Give what is known of the machines; None when they were never up."""
        return read_roster(self._roster_file)

    def prepare(self) -> None:
        """Make the place where machines live, and nothing in it.

        Raises: SetupError naming the first thing that is missing, with the line that mends it.
        """
        missing = preflight.lacks(self.settings, self.choice)
        if missing:
            what, advice = missing[0]
            message = f"vagrant machines need {what}"
            raise SetupError(message, advice=advice)
        copy_files(self._files)
        if not self.place.running():
            with self._timed("libvirt's daemons, in a place of their own"):
                self.place.ensure()

    def up(self) -> Roster:
        """Bring up what is missing; give the roster with exactly the nodes that are wanted.

        Raises: SetupError.
        """
        self.prepare()
        known = self.roster()
        if known is not None and self._usable(known):
            self.say(f"using the {self.settings.node_count} machines that are up")
            return self._narrowed(known)
        image = self._own_box()
        acceleration = self._acceleration(image)
        self.say(f"machines run {acceleration.why} (pace {acceleration.pace:g})")
        vagrant = self._vagrant(acceleration)
        if known is not None and not known.made_like(self._wanted(acceleration)):
            self.say("the machines that are there were made with other settings: removing them")
            vagrant.destroy()
            self._roster_file.unlink(missing_ok=True)
        if self.choice.builds_box and not self._knows_box():
            with self._timed("box handed to Vagrant"):
                vagrant.add_box(OWN_BOX, self._box_file())
        if self.choice.provider == "libvirt":
            leads_out = not self.choice.builds_box
            self._libvirt().ensure_network(self.settings.subnet, leads_out=leads_out)
        nodes = self.settings.nodes
        with self._timed(f"{len(nodes)} machines up"):
            vagrant.up(nodes, self.say)
        with self._timed("machines entered"):
            roster = self._enter(vagrant, acceleration)
        write_roster(self._roster_file, roster)
        return self._narrowed(roster)

    def power(self) -> Power:
        """Give what cuts and restores power."""
        if self.choice.provider == "virtualbox":
            return VirtualBox(self._folder)
        return self._libvirt()

    def states(self) -> list[State]:
        """Tell how every machine is that was ever brought up."""
        roster = self.roster()
        if roster is None:
            return []
        try:
            running = self.power().machines() if self.place.running() else {}
        except SetupError as error:
            logger.info("the provider does not answer: %s", error)
            return [
                State(node=node, state="unknown", address=address)
                for node, address in roster.peers.items()
            ]
        return [
            State(node=node, state="running" if running.get(node) else "off", address=address)
            for node, address in roster.peers.items()
        ]

    def halt(self) -> None:
        """Shut the machines down; their disks stay. Raises: SetupError."""
        roster = self.roster()
        if roster is not None and self.place.running():
            with self._timed("machines shut down"):
                self._vagrant(_of(roster)).halt()
        self.place.end()

    def destroy(self) -> bool:
        """Remove machines, disks, network and state; tell whether there was anything.

        The box stays in the cache. Raises: SetupError.
        """
        if not self._folder.exists():
            return False
        there = self._roster_file.exists() or self.place.running()
        if not self.choice.private and self._files.is_dir():
            roster = self.roster()
            if roster is not None:
                vagrant = self._vagrant(_of(roster))
                vagrant.destroy()
                if roster.box == OWN_BOX:
                    vagrant.remove_box(OWN_BOX)
                if roster.provider == "libvirt":
                    self._libvirt().remove_network()
                    self._libvirt().remove_volumes(roster.box)
        self.place.end()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._folder.exists() and any(self._folder.iterdir()):
            message = f"{self._folder} cannot be removed whole"
            raise SetupError(message, advice=f"look at it: ls -la {self._folder}")
        return there

    def remove_built_box(self) -> None:
        """Remove our box and its packages from the cache; they can be had again."""
        shutil.rmtree(self.settings.cache, ignore_errors=True)

    def host(self, entrance: Entrance, key: KeyPair, obstacle: Callable[[], str | None]) -> SshHost:
        """Give control of a machine; nothing is connected yet."""
        return SshHost(entrance.endpoint(key), connect=connector(self.place), obstacle=obstacle)

    def _usable(self, known: Roster) -> bool:
        """Tell whether all wanted machines are up, and are what is wanted."""
        wanted = self._wanted(_of(known))
        if not known.made_like(wanted) or not set(self.settings.nodes) <= set(known.entrances):
            return False
        if self.settings.driver not in (None, known.driver):
            return False
        key = self.key

        def answers(node: str) -> bool:
            host = self.host(known.entrances[node], key, lambda: None)
            try:
                host.run(("true",), timeout_s=_ANSWER_LIMIT_S)
            except RemoteError as error:
                logger.info("%s does not answer: %s", node, error)
                return False
            finally:
                host.close()
            return True

        running = self.power().machines()
        if not all(running.get(node) for node in self.settings.nodes):
            return False
        return all(on_nodes(self.settings.nodes, answers).values())

    def _narrowed(self, roster: Roster) -> Roster:
        nodes = self.settings.nodes
        return replace(
            roster,
            entrances={node: roster.entrances[node] for node in nodes},
            peers={node: roster.peers[node] for node in nodes},
        )

    def _wanted(self, acceleration: Acceleration) -> Roster:
        """Give the roster of what is wanted, without machines."""
        assert self.choice.provider is not None
        return Roster(
            provider=self.choice.provider,
            box=self.choice.box,
            box_seal=box_seal() if self.choice.builds_box else "",
            memory_mb=self.choice.memory_mb,
            subnet=self.settings.subnet,
            driver=acceleration.driver,
            why=acceleration.why,
            pace=acceleration.pace,
            entrances={},
            peers={},
        )

    def _enter(self, vagrant: Vagrant, acceleration: Acceleration) -> Roster:
        nodes, key = self.settings.nodes, self.key
        settings = vagrant.ssh_settings(nodes)
        entrances = on_nodes(nodes, lambda node: enrol(node, settings[node], key, self.place))
        known = self.roster()
        everyone: Mapping[str, Entrance] = {
            **({} if known is None else known.entrances),
            **entrances,
        }
        peers = {node: self._peer(item) for node, item in sorted(everyone.items())}
        return replace(
            self._wanted(acceleration), entrances=dict(sorted(everyone.items())), peers=peers
        )

    def _peer(self, entrance: Entrance) -> str:
        """Give the address by which machines know each other: VirtualBox forwards only ports."""
        if self.choice.provider == "libvirt":
            return entrance.address
        number = int(entrance.node.removeprefix("n"))
        return f"{self.settings.subnet}.{FIRST_ADDRESS - 1 + number}"

    def _own_box(self) -> Path | None:
        """See that our box is built, if it is ours; give what a trial of KVM can boot."""
        if not self.choice.builds_box:
            return None
        log = self._folder / "box.log"
        box = built_box(self.settings.cache, self._files, log, self.say)
        return trial_image(box, self._folder / "trial")

    def _box_file(self) -> Path:
        return self.settings.cache / f"bookworm-{box_seal()}.box"

    def _knows_box(self) -> bool:
        home = Path(self._home() or _usual_home())
        seal = self._folder / "box-added"
        folder = home / "boxes" / OWN_BOX.replace("/", "-VAGRANTSLASH-")
        known = seal.is_file() and seal.read_text(encoding="utf-8") == box_seal()
        seal.write_text(box_seal(), encoding="utf-8")
        return known and folder.is_dir()

    def _home(self) -> str | None:
        """Give Vagrant a home of ours where all else is ours, unless its plugins are elsewhere."""
        if not self.choice.private or (_usual_home() / _SHARED_PLUGINS).is_file():
            return None
        return str(self._folder / "vagrant-home")

    def _acceleration(self, image: Path | None) -> Acceleration:
        if self.choice.provider != "libvirt":
            return Acceleration(driver="virtualbox", why="under VirtualBox")
        if self.settings.driver is not None:
            return chosen(self.settings.driver)
        with self._timed("trial whether guests boot under KVM"):
            return find_acceleration(self._folder / "acceleration.json", image)

    def _libvirt(self) -> Libvirt:
        return Libvirt(self.place, self._folder)

    def _vagrant(self, acceleration: Acceleration) -> Vagrant:
        assert self.choice.provider is not None
        environment = {
            "SPLITBRAIN_NODES": str(NODE_LIMIT),
            "SPLITBRAIN_MEMORY_MB": str(self.choice.memory_mb),
            "SPLITBRAIN_BOX": self.choice.box,
            "SPLITBRAIN_SUBNET": self.settings.subnet,
            "SPLITBRAIN_DRIVER": acceleration.driver,
            "SPLITBRAIN_EMULATOR": str(self._files / "qemu-tcg.sh"),
            "SPLITBRAIN_DIRECT": "1" if self.choice.builds_box else "0",
        }
        home = self._home()
        if home is not None:
            environment["VAGRANT_HOME"] = home
        return Vagrant(self._files, self.place, environment, self.choice.provider)

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began_s = time.monotonic()
        yield
        self.say(f"{what}: {time.monotonic() - began_s:.1f} s")


def _usual_home() -> Path:
    named = os.environ.get("VAGRANT_HOME")
    return Path(named) if named else Path.home() / ".vagrant.d"


def _of(roster: Roster) -> Acceleration:
    return Acceleration(driver=roster.driver, why=roster.why)
