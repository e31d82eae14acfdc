"""Wall clocks that lie: the daemons' view of the time of day, never their monotonic clocks.

`params["shape"]` is one of

- "jump": the clock is off by `offset_s` seconds, forward or backward.
- "strobe": that offset comes and goes, on for `period_s` seconds and off for as long.
- "rate": the clock runs fast by `rate_ppb` parts per billion, or slow if it is negative.
- "scramble": each node is off by an amount of its own, up to `offset_s` either way.

All may be given together with "jump" and "strobe"; a parameter left out is 0, but where the shape
is about it the fault cannot be used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitbrain.core.cluster import Bed, Skew
from splitbrain.core.errors import HarnessError, UsageError
from splitbrain.core.fault import At, Fault, Injection, Resolved, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.nemeses import targets
from splitbrain.nemeses.timing import Slot, alternating, slots

SHAPES = ("jump", "strobe", "rate", "scramble")
NS = 1_000_000_000

_OFFSET_S = (0.01, 300.0)
_PERIOD_S = (0.02, 0.5)
_RATE_PPB = (1_000_000, 500_000_000)
_OFFSET_LIMIT_S = 10 * 365 * 24 * 3600
_NEEDS = {"jump": "offset_s", "scramble": "offset_s", "strobe": "offset_s", "rate": "rate_ppb"}


class Clock:
    """Bends the wall clocks of daemons; see the module for the shapes."""

    kind = "clock"
    params = frozenset({"shape", "offset_s", "period_s", "rate_ppb"})

    def unavailable(self, bed: Bed) -> str | None:
        """Say why this bed's clocks cannot be bent."""
        return "this cluster cannot bend its clocks" if bed.clocks is None else None

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        """Draw all shapes in turn, forward and backward, over one node or more."""
        variants = [("jump", 1), ("jump", -1), ("strobe", 1), ("strobe", -1)]
        variants += [("rate", 1), ("rate", -1), ("scramble", 1)]
        order = alternating(rng, variants)
        whom = ["one", "majority"] + ["minority"] * (len(shape.nodes) >= 3)
        return [
            _drawn(slot, self.kind, order[(slot.number - 1) % len(order)], whom)
            for slot in slots(rng, shape)
        ]

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide whose clock lies, and how.

        Raises: UsageError for a shape, a parameter or a target that cannot be used, HarnessError
        for a target without a meaning now.
        """
        wish = _wish_of(fault)
        target = "one" if fault.target is None else fault.target
        nodes = targets.resolve(target, view)
        skews = {node: _skew_to_value(wish.skew(view.rng.child("skew", node))) for node in nodes}
        return Resolved(fault=fault, nodes=nodes, detail={"shape": wish.shape, "skews": skews})

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Bend; the proof is the measured offsets.

        Raises: HarnessError when clocks cannot be bent, or when what was pinned names nodes that
        are not here.
        """
        if bed.clocks is None:
            message = "this cluster cannot bend its clocks"
            raise HarnessError(message)
        skews = _skews_from(resolved.detail, bed.nodes)
        return Injection(resolved=resolved, proof=bed.clocks.skew(resolved.fault.id, skews))

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Take this fault's lie away, and that of no other."""
        if bed.clocks is not None:
            bed.clocks.release(injection.layer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What a fault's parameters ask for."""

    shape: str
    offset_s: float
    rate_ppb: int
    period_s: float

    def skew(self, rng: Keyed) -> Skew:
        offset_ns = round(self.offset_s * NS)
        if self.shape == "scramble":
            offset_ns = round(rng.uniform(-self.offset_s, self.offset_s) * NS)
        strobe_ns = max(1, round(self.period_s * NS)) if self.shape == "strobe" else 0
        return Skew(offset_ns=offset_ns, rate_ppb=self.rate_ppb, strobe_ns=strobe_ns)


def _drawn(slot: Slot, kind: str, variant: tuple[str, int], whom: Sequence[str]) -> Fault:
    shape, sign = variant
    params: dict[str, Value] = {"shape": shape}
    if shape == "rate":
        params["rate_ppb"] = sign * round(_log_uniform(slot.rng.child("rate"), *_RATE_PPB))
    else:
        params["offset_s"] = sign * round(_log_uniform(slot.rng.child("offset"), *_OFFSET_S), 3)
    if shape == "strobe":
        params["period_s"] = round(_log_uniform(slot.rng.child("period"), *_PERIOD_S), 3)
    return Fault(
        id=f"{kind}-{slot.number}",
        kind=kind,
        start=At(slot.start_s),
        duration_s=slot.duration_s,
        target="all" if shape == "scramble" else slot.rng.child("target").choice(whom),
        params=params,
    )


def _log_uniform(rng: Keyed, low: float, high: float) -> float:
    """Draw from all orders of magnitude alike: a lease breaks at seconds, a counter at hours."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _wish_of(fault: Fault) -> _Wish:
    shape = fault.params.get("shape", "jump")
    if not isinstance(shape, str) or shape not in SHAPES:
        message = f"{shape!r} is no shape of a clock fault; there are {', '.join(SHAPES)}"
        raise UsageError(message)
    needed = _NEEDS[shape]
    if _number(fault, needed) == 0 or (shape == "strobe" and _number(fault, "period_s") <= 0):
        also = ' and "period_s"' if shape == "strobe" else ""
        message = f'the clock fault {fault.id!r} of shape {shape!r} needs "{needed}"{also}'
        raise UsageError(message)
    offset_s, rate_ppb = _number(fault, "offset_s"), round(_number(fault, "rate_ppb"))
    if abs(offset_s) > _OFFSET_LIMIT_S or rate_ppb <= -NS:
        message = (
            f"the clock fault {fault.id!r}: an offset is at most ten years, and a clock that runs "
            f"slow by {NS} ppb or more stands still"
        )
        raise UsageError(message)
    return _Wish(
        shape=shape, offset_s=offset_s, rate_ppb=rate_ppb, period_s=_number(fault, "period_s")
    )


def _number(fault: Fault, name: str) -> float:
    value = fault.params.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        message = f"the clock fault {fault.id!r}: {name!r} must be a number, not {value!r}"
        raise UsageError(message)
    return value


def _skew_to_value(skew: Skew) -> Value:
    return {
        "offset_ns": skew.offset_ns,
        "rate_ppb": skew.rate_ppb,
        "strobe_ns": skew.strobe_ns,
    }


def _skews_from(detail: Value, nodes: Sequence[str]) -> Mapping[str, Skew]:
    skews = detail.get("skews") if isinstance(detail, dict) else None
    if not isinstance(skews, dict) or not skews:
        message = "the resolved clock fault does not say whose clock is bent how"
        raise HarnessError(message)
    strange = sorted(set(skews) - set(nodes))
    if strange:
        message = f"there is no node {strange[0]!r}; there are {', '.join(nodes)}"
        raise HarnessError(message)
    return {node: _skew_from(node, value) for node, value in skews.items()}


def _skew_from(node: str, value: Value) -> Skew:
    fields = value if isinstance(value, dict) else {}
    found: dict[str, int] = {}
    for name in ("offset_ns", "rate_ppb", "strobe_ns"):
        number = fields.get(name)
        if type(number) is not int:
            message = f"the skew of {node} has no whole number {name!r}"
            raise HarnessError(message)
        found[name] = number
    return Skew(**found)
