"""Linearizability: every operation takes effect at one instant between its start and its end.

Herlihy & Wing 1990. Objects are judged apart, key by key, which decides the whole (locality). Each
key takes the first route that can decide it:

- `clusters`: registers and compare-and-set whose seen values were set once, exactly and all in one
  pass (Gibbons & Korach 1997);
- `versions`: the order that replies gave, which decides when it explains everything;
- `porcupine`: the search (Wing & Gong 1993, Lowe 2017), in a process of its own, within limits of
  time and memory; what is not decided within them is unknown, with the length of the prefix that
  was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from splitbrain.checkers.linearizability.encoding import Encoded, Encoder
from splitbrain.checkers.linearizability.found import Found, Searched
from splitbrain.checkers.linearizability.phrases import shown
from splitbrain.checkers.linearizability.register_route import Judged, Judgement, judge
from splitbrain.checkers.linearizability.versions import confirmed_by_versions
from splitbrain.checkers.models import MODELS, Model, model_for, model_named
from splitbrain.checkers.porcupine.process import Request, ask
from splitbrain.core.columns import Booleans
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.history import OK_CODE, History
from splitbrain.core.value import Value
from splitbrain.core.verdict import Status, Verdict, unknown

MINIMUM_OK = "minimum_ok"
"""The fact that says how many operations must have succeeded for a verdict; 1 unless told."""

_REASON_LIMIT = 10

_REASONS = {
    "time": "the time limit of {time_limit_s:g} s ran out",
    "memory": "the memory limit of {memory_mb} MB ran out",
    "predicted-memory": "it needs more than the memory limit of {memory_mb} MB",
}


class Linearizable:
    """Judges each key of a history against a sequential model.

    model: register, cas-register or keyed-store; None takes the smallest one that knows every `f`.
    time_limit_s, memory_mb: of the search over all keys.
    """

    def __init__(
        self, model: str | None = None, time_limit_s: float = 60, memory_mb: int = 2048
    ) -> None:
        if time_limit_s <= 0 or memory_mb < 1:
            message = "linearizable needs a time limit above 0 s and a memory limit of 1 MB or more"
            raise UsageError(message)
        self._model = model
        self._time_limit_s = time_limit_s
        self._memory_mb = memory_mb

    @property
    def name(self) -> str:
        """The name under which the verdict is filed."""
        return "linearizable"

    @property
    def needs(self) -> frozenset[Need]:
        """The kinds of evidence without which there is no verdict."""
        return frozenset({Need.HISTORY})

    def parameters(self) -> Mapping[str, Value]:
        """The parameters from which the catalogue can build this checker again."""
        return {
            "model": self._model,
            "time_limit_s": self._time_limit_s,
            "memory_mb": self._memory_mb,
        }

    def check(self, evidence: Evidence) -> Verdict:
        """Judge the history of this evidence.

        Raises: CheckerError when there is no Porcupine helper and one is needed, UsageError for an
        unknown model.
        """
        history = evidence.history
        if history is None:
            return unknown("there is no history")
        initial = evidence.facts.get("initial")
        model = self._choose(history, initial)
        refusal = _refusal(history, model, _required(evidence))
        if refusal is not None or model is None:
            return unknown(refusal or "no model fits", operations=len(history))
        judged = judge(history, model, initial)
        confirmed = confirmed_by_versions(history, judged, model, initial)
        rest = np.isin(judged.judgement, (Judgement.OTHERS, Judgement.REFUSALS))
        rest[confirmed] = False
        searched = self._search(_rows_of(history, judged, rest), model, initial)
        found = Found(history, initial, judged, confirmed, searched)
        reasons = [*_problems(searched.keys), *self._undecided(found)]
        emptiness = found.emptiness()
        if not reasons and emptiness and _required(evidence):
            reasons = [*emptiness]
        anomalies = found.anomalies()
        status = Status.INVALID if anomalies else Status.UNKNOWN if reasons else Status.VALID
        return Verdict(
            status=status,
            anomalies=anomalies,
            reasons=_capped(reasons) or emptiness,
            stats={"model": model.name, **found.stats()},
        )

    def _search(self, history: History, model: Model, initial: Value) -> Searched:
        """Have Porcupine judge every key of a history."""
        encoder = Encoder(model)
        keys = [encoder.encode(key, part, initial) for key, part in history.by_key()]
        asked = [item for item in keys if item.problem is None]
        answers = ask(self._request(asked, encoder))
        return Searched(
            keys=keys,
            found=list(zip(asked, answers.partitions, strict=True)),
            seconds=answers.seconds,
        )

    def _choose(self, history: History, initial: Value) -> Model | None:
        if self._model is None:
            return model_for(history, initial)
        return model_named(self._model, history, initial)

    def _request(self, judged: Sequence[Encoded], encoder: Encoder) -> Request:
        return Request(
            time_limit_ms=max(1, int(self._time_limit_s * 1000)),
            memory_limit_bytes=self._memory_mb * 1024 * 1024,
            partitions=[item.partition for item in judged],
            tokens=encoder.tokens,
        )

    def _undecided(self, found: Found) -> list[str]:
        """Say of each key that stayed unknown why, and how far it was checked."""
        lines = []
        for encoded, answer in found.searched.found:
            if answer.answer != "unknown":
                continue
            why = _REASONS.get(answer.reason, answer.reason).format(
                time_limit_s=self._time_limit_s, memory_mb=self._memory_mb
            )
            lines.append(f"{_name(encoded)}: {why}; {found.as_far_as(encoded, answer)}")
        return lines


def _required(evidence: Evidence) -> int:
    """Give how many operations must have succeeded."""
    minimum_ok = evidence.facts.get(MINIMUM_OK, 1)
    return minimum_ok if isinstance(minimum_ok, int) else 1


def _refusal(history: History, model: Model | None, required: int) -> str | None:
    """Give the reason why this history cannot be judged at all, None if it can."""
    succeeded = int((history.outcome == OK_CODE).sum())
    if succeeded < required:
        return f"{_count(succeeded, 'operation')} succeeded, {required} or more must have"
    if model is None or not set(history.functions) <= model.functions:
        known = MODELS if model is None else {model.name: model}
        names = ", ".join(sorted(set(history.functions) - _known(history, known)))
        return f"no model of {', '.join(known)} knows the operation {names}"
    return None


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _known(history: History, names: Iterable[str]) -> set[str]:
    """Give the operations that the last, and most capable, of these models knows."""
    return set(model_named([*names][-1], history).functions)


def _rows_of(history: History, judged: Judged, keys: Booleans) -> History:
    """Give the history of some keys, by their numbers."""
    wanted = keys[judged.parts.key]
    return history if len(wanted) and wanted.all() else history.take(wanted)


def _problems(keys: Sequence[Encoded]) -> list[str]:
    return [f"{_name(item)}: {item.problem}" for item in keys if item.problem is not None]


def _name(encoded: Encoded) -> str:
    return "the history" if encoded.key is None else f"key {shown(encoded.key)}"


def _capped(reasons: Sequence[str]) -> tuple[str, ...]:
    more = len(reasons) - _REASON_LIMIT
    tail = [f"and {more} keys more"] if more > 0 else []
    return (*reasons[:_REASON_LIMIT], *tail)
