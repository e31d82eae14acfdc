"""Disks that are full, read-only, slow or failing; and data that is damaged for good.

`disk` troubles the disks beneath the data folders of a node's daemons; `params["shape"]` is one of

- "full": nothing more can be written (ENOSPC). "read-only": nothing can be changed (EROFS).
- "slow": each read, write and sync takes `slow_ms` longer.
- "error": the share `error` (from 0 to 1) of writes and syncs fails with EIO.

A daemon may well end when its disk fails it; healing starts again what is down and held by nothing.

`damage` changes a file among the data of a node's daemons, which are killed for it and held down
while the fault lasts (unless `params["restart"]` is false): `params["shape"]` is "bitflip",
"truncate", "copy" or "rollback", see `DiskDamage`, and its other parameters are those of it. What
was damaged stays damaged, and no healing restores it: a correct system may refuse to start on it,
or lose what no other replica holds. It is never one of `all`: ask for it by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from splitbrain.core.cluster import Bed, DiskDamage, Disks, DiskTrouble
from splitbrain.core.errors import HarnessError, UsageError
from splitbrain.core.fault import At, Fault, Injection, Resolved, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.nemeses import targets
from splitbrain.nemeses.timing import Slot, alternating, slots

SHAPES = ("full", "read-only", "slow", "error")
DAMAGES = ("bitflip", "truncate", "copy", "rollback")
SLOW_LIMIT_MS = 10_000
WAIT_LIMIT_S = 20.0

_COUNTS = {"bits": 1 << 20, "bytes": 1 << 40, "chunk_bytes": 1 << 30}
_SEEDS = 2**31


class Disk:
    """Troubles disks; see the module for the shapes."""

    kind = "disk"
    params = frozenset({"shape", "slow_ms", "error"})

    def unavailable(self, bed: Bed) -> str | None:
        """Say why this bed's disks cannot be troubled."""
        if bed.disks is None:
            return "this cluster cannot touch its disks"
        return bed.disks.cannot_trouble()

    def prepare(self, bed: Bed) -> None:
        """Put the data of daemons that are going to start on disks that can be troubled."""
        _disks_of(bed).arm()

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        """Draw all shapes in turn, on one node, some, or the leader."""
        order = alternating(rng, SHAPES)
        whom = ["one"] + ["minority"] * (len(shape.nodes) >= 3)
        if "primaries" in shape.powers:
            whom.append("leader")
        return [
            _drawn_trouble(slot, self.kind, order[(slot.number - 1) % len(order)], whom)
            for slot in slots(rng, shape)
        ]

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide which nodes it hits, and how.

        Raises: UsageError for a shape, a parameter or a target that cannot be used, HarnessError
        for a target without a meaning now.
        """
        shape = _shape_of(fault, SHAPES)
        trouble = DiskTrouble(
            full=shape == "full",
            read_only=shape == "read-only",
            slow_ms=_number(fault, "slow_ms", SLOW_LIMIT_MS) if shape == "slow" else 0.0,
            error=_number(fault, "error", 1.0) if shape == "error" else 0.0,
        )
        if trouble == DiskTrouble():
            name = "slow_ms" if shape == "slow" else "error"
            message = f'the disk fault {fault.id!r} of shape {shape!r} needs "{name}"'
            raise UsageError(message)
        nodes = targets.resolve("one" if fault.target is None else fault.target, view)
        detail: dict[str, Value] = {"shape": shape, "trouble": asdict(trouble)}
        return Resolved(fault=fault, nodes=nodes, detail=detail)

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Trouble; the proof is what a write to each data folder now comes to.

        Raises: HarnessError when disks cannot be troubled.
        """
        disks, detail = _disks_of(bed), resolved.detail
        asked = detail.get("trouble") if isinstance(detail, dict) else None
        names = {field.name for field in fields(DiskTrouble)}
        if not isinstance(asked, dict) or set(asked) != names:
            message = "the resolved disk fault does not say what the disks suffer"
            raise HarnessError(message)
        trouble = DiskTrouble(**asked)  # type: ignore[arg-type]
        proof = disks.trouble(resolved.fault.id, dict.fromkeys(resolved.nodes, trouble))
        return Injection(resolved=resolved, proof=proof)

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Take this fault's trouble away, and start the daemons that died of it.

        Whatever a layer held runs once no layer does; to pause ends none that another fault paused.
        """
        _disks_of(bed).release(injection.layer)
        for node in injection.resolved.nodes:
            for daemon, runs in bed.daemons.running(node).items():
                if not runs:
                    bed.daemons.pause(injection.layer, [node], daemon)
        bed.daemons.release(injection.layer)


class Damage:
    """Damages data for good; see the module for the shapes."""

    kind = "damage"
    params = frozenset({"shape", *_COUNTS, "files", "daemon", "wait_s", "restart"})

    def unavailable(self, bed: Bed) -> str | None:
        """Say why this bed's data cannot be damaged."""
        return "this cluster cannot touch its disks" if bed.disks is None else None

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        """Draw damage of all shapes in turn to one node, always the same.

        More than a minority of damaged replicas is more than most systems promise to survive.
        """
        order = alternating(rng, DAMAGES)
        node = rng.child("node").choice(shape.nodes)
        return [
            Fault(
                id=f"{self.kind}-{slot.number}",
                kind=self.kind,
                start=At(slot.start_s),
                duration_s=slot.duration_s,
                target=[node],
                params={"shape": order[(slot.number - 1) % len(order)]},
            )
            for slot in slots(rng, shape)
        ]

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide whose data is damaged, and how.

        Raises: UsageError for a shape, a parameter or a target that cannot be used, HarnessError
        for a target without a meaning now.
        """
        shape = _shape_of(fault, DAMAGES)
        nodes = targets.resolve("one" if fault.target is None else fault.target, view)
        damages: dict[str, Value] = {
            node: asdict(_damage_of(fault, shape, view.rng.child("damage", node))) for node in nodes
        }
        restart = fault.params.get("restart", True)
        if not isinstance(restart, bool):
            message = f"the damage fault {fault.id!r}: 'restart' must be true or false"
            raise UsageError(message)
        detail: dict[str, Value] = {"shape": shape, "damages": damages, "restart": restart}
        return Resolved(fault=fault, nodes=nodes, detail=detail)

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Damage; the proof says which file, how, and that it stays.

        Raises: HarnessError when data cannot be damaged, or no file matches.
        """
        disks, detail = _disks_of(bed), resolved.detail
        listed = detail.get("damages") if isinstance(detail, dict) else None
        if not isinstance(detail, dict) or not isinstance(listed, dict):
            message = "the resolved damage does not say what is damaged"
            raise HarnessError(message)
        damages = {node: _damage_from(node, value) for node, value in listed.items()}
        killed: Value = None
        if detail.get("restart"):
            killed = bed.daemons.kill(resolved.fault.id, list(damages))
        proof: dict[str, Value] = {"killed": killed, "damaged": disks.damage(damages)}
        return Injection(resolved=resolved, proof=proof)

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Start the daemons again; what was damaged stays so."""
        bed.daemons.release(injection.layer)


def _disks_of(bed: Bed) -> Disks:
    if bed.disks is None:
        message = "this cluster cannot touch its disks"
        raise HarnessError(message)
    return bed.disks


def _drawn_trouble(slot: Slot, kind: str, shape: str, whom: Sequence[str]) -> Fault:
    params: dict[str, Value] = {"shape": shape}
    if shape == "slow":
        params["slow_ms"] = round(slot.rng.child("slow").uniform(5.0, 150.0), 1)
    if shape == "error":
        params["error"] = round(slot.rng.child("error").uniform(0.05, 1.0), 2)
    return Fault(
        id=f"{kind}-{slot.number}",
        kind=kind,
        start=At(slot.start_s),
        duration_s=slot.duration_s,
        target=slot.rng.child("target").choice(whom),
        params=params,
    )


def _shape_of(fault: Fault, shapes: Sequence[str]) -> str:
    shape = fault.params.get("shape", shapes[0])
    if not isinstance(shape, str) or shape not in shapes:
        message = f"{shape!r} is no shape of a {fault.kind} fault; there are {', '.join(shapes)}"
        raise UsageError(message)
    return shape


def _number(fault: Fault, name: str, limit: float) -> float:
    value = fault.params.get(name, 0)
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not fits or not 0 <= value <= limit:  # type: ignore[operator]
        message = (
            f"the {fault.kind} fault {fault.id!r}: {name!r} must be a number from 0 to {limit:g}, "
            f"not {value!r}"
        )
        raise UsageError(message)
    return float(value)  # type: ignore[arg-type]


def _damage_of(fault: Fault, shape: str, rng: Keyed) -> DiskDamage:
    plain = DiskDamage(what=shape)
    counts = {name: _count(fault, name, getattr(plain, name)) for name in _COUNTS}
    files, daemon = fault.params.get("files", plain.files), fault.params.get("daemon")
    if not isinstance(files, str) or not (daemon is None or isinstance(daemon, str)):
        message = f"the damage fault {fault.id!r}: 'files' is a pattern and 'daemon' a name"
        raise UsageError(message)
    wait_s = _number(fault, "wait_s", WAIT_LIMIT_S) if "wait_s" in fault.params else plain.wait_s
    seed = rng.integer(_SEEDS)
    return DiskDamage(what=shape, files=files, daemon=daemon, wait_s=wait_s, seed=seed, **counts)


def _count(fault: Fault, name: str, default: int) -> int:
    value = fault.params.get(name, default)
    if type(value) is not int or not 1 <= value <= _COUNTS[name]:
        message = (
            f"the damage fault {fault.id!r}: {name!r} must be a whole number from 1 to "
            f"{_COUNTS[name]}, not {value!r}"
        )
        raise UsageError(message)
    return value


def _damage_from(node: str, value: Value) -> DiskDamage:
    names = {field.name for field in fields(DiskDamage)}
    if not isinstance(value, Mapping) or set(value) != names or value["what"] not in DAMAGES:
        message = f"the resolved damage of {node} is not understood"
        raise HarnessError(message)
    return DiskDamage(**value)  # type: ignore[arg-type]
