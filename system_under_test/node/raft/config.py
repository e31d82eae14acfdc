"""The configuration of a node: one JSON object, checked before anything starts."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import NodeError
from ..fields import Fields, read_fields, take_addresses, take_bugs, wrong

_MS = 1_000_000

SNAPSHOT_ENTRIES = 10_000
MAX_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the core goes by.

    members: all nodes that there may be, this one included. voters: those that the cluster begins
    with; None: all. election_ns: least and greatest election timeout, drawn
    anew for each candidacy; None: the node never stands for election. batch_entries: the most
    entries of one Append. check_quorum: a leader that hears no majority steps down, and nodes that
    hear a leader ignore candidates. snapshot_entries: a snapshot is taken at every entry whose
    index is a multiple of this; 0: never. snapshot_chunk: how much text of it goes into one
    message. session_limit: the most sessions of clients. lease_reads: a leader serves reads under
    a lease.
    """

    node: str
    members: tuple[str, ...]
    seed: int = 0
    heartbeat_ns: int = 50 * _MS
    election_ns: tuple[int, int] | None = (300 * _MS, 600 * _MS)
    batch_entries: int = 64
    pre_vote: bool = True
    check_quorum: bool = True
    bugs: tuple[str, ...] = ()
    voters: tuple[str, ...] | None = None
    snapshot_entries: int = 0
    snapshot_chunk: int = 1 << 20
    session_limit: int = 1024
    lease_reads: bool = False

    @property
    def others(self) -> tuple[str, ...]:
        """The members but this node."""
        return tuple(member for member in self.members if member != self.node)

    @property
    def majority(self) -> int:
        """How many members are a majority."""
        return len(self.members) // 2 + 1

    @property
    def lease_ns(self) -> int:
        """How long a node that heard its leader turns candidates away: the least timeout."""
        return self.election_ns[0] if self.election_ns else 6 * self.heartbeat_ns

    @property
    def quorum_ns(self) -> int:
        """How long a leader may go without hearing a majority: the greatest timeout."""
        return self.election_ns[1] if self.election_ns else 12 * self.heartbeat_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the shell needs beside the options. data: a directory. trace: a file.

    sync_trace: what is traced is on the disk before its effect leaves, not in memory alone.
    """

    options: Options
    addresses: Mapping[str, tuple[str, int]]
    data: Path
    trace: Path
    sync_trace: bool


def read_config(text: str | bytes, known_bugs: frozenset[str]) -> Config:
    """Read a configuration.

    Raises: NodeError, naming the field that is missing, unknown or wrong.
    """
    fields = read_fields(text)
    addresses = take_addresses(fields)
    node = fields.text("node")
    if node not in addresses:
        message = f"configuration: the node {node!r} is not among the peers {sorted(addresses)}"
        raise NodeError(message)
    options = Options(
        node=node,
        members=tuple(sorted(addresses)),
        seed=fields.integer("seed", 0, least=-(1 << 63)),
        heartbeat_ns=fields.integer("heartbeat_ms", 50, least=1) * _MS,
        election_ns=_election(fields),
        batch_entries=fields.integer("batch_entries", 64, least=1),
        pre_vote=fields.truth("pre_vote"),
        check_quorum=fields.truth("check_quorum"),
        bugs=take_bugs(fields, known_bugs),
        voters=_voters(fields, addresses),
        snapshot_entries=fields.integer("snapshot_entries", SNAPSHOT_ENTRIES, least=0),
        snapshot_chunk=fields.integer("snapshot_chunk_bytes", 1 << 20, least=1),
        session_limit=fields.integer("session_limit", 1024, least=1),
        lease_reads=_reads(fields) == "lease",
    )
    if options.lease_reads and not options.check_quorum:
        # Without it a follower that hears its leader votes for another: there is no lease.
        raise wrong(field="check_quorum", expected='true where reads are "lease"')
    if options.snapshot_chunk > MAX_CHUNK_BYTES:
        raise wrong(field="snapshot_chunk_bytes", expected=f"at most {MAX_CHUNK_BYTES}")
    config = Config(
        options=options,
        addresses=addresses,
        data=Path(fields.text("data")),
        trace=Path(fields.text("trace")),
        sync_trace=fields.truth("sync_trace", default=False),
    )
    fields.refuse_unknown()
    return config


def _voters(fields: Fields, addresses: Mapping[str, tuple[str, int]]) -> tuple[str, ...] | None:
    value = fields.take("voters")
    if value is None:
        return None
    if isinstance(value, list) and value and all(item in addresses for item in value):
        return tuple(sorted({str(item) for item in value}))
    raise wrong(field="voters", expected="a list of some of the peers, or null for all")


def _reads(fields: Fields) -> str:
    value = fields.take("reads", "index")
    if value not in ("index", "lease"):
        raise wrong(field="reads", expected='"index" or "lease"')
    return str(value)


def _election(fields: Fields) -> tuple[int, int] | None:
    value = fields.take("election_ms", [300, 600])
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 2:
        low, high = value
        if type(low) is int and type(high) is int and 0 < low <= high:
            return low * _MS, high * _MS
    raise wrong(field="election_ms", expected="[least, greatest] in milliseconds, or null")
