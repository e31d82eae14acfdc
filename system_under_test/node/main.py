"""The command: `splitbrain-node.pyz PROTOCOL --config /path/config.json`."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .canonical import Json
from .durable import DurableLog, log_identity
from .errors import NodeError
from .raft.bugs import BUGS as RAFT_BUGS
from .raft.config import read_config as read_raft_config
from .raft.service import RaftService
from .shell import Service, Shell, Surroundings
from .store.bugs import BUGS as STORE_BUGS
from .store.config import read_config as read_store_config
from .store.service import StoreService
from .trace import TraceEncoder, TraceFile, system_clocks

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """A node as its configuration describes it. service: makes it of its disk's records."""

    node: str
    addresses: Mapping[str, tuple[str, int]]
    data: Path
    trace: Path
    sync_trace: bool
    stall_s: float
    service: Callable[[Iterable[Json], int], Service]


def _raft(text: bytes) -> _Node:
    config = read_raft_config(text, frozenset(RAFT_BUGS))
    options = config.options
    return _Node(
        node=options.node,
        addresses=config.addresses,
        data=config.data,
        trace=config.trace,
        sync_trace=config.sync_trace,
        stall_s=4 * options.lease_ns / 1e9,
        service=lambda records, now_ns: RaftService(options, records, now_ns),
    )


def _store(text: bytes) -> _Node:
    config = read_store_config(text, frozenset(STORE_BUGS))
    options = config.options
    return _Node(
        node=options.node,
        addresses=config.addresses,
        data=config.data,
        trace=config.trace,
        sync_trace=config.sync_trace,
        stall_s=4 * options.suspect_ns / 1e9,
        service=lambda records, now_ns: StoreService(options, records, now_ns),
    )


_PROTOCOLS: Mapping[str, Callable[[bytes], _Node]] = {"raft": _raft, "store": _store}


def service_of(protocol: str, text: bytes, records: Iterable[Json], now_ns: int) -> Service:
    """Make a node of a protocol for a shell other than ours, from its configuration and its log.

    Raises: NodeError for a configuration or records that cannot be used.
    """
    return _PROTOCOLS[protocol](text).service(records, now_ns)


USAGE = f"usage: splitbrain-node.pyz {'|'.join(_PROTOCOLS)} --config FILE"


def main(arguments: Sequence[str]) -> int:
    """Run a node and give the exit status: 0 stopped, 1 failed, 2 called wrongly."""
    match list(arguments):
        case [protocol, "--config", path] if protocol in _PROTOCOLS:
            pass
        case _:
            print(USAGE, file=sys.stderr)
            return 2
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        return asyncio.run(_run(protocol, _PROTOCOLS[protocol](_read(Path(path)))))
    except NodeError as error:
        print(f"splitbrain-node: {error}", file=sys.stderr)
        return 1


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"the configuration {path} cannot be read: {error.strerror or error}"
        raise NodeError(message) from error


async def _run(protocol: str, made: _Node) -> int:
    identity = log_identity(protocol, made.node)
    opened = DurableLog.open(made.data / f"{protocol}.log", identity)
    for note in opened.notes:
        _LOG.warning("%s", note)
    service = made.service(opened.records, time.monotonic_ns())
    encoder = TraceEncoder(made.node, secrets.token_hex(8), system_clocks())
    trace = TraceFile(made.trace, encoder, synced=made.sync_trace)
    surroundings = Surroundings(
        node=made.node,
        addresses=made.addresses,
        log=opened.log,
        trace=trace,
        stall_s=made.stall_s,
    )
    try:
        return await Shell(service, surroundings).run()
    finally:
        trace.close()
        opened.log.close()
