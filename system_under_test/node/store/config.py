"""The configuration of a store's node: one JSON object, checked before anything starts."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from ..errors import NodeError
from ..fields import Fields, read_fields, take_addresses, take_bugs, wrong

_MS = 1_000_000


class Level(StrEnum):
    """What a request asks for."""

    STRONG = "strong"
    SEQUENTIAL = "sequential"
    CAUSAL = "causal"
    EVENTUAL = "eventual"


class Replication(StrEnum):
    """Where keys lie, and how many replicas must answer."""

    SIMPLE = "simple"
    RING = "ring"
    QUORUM = "quorum"


class Conflict(StrEnum):
    """What becomes of concurrent versions at EVENTUAL."""

    SIBLINGS = "siblings"
    MERGE = "merge"
    LWW = "lww"


class Timestamps(StrEnum):
    """Where the stamps of LWW come from."""

    WALL = "wall"
    CAUSAL = "causal"
    QUORUM = "quorum"


class Availability(StrEnum):
    """How many replicas a write needs."""

    MAJORITY = "majority"
    ANY = "any"
    QUORUM = "quorum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the core goes by; docs/store.md says what each promises.

    members: all nodes, this one included. n, r, w: replicas of a key, and how many must answer a
    read and a write; w counts only where write_availability is QUORUM. suspect_ns: a node that was
    silent for so long is offline. timeout_ns: how long a request may take. hint_ns: how long a
    replica may take before a stand-in is asked as well. anti_entropy_ns: how often replicas are
    compared; None: never. causal_sync_ns: how often a node asks another for the causal writes that
    it lacks. gc_grace_ns: how long a tombstone is kept. compact_records: how many
    records the log has at least before it is written anew; the Raft beneath SEQUENTIAL takes a
    snapshot every so many entries. election_ns: of that Raft.
    """

    node: str
    members: tuple[str, ...]
    seed: int = 0
    replication: Replication = Replication.QUORUM
    n: int = 3
    r: int = 2
    w: int = 2
    vnodes: int = 16
    ring_bits: int = 32
    sloppy: bool = False
    write_availability: Availability = Availability.QUORUM
    stale_reads: bool = False
    conflict: Conflict = Conflict.SIBLINGS
    timestamps: Timestamps = Timestamps.QUORUM
    read_repair: bool = True
    hinted_handoff: bool = True
    heartbeat_ns: int = 50 * _MS
    suspect_ns: int = 300 * _MS
    timeout_ns: int = 900 * _MS
    hint_ns: int = 100 * _MS
    anti_entropy_ns: int | None = 200 * _MS
    causal_sync_ns: int = 100 * _MS
    gc_grace_ns: int = 600_000 * _MS
    compact_records: int = 10_000
    election_ns: tuple[int, int] = (400 * _MS, 800 * _MS)
    bugs: tuple[str, ...] = ()

    @property
    def others(self) -> tuple[str, ...]:
        """The members but this node."""
        return tuple(member for member in self.members if member != self.node)

    @property
    def majority(self) -> int:
        """How many members are a majority."""
        return len(self.members) // 2 + 1

    @property
    def replicas(self) -> int:
        """N, as far as there are so many nodes."""
        return min(self.n, len(self.members))

    @property
    def read_quorum(self) -> int:
        """R."""
        return min(self.r, self.replicas)

    @property
    def write_quorum(self) -> int:
        """W."""
        if self.write_availability is Availability.ANY:
            return 1
        if self.write_availability is Availability.MAJORITY:
            return self.replicas // 2 + 1
        return min(self.w, self.replicas)

    @property
    def quorums_meet(self) -> bool:
        """Whether every read quorum has a node of every write quorum."""
        return self.read_quorum + self.write_quorum > self.replicas


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
    config = Config(
        options=_options(fields, node, tuple(sorted(addresses)), known_bugs),
        addresses=addresses,
        data=Path(fields.text("data")),
        trace=Path(fields.text("trace")),
        sync_trace=fields.truth("sync_trace", default=False),
    )
    fields.refuse_unknown()
    return config


def _options(
    fields: Fields, node: str, members: tuple[str, ...], known_bugs: frozenset[str]
) -> Options:
    replication = _choice(fields, "replication", Replication.QUORUM)
    n = fields.integer("n", 3, least=1)
    # Simple replication writes all and reads one, a ring asks majorities, unless told otherwise.
    r, w = {
        Replication.SIMPLE: (1, n),
        Replication.RING: (n // 2 + 1, n // 2 + 1),
        Replication.QUORUM: (min(2, n), min(2, n)),
    }[replication]
    r, w = _quorum(fields, "r", r, n), _quorum(fields, "w", w, n)
    anti_entropy = fields.take("anti_entropy_ms", 200)
    if anti_entropy is not None and (type(anti_entropy) is not int or anti_entropy < 1):
        raise wrong(field="anti_entropy_ms", expected="an integer, 1 or more, or null")
    bits = fields.integer("ring_bits", 32, least=4)
    if bits > 32:
        raise wrong(field="ring_bits", expected="from 4 to 32")
    return Options(
        node=node,
        members=members,
        seed=fields.integer("seed", 0, least=-(1 << 63)),
        replication=replication,
        n=n,
        r=r,
        w=w,
        vnodes=fields.integer("vnodes", 16, least=1),
        ring_bits=bits,
        sloppy=fields.truth("sloppy", default=False),
        write_availability=_choice(fields, "write_availability", Availability.QUORUM),
        stale_reads=fields.truth("stale_reads", default=False),
        conflict=_choice(fields, "conflict", Conflict.SIBLINGS),
        timestamps=_choice(fields, "timestamps", Timestamps.QUORUM),
        read_repair=fields.truth("read_repair"),
        hinted_handoff=fields.truth("hinted_handoff"),
        heartbeat_ns=fields.integer("heartbeat_ms", 50, least=1) * _MS,
        suspect_ns=fields.integer("suspect_ms", 300, least=1) * _MS,
        timeout_ns=fields.integer("timeout_ms", 900, least=1) * _MS,
        hint_ns=fields.integer("hint_ms", 100, least=1) * _MS,
        anti_entropy_ns=None if anti_entropy is None else int(anti_entropy) * _MS,
        causal_sync_ns=fields.integer("causal_sync_ms", 100, least=1) * _MS,
        gc_grace_ns=fields.integer("gc_grace_ms", 600_000, least=1) * _MS,
        compact_records=fields.integer("compact_records", 10_000, least=1),
        election_ns=_election(fields),
        bugs=take_bugs(fields, known_bugs),
    )


E = TypeVar("E", bound=StrEnum)


def _choice(fields: Fields, name: str, default: E) -> E:
    value = fields.take(name, str(default))
    kind = type(default)
    if value not in list(kind):
        raise wrong(field=name, expected=f"one of {', '.join(kind)}")
    return kind(value)


def _quorum(fields: Fields, name: str, default: int, n: int) -> int:
    value = fields.integer(name, default, least=1)
    if value > n:
        raise wrong(field=name, expected=f"at most n, which is {n}")
    return value


def _election(fields: Fields) -> tuple[int, int]:
    match fields.take("election_ms", [400, 800]):
        case [int(low), int(high)] if 0 < low <= high:
            return low * _MS, high * _MS
        case _:
            raise wrong(field="election_ms", expected="[least, greatest] in milliseconds")
