"""Reads that return what was overwritten for certain before they began, and reads of the future."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.causality.patterns import saw
from splitbrain.checkers.freshness.spans import Latest, Spans
from splitbrain.checkers.order.case import SHOWN_OF_EACH, Case
from splitbrain.core.columns import Integers
from splitbrain.core.operation import Outcome
from splitbrain.core.verdict import Anomaly


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Reads, each with a write that came strictly between its source and itself."""

    read: Integers
    write: Integers


def stale_reads(spans: Spans) -> Stale:
    """Give the reads whose source was overwritten in real time before they began."""
    accesses = spans.accesses
    writes = np.flatnonzero(accesses.writes & ~accesses.late)
    latest = Latest.of(spans, writes, spans.end[writes], spans.begin[writes])
    reads = np.flatnonzero(accesses.reads)
    begun, write = latest.before(reads)
    source = accesses.source[reads]
    ended = np.where(source >= 0, spans.end[source], 0)
    found = begun > ended
    return Stale(read=reads[found], write=write[found])


def future_reads(spans: Spans) -> Integers:
    """Give the reads that ended before their source began."""
    accesses = spans.accesses
    reads = np.flatnonzero(accesses.source >= 0)
    found: Integers = reads[spans.end[reads] < spans.begin[accesses.source[reads]]]
    return found


def inversions(spans: Spans) -> Integers:
    """Give the reads of what is older than an earlier read had returned: new, then old."""
    accesses = spans.accesses
    reads = np.flatnonzero(accesses.source >= 0)
    ended = reads[~accesses.late[reads]]
    value = spans.begin[accesses.source[ended]]
    newest, _ = Latest.of(spans, ended, spans.end[ended], value).before(reads)
    found: Integers = reads[newest > spans.end[accesses.source[reads]]]
    return found


def told_stale(case: Case, stale: Stale) -> list[Anomaly]:
    """Explain the first of the stale reads."""
    anomalies = []
    for read, write in list(zip(stale.read.tolist(), stale.write.tolist(), strict=True))[
        :SHOWN_OF_EACH
    ]:
        reader, newer = case.accesses.operation(read), case.accesses.operation(write)
        source = int(case.accesses.source[read])
        older = "it is the initial value"
        if source >= 0:
            older = f"{case.named(source)} had ended before that began"
        anomalies.append(
            Anomaly(
                name="stale-read",
                explanation=f"{case.told(read)}{saw(case, read)}, although {case.named(write)} had "
                f"completed {case.phrases.earlier(newer, reader)} it began, and {older}",
                operations=case.operations([read, write, *([source] if source >= 0 else [])]),
            )
        )
    return anomalies


def told_future(case: Case, reads: Integers) -> list[Anomaly]:
    """Explain the first of the reads of the future."""
    anomalies = []
    for read in reads[:SHOWN_OF_EACH].tolist():
        source = int(case.accesses.source[read])
        reader, writer = case.accesses.operation(read), case.accesses.operation(source)
        assert reader.outcome is Outcome.OK
        anomalies.append(
            Anomaly(
                name="future-read",
                explanation=f"{case.told(read)}{saw(case, read)}, and ended "
                f"{case.phrases.earlier(reader, writer)} {case.named(source)} began: nobody else "
                "wrote that",
                operations=case.operations([read, source]),
            )
        )
    return anomalies
