"""Linearizability: registers with unique values, beside Porcupine."""

from __future__ import annotations

import numpy as np

from checker_rows.registers import register_history
from checker_rows.row import Case, Row
from splitbrain.checkers.linearizability.encoding import Encoder
from splitbrain.checkers.linearizable import Linearizable
from splitbrain.checkers.models import model_named
from splitbrain.checkers.porcupine.process import Request, ask
from splitbrain.core.evidence import Evidence, from_history

RIVAL_LIMIT_S = 20.0
RIVAL_MEMORY_MB = 4096


def _make(case: Case) -> Evidence:
    return from_history(register_history(case), initial=None)


def _make_cas(case: Case) -> Evidence:
    return from_history(register_history(case, cas_share=0.3), initial=None)


def _check(evidence: Evidence) -> str:
    return Linearizable().check(evidence).status.value


def _warm() -> None:
    _check(from_history(register_history(Case(100, 5)), initial=None))
    np.unique(np.arange(10))


def _porcupine(evidence: Evidence) -> tuple[float, str]:
    """Give what the search itself took, without making its request and starting it."""
    assert evidence.history is not None
    encoder = Encoder(model_named("cas-register", evidence.history))
    found = [encoder.encode(key, part, None) for key, part in evidence.history.by_key()]
    request = Request(
        time_limit_ms=int(RIVAL_LIMIT_S * 1000),
        memory_limit_bytes=RIVAL_MEMORY_MB * 1024 * 1024,
        partitions=[item.partition for item in found],
        explain=False,
    )
    answers = ask(request)
    kinds = {answer.answer for answer in answers.partitions}
    worst = next(kind for kind in ("illegal", "unknown", "ok") if kind in kinds)
    reasons = sorted({answer.reason for answer in answers.partitions if answer.reason})
    return answers.seconds, " ".join([worst, *reasons])


ROWS = (
    Row(
        name="linearizable",
        cases=(
            Case(1_000, 10, rival=True),
            Case(10_000, 10, rival=True),
            Case(10_000, 50, 0.05, rival=True),
            Case(100_000, 50, 0.05, rival=True),
            Case(1_000_000, 5, 0.05),
            Case(1_000_000, 50, 0.0),
            Case(1_000_000, 50, 0.05),
            Case(1_000_000, 500, 0.05),
            Case(10_000_000, 50, 0.05),
        ),
        make=_make,
        check=_check,
        warm=_warm,
        rival=_porcupine,
    ),
    Row(
        name="linearizable-keyed",
        cases=(
            Case(10_000, 50, 0.05, keys=100, rival=True),
            Case(100_000, 50, 0.05, keys=1000, rival=True),
            Case(1_000_000, 50, 0.05, keys=10_000),
            Case(10_000_000, 50, 0.05, keys=100_000),
        ),
        make=_make,
        check=_check,
        warm=_warm,
        rival=_porcupine,
    ),
    Row(
        name="linearizable-cas",
        cases=(
            Case(10_000, 10, 0.05, rival=True),
            Case(100_000, 10, 0.05),
            Case(1_000_000, 10, 0.05),
        ),
        make=_make_cas,
        check=_check,
        warm=_warm,
        rival=_porcupine,
    ),
)
