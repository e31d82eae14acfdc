"""The reference store from the controller's side: installation, daemons, clients, powers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from splitbrain.core.client import Client, ClientFactory
from splitbrain.core.cluster import Host, Topology
from splitbrain.core.conversation import ClientCoreFactory
from splitbrain.core.errors import UsageError
from splitbrain.core.known_names import instead
from splitbrain.core.operation import CAS, STORE, Vocabulary
from splitbrain.core.system import DaemonSpec
from splitbrain.core.value import Value
from splitbrain.system_under_test.node import bundle
from splitbrain.system_under_test.node.errors import NodeError
from splitbrain.system_under_test.node.store.bugs import BUGS
from splitbrain.system_under_test.node.store.config import Conflict, Level, Options, read_config
from splitbrain.system_under_test.systems.host_python import PYTHONS, find_python
from splitbrain.system_under_test.systems.node_client import NodeClient
from splitbrain.system_under_test.systems.simulated_service import SimulatedService
from splitbrain.system_under_test.systems.store_client import Sessions, StoreClient

PORT = 7000
PROGRAM_PATH = "/opt/splitbrain/splitbrain-node.pyz"
CONFIG_PATH = "/etc/splitbrain/store.json"
DATA_PATH = "/var/lib/splitbrain/store"

RECOVERY_BOUND_S = 10.0

_TIMES = (
    "heartbeat_ms", "suspect_ms", "timeout_ms", "hint_ms", "anti_entropy_ms", "causal_sync_ms",
    "election_ms",
)  # fmt: skip
_DEFAULTS: Mapping[str, Value] = {"heartbeat_ms": 50, "suspect_ms": 400, "election_ms": [400, 800]}
_NODE_OPTIONS = (
    "replication", "n", "r", "w", "vnodes", "ring_bits", "sloppy", "write_availability",
    "stale_reads", "conflict", "timestamps", "read_repair", "hinted_handoff", "gc_grace_ms",
    "compact_records", *_TIMES, "bugs",
)  # fmt: skip
_SETTLES = {"hints", "open", "roots", "causal", "leader", "applied", "last"}


class StoreSystem(SimulatedService):
    """Nodes that keep one replicated store of keys, at four levels of consistency.

    level: of keys that do not say theirs by a prefix. sessions: "move", each operation of a session
    goes to the next node, or "stay". nodes: options of single nodes, such as {"n1": {"hint_ms":
    50}}. The other options are those of every node, as docs/store.md has them; times are for plain
    hardware, the cluster's pace stretches them.

    Raises: UsageError for an option or a bug that does not exist.
    """

    name = "store"
    default_workload = "quorum-register"
    port = PORT
    functions = frozenset(STORE.functions)
    checkers: Sequence[str] = ("convergence", "ring")

    def __init__(
        self,
        *,
        seed: int = 0,
        level: str = Level.STRONG,
        sessions: str = Sessions.MOVE,
        nodes: Mapping[str, Mapping[str, Value]] | None = None,
        **options: Value,
    ) -> None:
        _require_one_of("level", level, tuple(Level))
        _require_one_of("sessions", sessions, tuple(Sessions))
        _require_known("store", options)
        _require_nodes(nodes)
        self._seed = seed
        self._level = Level(level)
        self._sessions = Sessions(sessions)
        self._own: Mapping[str, Mapping[str, Value]] = nodes or {}
        self._options: dict[str, Value] = {**_DEFAULTS, **options}
        read = _require_configuration(self._options)
        alone = [_require_configuration({**self._options, **own}) for own in self._own.values()]
        self._pythons: dict[str, str] = {}
        prefixes: list[Value] = [*map(str, Level), *map(str, Conflict)]
        self.facts: Mapping[str, Value] = {
            "recovery_bound_s": RECOVERY_BOUND_S,
            "initial": None,
            "level": str(level),
            "levels": prefixes,
            "n": read.n,
            "r": read.r,
            "w": _write_quorum(read),
            "replication": str(read.replication),
            "vnodes": read.vnodes,
            "ring_bits": read.ring_bits,
            "sloppy": read.sloppy,
            "write_availability": str(read.write_availability),
            "stale_reads": read.stale_reads,
            "conflict": str(read.conflict),
            "timestamps": str(read.timestamps),
            # Hints do not do: a coordinator that dies before it gives a replica up leaves none.
            "mends": all(options.anti_entropy_ns is not None for options in (read, *alone)),
        }

    def judged_by(self, workload: str, params: Mapping[str, Value]) -> Sequence[str]:
        """Give those that look at versions, where the workload makes any.

        At sequential there is one log and no versions; only carts stand side by side.
        """
        if workload == "sessions" and params.get("level", "sequential") == "sequential":
            return ()
        versions = ("durability", "quorum", "vector-clocks")
        return (*versions, "siblings") if workload == "cart" else versions

    def install(self, host: Host, topology: Topology) -> None:
        """Put the program and its configuration on a host.

        Raises: SetupError when the host has no Python 3.11.
        """
        self._pythons[host.node] = find_python(host)
        host.put(bundle.build(), PROGRAM_PATH, mode=0o755)
        text = json.dumps(self.configuration(host.node, topology), indent=2, sort_keys=True)
        host.put(text.encode(), CONFIG_PATH)

    def configuration(self, node: str, topology: Topology) -> Mapping[str, Value]:
        """Give what a node's configuration file says.

        Raises: UsageError for options of nodes that there are not.
        """
        self._require_own(topology)
        options = self._options | dict(self._own.get(node, {}))
        paced = {name: _paced(options[name], topology.pace) for name in _TIMES if name in options}
        peers: dict[str, Value] = {
            name: [address, PORT] for name, address in topology.addresses.items()
        }
        place: dict[str, Value] = {
            "node": node,
            "peers": peers,
            "seed": self._seed,
            "data": DATA_PATH,
            "trace": self.trace_path(node),
            "sync_trace": topology.loses_unsynced,
        }
        return options | paced | place

    def daemons(self, node: str, topology: Topology) -> Sequence[DaemonSpec]:
        """Give the one daemon of a node."""
        python = self._pythons.get(node, PYTHONS[0])
        return [
            DaemonSpec(
                name="store",
                argv=(python, "-I", PROGRAM_PATH, "store", "--config", CONFIG_PATH),
                data_dirs=(DATA_PATH,),
                ports=(PORT,),
                ready_port=PORT,
                ready_timeout_s=15.0 * topology.pace,
            )
        ]

    def client(self, vocabulary: Vocabulary, topology: Topology) -> ClientFactory:
        """Give what makes clients.

        Raises: UsageError for an operation that the store does not have.
        """
        make_core = self.client_core(vocabulary, topology)

        def make() -> Client:
            return NodeClient(core=make_core(), addresses=topology.addresses, port=PORT)

        return make

    def client_core(self, vocabulary: Vocabulary, topology: Topology) -> ClientCoreFactory:
        """Give what makes client cores.

        A compare-and-set may be in the vocabulary, for workloads that can do without; the store has
        none, since it would need consensus on each key.

        Raises: UsageError for an operation that the store does not have, or for options of nodes
        that there are not.
        """
        self._require_own(topology)
        strange = sorted(set(vocabulary.functions) - set(STORE.functions) - {CAS.name})
        if strange:
            known = ", ".join(STORE.functions)
            message = f"store has no operation {strange[0]!r}; it has {known}"
            raise UsageError(message)

        def make() -> StoreClient:
            return StoreClient(nodes=topology.nodes, level=self._level, sessions=self._sessions)

        return make

    def primaries(self, topology: Topology) -> tuple[str, ...]:
        """Give the nodes that believe to order the writes of `sequential`, the newest first."""
        found = [
            (_integer(status.get("term")), node)
            for node, status in self.ask_all(topology, "status").items()
            if status.get("role") == "leader"
        ]
        return tuple(node for _, node in sorted(found, key=lambda item: (-item[0], item[1])))

    def unsettled(self, topology: Topology) -> str | None:
        """Wait until nothing is held for others, and all replicas agree at every level."""
        statuses = {
            node: status
            for node, status in self.ask_all(topology, "status").items()
            if set(status) >= _SETTLES
        }
        silent = [node for node in topology.nodes if node not in statuses]
        if silent:
            return f"{', '.join(silent)} does not answer"
        differing = (_difference(node, topology.nodes[0], statuses) for node in topology.nodes)
        return next((line for line in differing if line is not None), None)

    def dump(self, topology: Topology) -> Mapping[str, Value]:
        """Give what each replica that answers holds."""
        return {node: dict(answer) for node, answer in self.ask_all(topology, "dump").items()}

    def _require_own(self, topology: Topology) -> None:
        strange = sorted(set(self._own) - set(topology.nodes))
        if strange:
            message = f"there is no node {strange[0]!r}; there are {', '.join(topology.nodes)}"
            raise UsageError(message)


def _difference(node: str, first: str, statuses: Mapping[str, Mapping[str, Value]]) -> str | None:
    """Say what a node holds for others, or in what it differs from the others."""
    status, leader = statuses[node], statuses[first]["leader"]
    if status["hints"] or status["open"]:
        return f"{node} holds {status['hints']} hints and is still at {status['open']} requests"
    if leader is None or status["leader"] != leader:
        return f"{node} and {first} do not follow one leader"
    if status["applied"] != statuses[str(leader)]["last"]:
        return f"{node} has not applied the whole log"
    if status["causal"] != statuses[first]["causal"]:
        return f"{node} and {first} have not applied the same causal writes"
    for other, root in cast("Mapping[str, Value]", status["roots"]).items():
        theirs = cast("Mapping[str, Value]", statuses[other]["roots"])
        if theirs and theirs.get(node) != root:  # with anti-entropy off a node has none
            return f"{node} and {other} hold different cells"
    return None


def _write_quorum(options: Options) -> int:
    """Give W, as long as there are N nodes."""
    if options.write_availability == "any":
        return 1
    return options.n // 2 + 1 if options.write_availability == "majority" else options.w


def _require_one_of(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        message = f"store: {name} is one of {', '.join(known)}, not {value!r}"
        raise UsageError(message)


def _require_known(place: str, options: Mapping[str, Value]) -> None:
    strange = sorted(set(options) - set(_NODE_OPTIONS))
    if strange:
        listed = instead(strange[0], _NODE_OPTIONS)
        message = f"{place}: there is no option {strange[0]!r}; {listed}"
        raise UsageError(message)


def _require_nodes(nodes: object) -> None:
    if nodes is not None and not isinstance(nodes, Mapping):
        message = f'store: "nodes" must be an object of options by node, not {nodes!r}'
        raise UsageError(message)
    for node, options in (nodes or {}).items():
        if not isinstance(options, Mapping):
            message = f"{node}: the options of a node are an object, not {options!r}"
            raise UsageError(message)
        _require_known(str(node), options)


def _require_configuration(options: Mapping[str, Value]) -> Options:
    """Let the node's own reader look at the options, before any node does."""
    place = {"node": "n1", "peers": {"n1": ["127.0.0.1", PORT]}, "data": "/d", "trace": "/t"}
    try:
        return read_config(json.dumps({**options, **place}), frozenset(BUGS)).options
    except NodeError as error:
        message = f"store: {error}"
        raise UsageError(message) from error
    except TypeError as error:
        message = f"store: an option is no JSON: {error}"
        raise UsageError(message) from error


def _integer(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _paced(value: Value, pace: float) -> Value:
    if isinstance(value, list):
        return [_paced(item, pace) for item in value]
    return max(1, round(value * pace)) if isinstance(value, (int, float)) else value
