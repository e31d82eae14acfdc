"""Hosts that are busy with something else: computing, holding memory, writing files.

`params`: "cpu" (how many processes compute), "memory_mb" (how much is held and touched), "io" (how
many processes write and sync files of "io_mb" each). One of the first three must be given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from splitbrain.core.cluster import Bed, Burden
from splitbrain.core.errors import HarnessError, UsageError
from splitbrain.core.fault import At, Fault, Injection, Resolved, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.nemeses import targets
from splitbrain.nemeses.timing import Slot, alternating, slots

_LIMITS = {"cpu": 64, "memory_mb": 1 << 20, "io": 64, "io_mb": 4096}
_MARGIN_S = 60.0
_ENDLESS_S = 3600.0
_CPU, _MEMORY_MB, _IO = (1, 4), (32, 256), (1, 2)


class Stress:
    """Loads hosts; see the module for the parameters."""

    kind = "stress"
    params = frozenset(_LIMITS)

    def unavailable(self, bed: Bed) -> str | None:
        """Say why this bed's hosts cannot be loaded."""
        return "this cluster cannot load its hosts" if bed.burdens is None else None

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        """Draw load of the processor, of memory and of the disk in turn, on one node or some."""
        order = alternating(rng, ("cpu", "memory", "io"))
        whom = ["one"] + ["minority"] * (len(shape.nodes) >= 3)
        if "primaries" in shape.powers:
            whom.append("leader")
        return [
            _drawn(slot, self.kind, order[(slot.number - 1) % len(order)], whom)
            for slot in slots(rng, shape)
        ]

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide which nodes it hits, and how.

        Raises: UsageError for parameters or a target that cannot be used, HarnessError for a target
        without a meaning now.
        """
        numbers = {name: _number(fault, name) for name in _LIMITS}
        asked = [name for name in ("cpu", "memory_mb", "io") if numbers[name]]
        if not asked:
            message = f'the stress fault {fault.id!r} needs "cpu", "memory_mb" or "io"'
            raise UsageError(message)
        burden = Burden(
            cpu_workers=numbers["cpu"],
            memory_mb=numbers["memory_mb"],
            io_workers=numbers["io"],
            io_mb=numbers["io_mb"] or Burden().io_mb,
            limit_s=_ENDLESS_S if fault.duration_s is None else fault.duration_s + _MARGIN_S,
        )
        nodes = targets.resolve("one" if fault.target is None else fault.target, view)
        shape = "+".join(name.removesuffix("_mb") for name in asked)
        return Resolved(fault=fault, nodes=nodes, detail={"shape": shape, "burden": asdict(burden)})

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Load; the proof is what the load used in its first moments.

        Raises: HarnessError when hosts cannot be loaded, or not so much.
        """
        if bed.burdens is None:
            message = "this cluster cannot load its hosts"
            raise HarnessError(message)
        burden = _burden_from(resolved.detail)
        proof = bed.burdens.burden(resolved.fault.id, dict.fromkeys(resolved.nodes, burden))
        return Injection(resolved=resolved, proof=proof)

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Take this fault's load away, and that of no other."""
        if bed.burdens is not None:
            bed.burdens.release(injection.layer)


def _drawn(slot: Slot, kind: str, what: str, whom: Sequence[str]) -> Fault:
    params: dict[str, Value] = {
        "cpu": {"cpu": _between(slot, _CPU)},
        "memory": {"memory_mb": _between(slot, _MEMORY_MB)},
        "io": {"io": _between(slot, _IO), "io_mb": 8},
    }[what]  # type: ignore[assignment]
    return Fault(
        id=f"{kind}-{slot.number}",
        kind=kind,
        start=At(slot.start_s),
        duration_s=slot.duration_s,
        target=slot.rng.child("target").choice(whom),
        params=params,
    )


def _between(slot: Slot, limits: tuple[int, int]) -> int:
    low, high = limits
    return low + slot.rng.child("amount").integer(high - low + 1)


def _number(fault: Fault, name: str) -> int:
    value = fault.params.get(name, 0)
    if type(value) is not int or not 0 <= value <= _LIMITS[name]:
        message = (
            f"the stress fault {fault.id!r}: {name!r} must be a whole number from 0 to "
            f"{_LIMITS[name]}, not {value!r}"
        )
        raise UsageError(message)
    return value


def _burden_from(detail: Value) -> Burden:
    asked = detail.get("burden") if isinstance(detail, Mapping) else None
    names = {field.name for field in fields(Burden)}
    if not isinstance(asked, dict) or set(asked) != names:
        message = "the resolved stress fault does not say how much load"
        raise HarnessError(message)
    return Burden(**asked)  # type: ignore[arg-type]
