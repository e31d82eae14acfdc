"""The reference Raft from the controller's side: installation, daemons, clients, powers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from splitbrain.core.client import Client, ClientFactory
from splitbrain.core.cluster import Host, Topology
from splitbrain.core.errors import UsageError
from splitbrain.core.known_names import instead
from splitbrain.core.operation import KEYED_STORE, Vocabulary
from splitbrain.core.system import DaemonSpec
from splitbrain.core.value import Value
from splitbrain.system_under_test.node import bundle
from splitbrain.system_under_test.node.errors import NodeError
from splitbrain.system_under_test.node.raft.bugs import BUGS
from splitbrain.system_under_test.node.raft.config import SNAPSHOT_ENTRIES, Options, read_config
from splitbrain.system_under_test.systems.conversation import ClientCoreFactory, LeaderClient
from splitbrain.system_under_test.systems.host_python import PYTHONS, find_python
from splitbrain.system_under_test.systems.node_client import NodeClient
from splitbrain.system_under_test.systems.session_client import SessionClient
from splitbrain.system_under_test.systems.simulated_service import SimulatedService

PORT = 7000
PROGRAM_PATH = "/opt/splitbrain/splitbrain-node.pyz"
CONFIG_PATH = "/etc/splitbrain/raft.json"
DATA_PATH = "/var/lib/splitbrain/raft"

HEARTBEAT_MS = 50
ELECTION_MS = (400, 800)
BATCH_ENTRIES = 64
RECOVERY_BOUND_S = 10.0

_NODE_OPTIONS = (
    "heartbeat_ms", "election_ms", "batch_entries", "pre_vote", "check_quorum", "bugs",
    "snapshot_entries", "snapshot_chunk_bytes", "session_limit", "reads",
)  # fmt: skip


class RaftSystem(SimulatedService):
    """Five (or any number of) nodes that keep one replicated store of keys.

    bugs: planted bugs by name, on all nodes. nodes: options of single nodes, such as
    {"n1": {"election_ms": [150, 200]}}; election_ms null means that the node never stands.
    voters: the nodes that the cluster begins with; the others wait to be added. retry: clients open
    sessions, and ask again when leadership or a connection was lost; an operation has one effect at
    most. The other options are those of every node; times are for plain hardware, the cluster's
    pace stretches them.

    Raises: UsageError for an option or a bug that does not exist.
    """

    name = "raft"
    default_workload = "register"
    port = PORT
    ordered_links = False  # no promise of Raft rests on the order of messages
    messages_are_values = True
    checkers: Sequence[str] = ("raft",)
    thresholds: Mapping[str, int] = {"snapshot_entries": 2}

    def __init__(
        self,
        *,
        seed: int = 0,
        bugs: Sequence[str] = (),
        nodes: Mapping[str, Mapping[str, Value]] | None = None,
        heartbeat_ms: int = HEARTBEAT_MS,
        election_ms: Sequence[int] = ELECTION_MS,
        batch_entries: int = BATCH_ENTRIES,
        pre_vote: bool = True,
        check_quorum: bool = True,
        voters: Sequence[str] | None = None,
        snapshot_entries: int = SNAPSHOT_ENTRIES,
        snapshot_chunk_bytes: int = 1 << 20,
        session_limit: int = 1024,
        reads: str = "index",
        retry: bool = False,
    ) -> None:
        _require_bugs(bugs)
        _require_nodes(nodes)
        self._seed = seed
        self._own: Mapping[str, Mapping[str, Value]] = nodes or {}
        self._options: dict[str, Value] = {
            "heartbeat_ms": heartbeat_ms,
            "election_ms": cast(
                "Value", [*election_ms] if _is_sequence(election_ms) else election_ms
            ),
            "batch_entries": batch_entries,
            "pre_vote": pre_vote,
            "check_quorum": check_quorum,
            "bugs": list(bugs),
            "snapshot_entries": snapshot_entries,
            "snapshot_chunk_bytes": snapshot_chunk_bytes,
            "session_limit": session_limit,
            "reads": reads,
        }
        if not isinstance(retry, bool):
            message = f"raft: retry must be true or false, not {retry!r}"
            raise UsageError(message)
        self._retry = retry
        self._voters = _require_voters(voters)
        self._parsed = _require_configuration(self._options)
        self._parsed_own = {
            node: _require_configuration({**self._options, **own})
            for node, own in self._own.items()
        }
        self._pythons: dict[str, str] = {}
        self.facts: Mapping[str, Value] = {"recovery_bound_s": RECOVERY_BOUND_S, "initial": None}

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

        Raises: UsageError for options that do not fit these nodes.
        """
        self._require_fitting(topology)
        options = self._options | dict(self._own.get(node, {}))
        heartbeat, election = options["heartbeat_ms"], options["election_ms"]
        peers: dict[str, Value] = {
            name: [address, PORT] for name, address in topology.addresses.items()
        }
        return options | {
            "node": node,
            "peers": peers,
            "data": DATA_PATH,
            "trace": self.trace_path(node),
            "sync_trace": topology.loses_unsynced,
            "seed": self._seed,
            "voters": None if self._voters is None else list(self._voters),
            "heartbeat_ms": _paced(heartbeat, topology.pace),
            "election_ms": [_paced(item, topology.pace) for item in election]
            if isinstance(election, list)
            else None,
        }

    def daemons(self, node: str, topology: Topology) -> Sequence[DaemonSpec]:
        """Give the one daemon of a node."""
        python = self._pythons.get(node, PYTHONS[0])
        return [
            DaemonSpec(
                name="raft",
                argv=(python, "-I", PROGRAM_PATH, "raft", "--config", CONFIG_PATH),
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
        """Give what makes clients without I/O.

        Raises: UsageError for an operation that the store does not have, or for options that do not
        fit these nodes.
        """
        self._require_fitting(topology)
        strange = sorted(set(vocabulary.functions) - set(KEYED_STORE.functions))
        if strange:
            known = ", ".join(KEYED_STORE.functions)
            message = f"raft has no operation {strange[0]!r}; it has {known}"
            raise UsageError(message)
        if self._retry:
            return lambda: SessionClient(known=topology.nodes)
        return lambda: LeaderClient(known=topology.addresses)

    def primaries(self, topology: Topology) -> tuple[str, ...]:
        """Give the nodes that believe to lead, the newest term first."""
        found = [
            (_integer(status["term"]), node)
            for node, status in self._statuses(topology).items()
            if status["role"] == "leader"
        ]
        return tuple(node for _, node in sorted(found, key=lambda item: (-item[0], item[1])))

    def unsettled(self, topology: Topology) -> str | None:
        """Wait for one leader that all follow, and for all to have applied what it committed."""
        statuses = self._statuses(topology)
        silent = [node for node in topology.nodes if node not in statuses]
        if silent:
            return f"{', '.join(silent)} does not answer"
        leaders = [node for node, status in statuses.items() if status["role"] == "leader"]
        if len(leaders) != 1:
            return "nobody leads" if not leaders else f"{' and '.join(leaders)} both lead"
        leader = statuses[leaders[0]]
        members = leader["members"]
        for node, status in statuses.items():
            if isinstance(members, list) and node not in members:
                continue  # it waits until it is added
            if status["term"] != leader["term"] or status["leader"] != leaders[0]:
                return f"{node} does not follow {leaders[0]}"
            if status["applied"] != leader["last"]:
                return f"{node} has applied {status['applied']} of {leader['last']} entries"
        return None

    def members(self, topology: Topology) -> tuple[str, ...]:
        """Give the members by the latest leader, unless a change is under way."""
        told = [
            (_integer(answer.get("term")), answer)
            for answer in self.ask_all(topology, "members").values()
            if answer.get("role") == "leader"
        ]
        latest = max(told, key=lambda item: item[0], default=(0, {}))[1]
        members = latest.get("members")
        open_change = latest.get("committed") is not True or latest.get("change") is not None
        if open_change or not isinstance(members, list):
            return ()
        return tuple(str(member) for member in members)

    def change_members(self, topology: Topology, wish: str, node: str) -> str | None:
        """Ask all nodes, of which only leaders take it up; say why none does, or None."""
        answers = self.ask_all(topology, f"{wish} {node}")
        if any(answer.get("ok") is True for answer in answers.values()):
            return None
        reasons = sorted({str(answer.get("error")) for answer in answers.values()})
        return ", ".join(reasons) or "nobody answers"

    def dump(self, topology: Topology) -> Mapping[str, Value]:
        """Give what each replica that answers holds."""
        return {node: dict(answer) for node, answer in self.ask_all(topology, "dump").items()}

    def _require_fitting(self, topology: Topology) -> None:
        """Refuse options of nodes that there are not, and a lease that others do not keep.

        Who leads goes by its own options.
        Raises: UsageError.
        """
        missing = sorted({*self._own, *(self._voters or ())} - set(topology.nodes))
        if missing:
            message = f"there is no node {missing[0]!r}; there are {', '.join(topology.nodes)}"
            raise UsageError(message)
        options = {node: self._parsed_own.get(node, self._parsed) for node in topology.nodes}
        leased = {node: own for node, own in options.items() if own.lease_reads}
        for node, own in leased.items():
            for other, theirs in options.items():
                if other not in leased or theirs.lease_ns < own.lease_ns:
                    message = (
                        f'raft: where reads are "lease" at {node}, {other} must have that, too, '
                        "and as great a least election timeout"
                    )
                    raise UsageError(message)

    def _statuses(self, topology: Topology) -> Mapping[str, Mapping[str, Value]]:
        return {
            node: status
            for node, status in self.ask_all(topology, "status").items()
            if {"role", "term", "leader", "applied", "last", "members"} <= set(status)
        }


def _is_sequence(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _require_voters(voters: object) -> tuple[str, ...] | None:
    if voters is None:
        return None
    named = isinstance(voters, (list, tuple)) and all(isinstance(one, str) for one in voters)
    if not named or not voters:
        message = f'raft: "voters" must be a list of nodes, or null for all, not {voters!r}'
        raise UsageError(message)
    assert isinstance(voters, (list, tuple))
    return tuple(voters)


def _require_bugs(bugs: object) -> None:
    if not isinstance(bugs, (list, tuple)) or not all(isinstance(bug, str) for bug in bugs):
        message = f'raft: "bugs" must be a list of names, not {bugs!r}'
        raise UsageError(message)
    unknown = sorted(set(bugs) - set(BUGS))
    if unknown:
        listed = instead(unknown[0], sorted(BUGS), listing="splitbrain list bugs")
        message = f"raft has no bug {unknown[0]!r}; {listed}"
        raise UsageError(message)


def _require_nodes(nodes: object) -> None:
    if nodes is not None and not isinstance(nodes, Mapping):
        message = f'raft: "nodes" must be an object of options by node, not {nodes!r}'
        raise UsageError(message)
    for node, options in (nodes or {}).items():
        if not isinstance(options, Mapping):
            message = f"{node}: the options of a node are an object, not {options!r}"
            raise UsageError(message)
        strange = sorted(set(options) - set(_NODE_OPTIONS))
        if strange:
            listed = instead(strange[0], _NODE_OPTIONS)
            message = f"{node}: raft has no option {strange[0]!r}; {listed}"
            raise UsageError(message)


def _require_configuration(options: Mapping[str, Value]) -> Options:
    """Let the node's own reader look at the options, before any node does."""
    place = {"node": "n1", "peers": {"n1": ["127.0.0.1", PORT]}, "data": "/d", "trace": "/t"}
    try:
        return read_config(json.dumps({**options, **place, "seed": 0}), frozenset(BUGS)).options
    except NodeError as error:
        message = f"raft: {error}"
        raise UsageError(message) from error


def _integer(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _paced(value: Value, pace: float) -> int:
    assert isinstance(value, (int, float))
    return max(1, round(value * pace))
