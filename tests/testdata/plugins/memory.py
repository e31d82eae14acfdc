"""A cluster and a system without hosts: a dictionary behind a lock, for tests of a whole run.

`CONTROL` lets a test act at any moment: `at` maps the name of a step ("up", "install", "start",
"invoke", "unsettled", "dump", "down", ...) to a function that is called there.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from splitbrain.core.client import Ok
from splitbrain.core.cluster import Completed, Topology
from splitbrain.core.errors import RemoteError
from splitbrain.core.fault import Injection
from splitbrain.core.system import DaemonSpec


@dataclass
class Control:
    at: dict[str, Callable[[], None]] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    killed: set[str] = field(default_factory=set)
    expired: dict[str, object] = field(default_factory=dict)

    def step(self, name: str) -> None:
        if name != "invoke" or "invoke" not in self.steps:
            self.steps.append(name)
        act = self.at.get(name)
        if act is not None:
            act()

    def reset(self) -> None:
        self.at.clear()
        self.steps.clear()
        self.killed.clear()
        self.expired.clear()


CONTROL = Control()


@dataclass
class MemoryHost:
    node: str

    def run(self, argv, *, stdin=b"", timeout_s=30.0, check=True):
        return Completed(argv=tuple(argv), exit_status=0, stdout=b"", stderr=b"", duration_s=0.0)

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        CONTROL.step("put")

    def get(self, path: str, *, limit_bytes: int = 0, offset: int = 0) -> bytes:
        CONTROL.step("get")
        if path.endswith("missing"):
            raise RemoteError(self.node, ["get", path], reason="no such file")
        return b"all quiet\n"


class MemoryDaemons:
    def __init__(self) -> None:
        self.layers: dict[str, tuple[str, ...]] = {}

    def kill(self, layer: str, nodes: Sequence[str], daemon: str | None = None):
        CONTROL.step("kill")
        self.layers[layer] = tuple(nodes)
        self._apply()
        return {"killed": list(nodes)}

    def pause(self, layer: str, nodes: Sequence[str], daemon: str | None = None):
        return self.kill(layer, nodes, daemon)

    def terminate(self, layer: str, nodes: Sequence[str], daemon: str | None = None):
        return self.kill(layer, nodes, daemon)

    def release(self, layer: str) -> None:
        CONTROL.step("release")
        self.layers.pop(layer, None)
        self._apply()

    def _apply(self) -> None:
        CONTROL.killed = {node for nodes in self.layers.values() for node in nodes}

    def running(self, node: str) -> Mapping[str, bool]:
        return {"memory": node not in CONTROL.killed}


class MemoryCluster:
    name = "memory"
    network = None
    clocks = None
    hosts = None
    burdens = None
    disks = None

    def __init__(self, *, node_count: int) -> None:
        self.topology = Topology(
            addresses={f"n{i}": f"127.0.0.{i}" for i in range(1, node_count + 1)}
        )
        self.daemons = MemoryDaemons()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        CONTROL.step("entered")
        yield
        CONTROL.step("left")

    def up(self) -> None:
        CONTROL.step("up")

    def down(self) -> None:
        CONTROL.step("down")

    def host(self, node: str) -> MemoryHost:
        return MemoryHost(node)

    def start(self, specs: Mapping[str, Sequence[DaemonSpec]]) -> None:
        CONTROL.step("start")

    def stop(self) -> None:
        CONTROL.step("stop")

    def log_paths(self, node: str, spec: DaemonSpec) -> Sequence[str]:
        return ["/var/log/memory.log"]

    def expired(self) -> Mapping[str, object]:
        return CONTROL.expired


class MemorySystem:
    """Linearizable, being one dictionary; `forgetful` loses every write after the first."""

    name = "memory"
    default_workload = "register"
    checkers = ()
    facts: Mapping[str, object] = {"recovery_bound_s": 5.0, "initial": None}

    def __init__(self, *, forgetful: bool = False) -> None:
        self.values: dict[str, object] = {}
        self.lock = threading.Lock()
        self.version = 0
        self.forgetful = forgetful

    def install(self, host: MemoryHost, topology: Topology) -> None:
        CONTROL.step("install")

    def daemons(self, node: str, topology: Topology) -> Sequence[DaemonSpec]:
        return [DaemonSpec(name="memory", argv=("/bin/true",))]

    def client(self, vocabulary, topology: Topology):
        return lambda: MemoryClient(self)

    def unsettled(self, topology: Topology) -> str | None:
        CONTROL.step("unsettled")
        return None

    def dump(self, topology: Topology) -> Mapping[str, object]:
        CONTROL.step("dump")
        return {"n1": dict(self.values)}


@dataclass
class MemoryClient:
    system: MemorySystem
    node: str = ""

    def open(self, node: str, session: int) -> None:
        self.node = node

    def invoke(self, f: str, key, argument, timeout_s: float):
        CONTROL.step("invoke")
        system, name = self.system, repr(key)
        with system.lock:
            system.version += 1
            if f == "read":
                return Ok(system.values.get(name), version=system.version)
            if f == "write":
                if not (system.forgetful and name in system.values):
                    system.values[name] = argument
                return Ok(version=system.version)
            old, new = argument
            matched = system.values.get(name) == old
            if matched:
                system.values[name] = new
            return Ok(applied=matched, version=system.version)

    def close(self) -> None:
        pass


class Shake:
    """A nemesis of a few lines, as a user would write it."""

    def inject(self, bed, resolved):
        CONTROL.step("inject")
        return Injection(resolved=resolved, proof={"shaken": True})

    def heal(self, bed, injection) -> None:
        CONTROL.step("heal")
