"""Cuts of the network by nftables: a table of our own, a chain for each layer.

A packet that any chain drops is dropped, so layers add up, and each is added and removed by itself,
in one transaction. Only packets that come in from a listed address are dropped.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from . import places

TABLE = "inet splitbrain"
_LIMIT_S = 10.0


class FirewallError(Exception):
    """nft refused; the message is one line."""


def cut(request: dict[str, Any]) -> dict[str, Any]:
    """Drop what comes from some addresses; give the rule as the kernel holds it.

    request: "chain", named for the layer, and "addresses". Raises: FirewallError.
    """
    places.intend("network")
    chain = request["chain"]
    addresses = ", ".join(sorted(request["addresses"]))
    hook = "{ type filter hook input priority -150; policy accept; }"
    _nft(
        f"add table {TABLE}",
        f"add chain {TABLE} {chain} {hook}",
        f"flush chain {TABLE} {chain}",
        f"add rule {TABLE} {chain} ip saddr {{ {addresses} }} counter drop",
    )
    return _installed(chain)


def mend(request: dict[str, Any]) -> dict[str, Any]:
    """Remove a layer; the table goes with the last."""
    chain = request["chain"]
    if chain in _chains():
        _nft(f"flush chain {TABLE} {chain}", f"delete chain {TABLE} {chain}")
    left = _chains()
    if not left:
        clear()
    return {"layers": len(left)}


def clear() -> bool:
    """Remove everything of ours; tell whether there was anything."""
    held = bool(_chains())
    _nft(f"add table {TABLE}", f"delete table {TABLE}")
    places.forget("network")
    return held


def _chains() -> list[str]:
    listed = _run(["nft", "-j", "list", "table", *TABLE.split()], "")
    if listed.returncode != 0:
        return []
    items = json.loads(listed.stdout)["nftables"]
    return [item["chain"]["name"] for item in items if "chain" in item]


def _installed(chain: str) -> dict[str, Any]:
    listed = _run(["nft", "-j", "list", "chain", *TABLE.split(), chain], "")
    if listed.returncode != 0:
        raise FirewallError(_why(listed))
    for item in json.loads(listed.stdout)["nftables"]:
        if "rule" in item:
            return _rule(item["rule"]["expr"])
    message = f"the kernel does not show the rule of {chain}"
    raise FirewallError(message)


def _rule(expressions: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the addresses of a rule, and how many packets it dropped so far."""
    dropped: list[str] = []
    packets = 0
    for item in expressions:
        if "match" in item:
            right = item["match"]["right"]
            dropped = [right] if isinstance(right, str) else _elements(right["set"])
        if "counter" in item:
            packets = int(item["counter"]["packets"])
    return {"drops_from": sorted(dropped), "packets": packets}


def _elements(items: list[Any]) -> list[str]:
    """Give every address of a set; neighbours are shown as a range or a prefix by some versions."""
    import ipaddress  # noqa: PLC0415 - costs milliseconds that other commands need not pay

    found: list[str] = []
    for item in items:
        if isinstance(item, str):
            found.append(item)
        elif "range" in item:
            first, last = (ipaddress.IPv4Address(end) for end in item["range"])
            found += [str(ipaddress.IPv4Address(n)) for n in range(int(first), int(last) + 1)]
        elif "prefix" in item:
            network = ipaddress.IPv4Network((item["prefix"]["addr"], item["prefix"]["len"]))
            found += [str(address) for address in network]
    return found


def _nft(*lines: str) -> None:
    done = _run(["nft", "-f", "-"], "\n".join(lines) + "\n")
    if done.returncode != 0:
        raise FirewallError(_why(done))


def _run(argv: list[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, input=text, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except FileNotFoundError as error:
        message = "there is no program nft on this node"
        raise FirewallError(message) from error
    except subprocess.TimeoutExpired as error:
        message = f"nft did not end within {_LIMIT_S:g} s"
        raise FirewallError(message) from error


def _why(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
    return f"nft: {lines[0]}"
