"""Delays, losses and other troubles of packets, by a detour through a program of ours.

What this node sends to a troubled peer is routed into a TUN device. A program reads each packet
from it, decides what becomes of it, and sends it on, through the device that it would have taken,
by a raw socket. No kernel module is needed for that but `tun`. When the program dies, the device
goes with it and so do the routes: the packets take their old way, undisturbed.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

from . import lasting, places, troubled

DEVICE = "splitbrain0"
TABLE = places.VOLATILE / "detour.json"
COUNTS = places.VOLATILE / "detour-counts.json"
PROGRAM = places.VOLATILE / "detour-program.json"
INTENT = "packets"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_QUEUE_LENGTH = 10_000
_LIMIT_S = 10.0
_COUNTS_S = 0.25
_BATCH = 256
_PACKET_BYTES = 65_536
_LOOSE = "2"


class DetourError(Exception):
    """Packets cannot be led astray; the message is one line."""


def reason(_request: dict[str, Any]) -> dict[str, Any]:
    """Say why packets cannot be disturbed here, or null: {"reason": ...}."""
    if lasting.running(PROGRAM) is not None:
        return {"reason": None}
    try:
        os.close(_open_device("splitbrain%d"))
        _ip("route", "show", "table", "main")
    except DetourError as error:
        return {"reason": str(error)}
    return {"reason": None}


def disturb(request: dict[str, Any]) -> dict[str, Any]:
    """Replace all troubles at once; give how the way to each peer looks now.

    request: "lanes": address -> list of troubles, all layers together. Raises: DetourError.
    """
    lanes: dict[str, list[dict[str, Any]]] = request["lanes"]
    if not lanes:
        clear()
        return {"detours": {}}
    places.intend(INTENT)
    before = _table()
    ways = {peer: before["ways"].get(peer) or _way(peer) for peer in lanes}
    for peer in set(before["ways"]) - set(lanes):
        _forget_route(peer)
    loosened = before["loosened"] | _loosen(
        {way["device"] for way in ways.values()} - set(before["loosened"])
    )
    table = {"number": before["number"] + 1, "lanes": lanes, "ways": ways, "loosened": loosened}
    places.write_whole(TABLE, json.dumps(table))
    _run_program(table["number"])
    for peer, way in ways.items():
        _ip("route", "replace", f"{peer}/32", "dev", DEVICE, "src", way["source"])
    return {"detours": {peer: _device_to(peer) for peer in lanes}}


def counts(_request: dict[str, Any]) -> dict[str, Any]:
    """Give what became of the packets to each peer so far; a moment old."""
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(COUNTS.read_text(encoding="utf-8"))
        return found
    return {"number": 0, "lanes": {}}


def clear() -> bool:
    """End every trouble; tell whether there was any."""
    table = _table()
    for peer in table["ways"]:
        _forget_route(peer)
    lasting.stop(PROGRAM)
    for device, value in table["loosened"].items():
        with contextlib.suppress(OSError):
            _switch(device).write_text(value, encoding="ascii")
    TABLE.unlink(missing_ok=True)
    places.forget(INTENT)
    return bool(table["ways"])


def _table() -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
        return found
    return {"number": 0, "lanes": {}, "ways": {}, "loosened": {}}


def _run_program(number: int) -> None:
    """Let the program take the table over, and wait until it has."""
    pid = lasting.running(PROGRAM)
    if pid is None:
        COUNTS.unlink(missing_ok=True)
        device = _open_device(DEVICE)
        _ip("link", "set", DEVICE, "txqueuelen", str(_QUEUE_LENGTH), "up")
        lasting.start(PROGRAM, lambda: Program(device).run(), keep=(device,))
        os.close(device)
    else:
        os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + _LIMIT_S
    while counts({})["number"] != number:
        if time.monotonic() > deadline or lasting.running(PROGRAM) is None:
            message = "the program that disturbs packets does not work"
            raise DetourError(message)
        time.sleep(0.002)


def _open_device(name: str) -> int:
    """Make a TUN device that lives as long as the descriptor."""
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        message = f"/dev/net/tun: {error.strerror}{places.module_advice(error, 'tun')}"
        raise DetourError(message) from error
    try:
        request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(descriptor, _TUNSETIFF, request)
    except OSError as error:
        os.close(descriptor)
        message = f"no TUN device can be made: {error.strerror}"
        raise DetourError(message) from error
    return descriptor


def _way(peer: str) -> dict[str, str]:
    """Give the device and the source address by which packets go to a peer."""
    fields = _ip("route", "get", peer).split()
    with contextlib.suppress(ValueError, IndexError):
        device, source = (fields[fields.index(word) + 1] for word in ("dev", "src"))
        if device not in ("lo", DEVICE):
            return {"device": device, "source": source}
    message = f"no device leads to {peer}: {' '.join(fields)}"
    raise DetourError(message)


def _device_to(peer: str) -> str:
    fields = _ip("route", "get", peer).split()
    return fields[fields.index("dev") + 1]


def _forget_route(peer: str) -> None:
    with contextlib.suppress(DetourError):
        _ip("route", "del", f"{peer}/32", "dev", DEVICE)


def _loosen(devices: set[str]) -> dict[str, str]:
    """Let packets come in by a device though the way back is a detour; give the old settings."""
    found = {}
    for device in devices:
        with contextlib.suppress(OSError):
            strict = "1" in (_switch(name).read_text().strip() for name in ("all", device))
            if strict:
                found[device] = _switch(device).read_text().strip()
                _switch(device).write_text(_LOOSE, encoding="ascii")
    return found


def _switch(device: str) -> Path:
    return Path("/proc/sys/net/ipv4/conf") / device / "rp_filter"


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["ip", "-4", "-o", *arguments],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except FileNotFoundError as error:
        message = "there is no program ip on this node"
        raise DetourError(message) from error
    except subprocess.TimeoutExpired as error:
        message = f"ip did not end within {_LIMIT_S:g} s"
        raise DetourError(message) from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        message = f"ip {' '.join(arguments[:2])}: {lines[0]}"
        raise DetourError(message)
    return done.stdout


class Program:
    """Reads packets from the device, and sends them on when their time has come.

    A SIGHUP makes it read the table anew. A SIGTERM makes it send what it holds, and end.
    """

    def __init__(self, device: int) -> None:
        self._device = device
        self._rng = random.Random()
        self._lanes: dict[bytes, troubled.Lane] = {}
        self._outlets: dict[bytes, socket.socket] = {}
        self._waiting: list[tuple[float, int, bytes, socket.socket]] = []
        self._sent = 0
        self._number = 0
        self._unsent = 0
        self._told_s = 0.0
        self._reload = True
        self._ending = False

    def run(self) -> None:
        """Work until told to end."""
        awake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGHUP, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.set_wakeup_fd(waker)
        while True:
            if self._reload:
                self._read_table()
            self._send_due()
            if self._ending:
                break
            readable, _, _ = select.select([self._device, awake], [], [], self._pause_s())
            if awake in readable:
                os.read(awake, 64)
            if self._device in readable:
                self._take()
            self._tell()
        self._tell(now=True)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._ending = True

    def _read_table(self) -> None:
        self._reload = False
        table = _table()
        before, self._lanes, self._outlets = self._lanes, {}, {}
        outlets: dict[str, socket.socket] = {}
        for peer, troubles in table["lanes"].items():
            key = socket.inet_aton(peer)
            lane = troubled.Lane(troubles, self._rng)
            if key in before:
                lane.counts = before[key].counts
            device = table["ways"][peer]["device"]
            if device not in outlets:
                outlets[device] = _raw_socket(device)
            self._lanes[key], self._outlets[key] = lane, outlets[device]
        self._number = table["number"]
        self._tell(now=True)

    def _take(self) -> None:
        for _ in range(_BATCH):
            try:
                packet = os.read(self._device, _PACKET_BYTES)
            except BlockingIOError:
                return
            key = packet[16:20]
            lane = self._lanes.get(key)
            if lane is None:
                continue  # a peer that was just let go of, or no IPv4
            now_s = time.monotonic()
            for fate in lane.fates(len(packet), now_s):
                data = troubled.damaged(packet, self._rng) if fate.damaged else packet
                self._sent += 1
                item = (now_s + fate.after_s, self._sent, data, self._outlets[key])
                heapq.heappush(self._waiting, item)

    def _send_due(self) -> None:
        now_s = time.monotonic()
        while self._waiting and (self._ending or self._waiting[0][0] <= now_s):
            _, _, data, outlet = heapq.heappop(self._waiting)
            try:
                outlet.sendto(data, (socket.inet_ntoa(data[16:20]), 0))
            except OSError:
                self._unsent += 1

    def _pause_s(self) -> float:
        soonest = _COUNTS_S
        if self._waiting:
            soonest = min(soonest, self._waiting[0][0] - time.monotonic())
        return max(0.0, soonest)

    def _tell(self, *, now: bool = False) -> None:
        """Write down what became of the packets, a few times a second."""
        if not now and time.monotonic() < self._told_s + _COUNTS_S:
            return
        self._told_s = time.monotonic()
        lanes = {socket.inet_ntoa(key): lane.counts for key, lane in self._lanes.items()}
        text = json.dumps({"number": self._number, "lanes": lanes, "unsent": self._unsent})
        places.write_whole(COUNTS, text)


def _raw_socket(device: str) -> socket.socket:
    """Open a socket that sends whole IPv4 packets by one device, whatever the routes say."""
    made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    made.setblocking(False)
    return made
