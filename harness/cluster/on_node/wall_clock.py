"""Bends the real wall clock of this machine, for machines that are a test's own.

What the clock would show without us is the raw monotonic clock plus an anchor that was measured
before the first fault, so that undoing takes back what is measured and never restores a time.
Rates up to a tenth go to the kernel's own oscillator; greater ones, and clocks that come and go,
are the work of a small program that steps the clock again and again.
"""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import time
from typing import Any

from . import lasting, places

STATE = places.VOLATILE / "wall-clock.json"
BENDER = places.VOLATILE / "wall-clock-bender.json"
INTENT = "wall-clock"
SYNCHRONISERS = (
    *("systemd-timesyncd", "chrony", "chronyd", "ntp", "ntpd", "ntpsec", "openntpd"),
    *("vboxadd-service", "virtualbox-guest-utils", "open-vm-tools"),
)
KERNEL_RATE_PPB = 100_000_000
NS = 1_000_000_000

_CLOSE_NS = 200_000
_ATTEMPTS = 8
_TOLERANCE_NS = 1_000_000
_STEP_EVERY_S = 0.02
_LIMIT_S = 60.0
_TICK_US = 10_000
_TICK_PPB = 100_000
_FREQUENCY_UNIT = 65_536 / 1000  # of the kernel's frequency, for a part in a billion
_ADJ_FREQUENCY, _ADJ_TICK = 0x0002, 0x4000
# struct timex of 64-bit Linux: modes, offset, freq, 2 errors, status, 3 constants, time, tick, rest
_TIMEX = struct.Struct("<I4xqqqqi4xqqqqqq112x")


def now(_request: dict[str, Any]) -> dict[str, Any]:
    """Tell what the wall clock shows."""
    return {"time_ns": time.time_ns()}


def step(request: dict[str, Any]) -> dict[str, Any]:
    """Move the clock by "step_ns", to set it right before a test; refuses while it is bent."""
    if STATE.exists():
        message = "the clock is bent by a fault: it is not set right meanwhile"
        raise ValueError(message)
    anchor_ns = shown_against_raw_ns()
    _step_to(anchor_ns + int(request["step_ns"]))
    return {"moved_ns": shown_against_raw_ns() - anchor_ns}


def bend(request: dict[str, Any]) -> dict[str, Any]:
    """Replace all layers at once; give their bases, and the offset that is now measured.

    request: "layers": [{"base_ns": or null for now, "offset_ns", "rate_ppb", "strobe_ns"}]; bases
    are on the clock as it would be without us. Time synchronisation is stopped for as long.
    """
    layers = request["layers"]
    if not layers:
        clear()
        return {"bases_ns": [], "offset_ns": 0, "stopped": []}
    state = _load() or _begin()
    lasting.stop(BENDER)
    true_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) + int(state["anchor_ns"])
    for layer in layers:
        layer["base_ns"] = true_ns if layer["base_ns"] is None else int(layer["base_ns"])
    state["layers"] = layers
    _run_at(state, sum(int(layer["rate_ppb"]) for layer in layers))
    _save(state)
    _follow(state)
    if needs_bender(layers):
        lasting.start(BENDER, lambda: _bend_for_ever(state))
    return {
        "bases_ns": [layer["base_ns"] for layer in layers],
        "offset_ns": shown_against_raw_ns() - int(state["anchor_ns"]),
        "stopped": state["stopped"],
    }


def clear() -> bool:
    """Take back what the clock is off by now, and let it be synchronised again; tell if it was."""
    state = _load()
    if state is None:
        places.forget(INTENT)  # a reboot has undone it
        return False
    lasting.stop(BENDER)
    _run_at(state, 0)
    _step_to(int(state["anchor_ns"]))
    if state["stopped"]:
        _systemctl("start", *state["stopped"])
    STATE.unlink(missing_ok=True)
    places.forget(INTENT)
    return True


