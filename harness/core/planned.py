"""Operations as data: each can be left out without changing what the others do, and when."""

from __future__ import annotations

from dataclasses import dataclass

from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence
from splitbrain.core.value import Value

PHASES = ("setup", "main", "final")
"""The phases of a run in which clients work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOperation:
    """One operation to perform. at_ns: since its phase began, and not before the worker is free."""

    phase: str
    worker: int
    at_ns: int
    f: str
    key: Value = None
    argument: Value = None

    def to_value(self) -> Value:
        """Give it as JSON."""
        return {
            "phase": self.phase,
            "worker": self.worker,
            "at_ns": self.at_ns,
            "f": self.f,
            "key": self.key,
            "argument": self.argument,
        }

    @classmethod
    def from_value(cls, value: Value) -> PlannedOperation:
        """Read it from JSON. Raises: UsageError when it is something else."""
        fields = value if isinstance(value, dict) else {}
        match fields:
            case {"phase": str(phase), "worker": int(worker), "at_ns": int(at_ns), "f": str(f)}:
                if phase in PHASES and worker >= 0:
                    return cls(
                        phase=phase,
                        worker=worker,
                        at_ns=at_ns,
                        f=f,
                        key=fields.get("key"),
                        argument=fields.get("argument"),
                    )
        message = f"a planned operation has a phase of {', '.join(PHASES)}, worker, at_ns and f"
        raise UsageError(message)


def planned_of(evidence: Evidence, concurrency: int) -> tuple[PlannedOperation, ...]:
    """Give the operations of a run of so many workers as a plan to perform them again.

    A process that follows one of unknown outcome has its number plus the concurrency, so that the
    remainder is the worker.
    """
    began = [(index, phase) for index, phase in evidence.phases or () if phase.name in PHASES]
    planned = []
    for item in evidence.history or ():
        before = [phase for index, phase in began if index < item.invoke_index]
        if not before:
            continue
        planned.append(
            PlannedOperation(
                phase=before[-1].name,
                worker=item.process % concurrency,
                at_ns=max(0, item.start_ns - before[-1].time_ns),
                f=item.f,
                key=item.key,
                argument=item.argument,
            )
        )
    return tuple(planned)
