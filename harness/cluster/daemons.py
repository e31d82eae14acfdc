"""The system's daemons on all nodes: started, held down, paused, let go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from splitbrain.cluster.agent import Conversing, NodeRefusedError, ask
from splitbrain.cluster.layers import DaemonLayers, Hold, Target
from splitbrain.cluster.on_node.places import LOGS
from splitbrain.cluster.parallel import on_nodes
from splitbrain.core.errors import HarnessError, SetupError
from splitbrain.core.system import DaemonSpec
from splitbrain.core.value import Value

_MARGIN_S = 30.0


class SshDaemons:
    """The `daemons` facet over SSH, and their start and stop.

    environment: added to every daemon's own, before it (the clock preload).
    """

    def __init__(
        self,
        host: Callable[[str], Conversing],
        addresses: Mapping[str, str],
        environment: Mapping[str, str],
    ) -> None:
        self._host = host
        self._addresses = addresses
        self._environment = environment
        self._specs: dict[str, dict[str, DaemonSpec]] = {}
        self._layers = DaemonLayers()
        self._ended = False
        self._lock = threading.RLock()

    def start(self, specs: Mapping[str, Sequence[DaemonSpec]]) -> None:
        """Start the daemons of all nodes, and wait until each is ready.

        Raises: SetupError naming the daemon, with the last lines of its log.
        """
        with self._lock:
            self._ended = False
            self._specs = {
                node: {spec.name: spec for spec in listed} for node, listed in specs.items()
            }
            on_nodes(self._specs, lambda node: self._start(node, self._specs[node], wait=True))

    def stop(self) -> None:
        """End all daemons for good, kindly first."""
        with self._lock:
            self._ended = True
            on_nodes(self._specs, self._end)

    def kill(self, layer: str, nodes: Sequence[str], daemon: str | None = None) -> Value:
        """Kill with SIGKILL and hold down; return the ids of what died, by node and daemon."""
        return self._hold(layer, Hold.DOWN, "kill", nodes, daemon)

    def terminate(self, layer: str, nodes: Sequence[str], daemon: str | None = None) -> Value:
        """Ask to end, and hold down; return who was asked and who had to be killed."""
        return self._hold(layer, Hold.DOWN, "terminate", nodes, daemon)

    def pause(self, layer: str, nodes: Sequence[str], daemon: str | None = None) -> Value:
        """Stop with SIGSTOP; return the ids of what stands, by node and daemon."""
        return self._hold(layer, Hold.PAUSED, "pause", nodes, daemon)

    def release(self, layer: str) -> None:
        """Start or continue what nothing else holds; idempotent; a failure can be retried.

        It does not wait until what it starts is ready: that is for the system to settle.
        """
        with self._lock:
            by_node = _by_node(self._layers.targets(layer))
            on_nodes(by_node, lambda node: self._let_go(layer, node, by_node[node]))

    def running(self, node: str) -> Mapping[str, bool]:
        """Tell which daemons of a node run: alive and not stopped."""
        names: list[Value] = list(self._specs.get(node, {}))
        answer = ask(self._host(node), "running", {"names": names}) if names else {}
        return {name: bool(alive) for name, alive in answer.items()}

    def start_again(self, node: str) -> None:
        """Start what no layer holds on a node that came back, and wait until it is ready.

        Raises: SetupError as `start` does.
        """
        with self._lock:
            if not self._ended:
                specs = self._specs.get(node, {})
                free = {n: spec for n, spec in specs.items() if self._free(node, n)}
                self._start(node, free, wait=True)

    def _free(self, node: str, name: str) -> bool:
        return self._layers.held((node, name)) is None

    def _hold(
        self, layer: str, hold: Hold, command: str, nodes: Sequence[str], daemon: str | None
    ) -> Value:
        targets = [(node, name) for node in nodes for name in self._names(node, daemon)]
        by_node = _by_node(targets)
        with self._lock:
            self._layers.add(layer, hold, targets)

            def act(node: str) -> Value:
                names: list[Value] = list(by_node[node])
                return ask(self._host(node), command, {"names": names})

            return dict(on_nodes(by_node, act))

    def _names(self, node: str, daemon: str | None) -> Iterable[str]:
        names = self._specs.get(node, {})
        if daemon is None:
            return names
        if daemon not in names:
            message = f"{node} has no daemon {daemon!r}; it has {', '.join(names) or 'none'}"
            raise HarnessError(message)
        return (daemon,)

    def _let_go(self, layer: str, node: str, names: Sequence[str]) -> None:
        free = [n for n in names if self._layers.held((node, n), apart_from=layer) is None]
        if free and not self._ended:
            specs = {name: self._specs[node][name] for name in free}
            listed: list[Value] = list(free)
            ask(self._host(node), "resume", {"names": listed})
            self._start(node, specs, wait=False)
        for name in names:
            self._layers.remove(layer, (node, name))

    def _start(self, node: str, specs: Mapping[str, DaemonSpec], *, wait: bool) -> None:
        if not specs:
            return
        request: dict[str, Value] = {
            "daemons": [self._spec_value(spec) for spec in specs.values()],
            "addresses": [self._addresses[node], "127.0.0.1"],
            "wait": wait,
        }
        limit_s = _MARGIN_S + sum(spec.ready_timeout_s for spec in specs.values())
        try:
            ask(self._host(node), "start", request, timeout_s=limit_s)
        except NodeRefusedError as error:
            message = f"{node}: {error.why}"
            raise SetupError(message) from error

    def _end(self, node: str) -> None:
        names: list[Value] = list(self._specs[node])
        if names:
            ask(self._host(node), "end", {"names": names})

    def _spec_value(self, spec: DaemonSpec) -> Value:
        environment = {**self._environment, **spec.env}
        both = self._environment.get("LD_PRELOAD"), spec.env.get("LD_PRELOAD")
        if all(both):
            environment["LD_PRELOAD"] = ":".join(filter(None, both))
        return {
            "name": spec.name,
            "argv": list(spec.argv),
            "env": dict(environment),
            "data_dirs": list(spec.data_dirs),
            "ready_port": spec.ready_port,
            "ready_line": spec.ready_line,
            "ready_timeout_s": spec.ready_timeout_s,
        }


def log_paths(spec: DaemonSpec) -> Sequence[str]:
    """Where on a node a daemon's logs lie: its output first, then those that it names."""
    return (str(LOGS / f"{spec.name}.log"), *spec.logs)


def _by_node(targets: Iterable[Target]) -> dict[str, list[str]]:
    grouped = groupby(sorted(set(targets)), key=lambda target: target[0])
    return {node: [name for _, name in items] for node, items in grouped}