def bent_ns(layers: list[dict[str, Any]], true_ns: int) -> int:
    """Give by how much the layers bend the clock at a true time."""
    total = 0
    for layer in layers:
        passed = true_ns - layer["base_ns"]
        strobe = layer["strobe_ns"]
        if not strobe or (passed // strobe) % 2 == 0:
            total += layer["offset_ns"]
        total += passed * layer["rate_ppb"] // NS
    return int(total)


def needs_bender(layers: list[dict[str, Any]]) -> bool:
    """Tell whether the clock must be stepped again and again."""
    rate_ppb = sum(layer["rate_ppb"] for layer in layers)
    return abs(rate_ppb) > KERNEL_RATE_PPB or any(layer["strobe_ns"] for layer in layers)


def shown_against_raw_ns() -> int:
    """Measure the wall clock against the raw monotonic clock, which nothing adjusts.

    The best of a few readings: one may be interrupted between the two clocks.
    """
    readings = []
    for _ in range(5):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        shown = time.time_ns()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        readings.append((after - before, shown - (before + after) // 2))
    return min(readings)[1]


def kernel_rate(rate_ppb: int) -> tuple[int, int]:
    """Give the tick in microseconds and the frequency that make the kernel's clock run so fast."""
    within = max(-KERNEL_RATE_PPB, min(KERNEL_RATE_PPB, rate_ppb))
    ticks = round(within / _TICK_PPB)
    return _TICK_US + ticks, round((within - ticks * _TICK_PPB) * _FREQUENCY_UNIT)


def _begin() -> dict[str, Any]:
    """Stop whatever would set the clock right, and measure what it shows."""
    places.intend(INTENT)
    stopped = _active()
    state: dict[str, Any] = {"anchor_ns": 0, "layers": [], "stopped": stopped, "rate": None}
    state["anchor_ns"] = shown_against_raw_ns()
    _save(state)
    if stopped:
        _systemctl("stop", *stopped)
        state["anchor_ns"] = shown_against_raw_ns()
    return state


def _active() -> list[str]:
    done = _systemctl("is-active", *SYNCHRONISERS)
    states = done.split() if done else []
    return [name for name, state in zip(SYNCHRONISERS, states, strict=False) if state == "active"]


def _systemctl(*arguments: str) -> str:
    """Run systemctl; a machine without it has nothing of the kind to stop."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            ["systemctl", *arguments], capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        return done.stdout
    return ""


def _follow(state: dict[str, Any]) -> float:
    """Let the clock show what the layers ask for; give how long that holds, in seconds."""
    anchor_ns, layers = int(state["anchor_ns"]), state["layers"]
    true_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) + anchor_ns
    wanted_ns = bent_ns(layers, true_ns)
    if abs(shown_against_raw_ns() - anchor_ns - wanted_ns) > _TOLERANCE_NS:
        _step_to(anchor_ns + wanted_ns)
    edges: list[int] = [
        layer["strobe_ns"] - (true_ns - layer["base_ns"]) % layer["strobe_ns"]
        for layer in layers
        if layer["strobe_ns"]
    ]
    rate_ppb = sum(layer["rate_ppb"] for layer in layers)
    fast = abs(rate_ppb) > KERNEL_RATE_PPB
    return min([edge / NS for edge in edges] + [_STEP_EVERY_S if fast else 1.0])


def _bend_for_ever(state: dict[str, Any]) -> None:
    while True:
        time.sleep(max(0.001, _follow(state)))


def _step_to(shown_ns: int) -> None:
    """Set the clock so that it shows this against the raw clock, as near as can be."""
    for _ in range(_ATTEMPTS):
        missing_ns = shown_ns - shown_against_raw_ns()
        if abs(missing_ns) < _CLOSE_NS:
            return
        time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + missing_ns)


def _run_at(state: dict[str, Any], rate_ppb: int) -> None:
    """Let the kernel's clock run fast by so much; 0 is as it ran before."""
    if rate_ppb == 0 and state["rate"] is None:
        return
    frequency, tick = _kernel_clock(0, 0, 0)
    if state["rate"] is None:
        state["rate"] = [frequency, tick]
        _save(state)
    if rate_ppb == 0:
        frequency, tick = state["rate"]
    else:
        tick, frequency = kernel_rate(rate_ppb)
    _kernel_clock(_ADJ_FREQUENCY | _ADJ_TICK, frequency, tick)


def _kernel_clock(modes: int, frequency: int, tick: int) -> tuple[int, int]:
    """Adjust the kernel's clock, and give its frequency and tick as they are now."""
    import ctypes  # noqa: PLC0415 - costs a tenth of a second that other commands need not pay
    import os  # noqa: PLC0415

    values = (modes, 0, frequency, 0, 0, 0, 0, 0, 0, 0, 0, tick)
    buffer = ctypes.create_string_buffer(_TIMEX.pack(*values), _TIMEX.size)
    library = ctypes.CDLL(None, use_errno=True)
    if library.adjtimex(buffer) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    held = _TIMEX.unpack(buffer.raw)
    return held[2], held[11]


def _load() -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        state: dict[str, Any] = json.loads(STATE.read_text(encoding="utf-8"))
        return state
    return None


def _save(state: dict[str, Any]) -> None:
    places.VOLATILE.mkdir(parents=True, exist_ok=True)
    places.write_whole(STATE, json.dumps(state))
