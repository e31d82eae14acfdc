"""What the checkers of the four session guarantees have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from splitbrain.checkers.causality.patterns import saw
from splitbrain.checkers.causality.story import story
from splitbrain.checkers.linearizability.phrases import shown
from splitbrain.checkers.order.case import Case, Found, add_thin_air, conclude, prepare
from splitbrain.checkers.order.clocks import ClocksTooLarge
from splitbrain.checkers.order.past import Past
from splitbrain.checkers.order.versions import versions
from splitbrain.checkers.sessions.newer import Newer
from splitbrain.checkers.sessions.own import Missed
from splitbrain.core.evidence import Evidence
from splitbrain.core.verdict import Anomaly, Verdict

_TOLD = 100
"""Of how many findings the ones with the fewest operations are shown."""

Finder = Callable[[Newer], Sequence[Missed]]
Teller = Callable[[Case, Missed], str]


def judge(evidence: Evidence, name: str, find: Finder, why: Teller) -> Verdict:
    """Judge one session guarantee. name: of the anomaly. why: says why more should be seen."""
    case = prepare(evidence)
    if isinstance(case, Verdict):
        return case
    found, reasons, notes = Found(), [], []
    add_thin_air(case, found)
    try:
        past = Past(case.accesses)
    except ClocksTooLarge as limit:
        return conclude(case, found, reasons=[str(limit)])
    known = versions(case.accesses)
    if len(past.clocks.stuck):
        reasons.append("operations come before themselves, so that nothing is newer: see causal")
    else:
        newer = Newer(past, known)
        missed = find(newer)
        told = [_anomaly(case, newer, item, name, why) for item in missed[:_TOLD]]
        found.add(sorted(told, key=lambda item: len(item.operations)), len(missed))
    if len(known.refuted):
        notes.append(
            f"the versions of {len(known.refuted)} keys are not used: a read returned another "
            "write than the last one up to its version"
        )
    keys = np.unique(case.accesses.key[case.accesses.writes])
    return conclude(
        case,
        found,
        reasons=reasons,
        notes=notes,
        keys_by_version=int(known.trusted[keys].sum()),
    )


def _anomaly(case: Case, newer: Newer, item: Missed, name: str, why: Teller) -> Anomaly:
    source = int(case.accesses.source[item.read])
    entries = {item.read, item.write, *item.by}
    told = f"{case.told(item.read)}{saw(case, item.read)}"
    if source < 0:
        told += ", the initial value"
    else:
        entries.add(source)
        told += f", which is older than {_value(case, item.write)}"
        if newer.versions.trusted[case.accesses.key[item.write]]:
            history = case.history.version
            old, new = (history.value(int(case.accesses.row[e])) for e in (source, item.write))
            told += f" (version {old}, and the other {new})"
        else:
            path = newer.past.path(source, item.write)
            entries |= set(path)
            told += f" ({story(case, path)})"
    return Anomaly(
        name=name,
        explanation=f"{told}, although {why(case, item)}",
        operations=case.operations(entries),
    )


def _value(case: Case, entry: int) -> str:
    operation = case.accesses.operation(entry)
    argument = operation.argument
    if operation.f == "cas" and isinstance(argument, list):
        return shown(argument[1])
    return shown(argument)
