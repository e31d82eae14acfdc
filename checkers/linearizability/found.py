"""What all routes together found in a history: anomalies, figures, and what was not used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.linearizability.anomaly import anomaly, unexplained
from splitbrain.checkers.linearizability.encoding import Encoded
from splitbrain.checkers.linearizability.phrases import Phrases, shown
from splitbrain.checkers.linearizability.register_route import Judged, Judgement
from splitbrain.checkers.linearizability.witness import Witness
from splitbrain.checkers.porcupine.process import PENDING, REFUSED, Answer
from splitbrain.core.columns import Booleans, Integers
from splitbrain.core.history import OK_CODE, History
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly

_ANOMALY_LIMIT = 10
_SHOWN_LIMIT = 12

_UNSEEN = "unseen operations of unknown outcome"
_REFUSED = "refused compare-and-sets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What Porcupine was asked, and answered. keys: those with a problem were not asked about."""

    keys: Sequence[Encoded]
    found: Sequence[tuple[Encoded, Answer]]
    seconds: float

    @property
    def illegal(self) -> list[tuple[Encoded, Answer]]:
        """The keys that are not linearizable."""
        return [pair for pair in self.found if pair[1].answer == "illegal"]


@dataclass(frozen=True, slots=True)
class Found:
    """The keys of a history by the route that decided them.

    confirmed: numbers of keys that their versions explain; they are for nobody else.
    """

    history: History
    initial: Value
    judged: Judged
    confirmed: Integers
    searched: Searched

    def anomalies(self) -> tuple[Anomaly, ...]:
        """Explain the keys that are not linearizable, as far as there is room for them."""
        broken = self._broken()[:_ANOMALY_LIMIT]
        illegal = self.searched.illegal[: _ANOMALY_LIMIT - len(broken)]
        return (
            *(self._witnessed(key) for key in broken),
            *(self._searched(encoded, answer) for encoded, answer in illegal),
        )

    def emptiness(self) -> tuple[str, ...]:
        """Say that there is nothing that could have contradicted anything."""
        parts = self.judged.parts
        swaps_done = bool((~parts.pending[parts.swaps]).any())
        if len(parts.reads) or swaps_done or len(parts.refusals):
            return ()
        if any(item.problem is None and item.observed for item in self.searched.keys):
            return ()
        if (self.history.outcome == OK_CODE).any():
            return (
                "no read and no compare-and-set succeeded: nothing was seen that could be wrong",
            )
        return ("no operation succeeded, so that none can contradict another",)

    def as_far_as(self, encoded: Encoded, answer: Answer) -> str:
        """Say what is known of a key that Porcupine did not decide."""
        row = int(np.searchsorted(self.history.invoke_index, encoded.history.invoke_index[0]))
        if self.judged.judgement[self.judged.parts.key[row]] == Judgement.REFUSALS:
            number = encoded.partition.kind.count(REFUSED)
            return f"all but its {number} {_REFUSED} is linearizable"
        ended = sum(1 for end in encoded.partition.return_ if end != PENDING)
        return f"the first {answer.checked} of {ended} completed operations are linearizable"

    def stats(self) -> dict[str, Value]:
        """Give the figures."""
        verdicts = Counter(answer.answer for _, answer in self.searched.found)
        illegal = len(self._broken()) + verdicts["illegal"]
        undecided = len(self.searched.keys) - verdicts["illegal"] - verdicts["ok"]
        routes = self._routes()
        return {
            "route": ", ".join(routes) or "none",
            "routes": routes,
            "keys": int((self.judged.judgement != Judgement.UNUSED).sum()),
            "operations": len(self.history),
            "judged": self._judged(),
            "keys_illegal": illegal,
            "keys_unknown": undecided,
            "anomalies_not_shown": max(0, illegal - _ANOMALY_LIMIT),
            "not_used": dict(sorted(self._unused().items())),
            "seconds": round(self.searched.seconds, 3),
        }

    def _routes(self) -> dict[str, Value]:
        """Count keys and operations by the route that judged them."""
        sizes = np.bincount(self.judged.parts.key, minlength=len(self.judged.judgement))
        mine = self._decided()
        asked = [len(item.history) for item, _ in self.searched.found]
        counts = {
            "clusters": (int(mine.sum()), int(sizes[mine].sum())),
            "versions": (len(self.confirmed), int(sizes[self.confirmed].sum())),
            "porcupine": (len(asked), sum(asked)),
        }
        return {
            name: {"keys": keys, "operations": operations}
            for name, (keys, operations) in counts.items()
            if keys
        }

    def _decided(self) -> Booleans:
        """Give the keys that clusters decided."""
        return np.isin(self.judged.judgement, (Judgement.HOLDS, Judgement.BROKEN))

    def _by_columns(self) -> Booleans:
        """Give the keys that were not searched."""
        mine = self._decided()
        mine[self.confirmed] = True
        return mine

    def _judged(self) -> int:
        mine = self._by_columns()[self.judged.parts.key]
        return (
            int(mine.sum())
            - sum(self._silent().values())
            + sum(len(item.rows) for item, _ in self.searched.found)
        )

    def _silent(self) -> Counter[str]:
        """Count the operations that said nothing, outside of the keys that were searched."""
        parts, clusters = self.judged.parts, self.judged.clusters
        mine = self._by_columns()
        counts = {why: mine[parts.key[rows]].sum() for why, rows in parts.silent.items()}
        size = len(clusters.row)
        unseen = clusters.row[~clusters.is_in[:size]]
        idle = parts.swaps[(parts.swap_old == parts.swap_new) & parts.pending[parts.swaps]]
        counts[_UNSEEN] = mine[parts.key[unseen]].sum() + mine[parts.key[idle]].sum()
        return Counter({why: int(number) for why, number in counts.items() if number})

    def _unused(self) -> Counter[str]:
        """Count what was not used, by why."""
        unused = sum((item.unused for item in self.searched.keys), self._silent())
        parts = self.judged.parts
        broken = self.judged.judgement[parts.key[parts.refusals]] == Judgement.BROKEN
        undecided = [item for item, answer in self.searched.found if answer.answer == "unknown"]
        refused = int(broken.sum()) + sum(item.partition.kind.count(REFUSED) for item in undecided)
        return unused + Counter({_REFUSED: refused} if refused else {})

    def _broken(self) -> list[int]:
        """Give the keys that clusters prove not linearizable, in the order of their first use."""
        key = self.judged.parts.key
        broken = self.judged.judgement == Judgement.BROKEN
        if not broken.any():
            return []
        rows = np.flatnonzero(broken[key])
        numbers, first = np.unique(key[rows], return_index=True)
        ordered: list[int] = numbers[np.argsort(first)].tolist()
        return ordered

    def _phrases(self) -> Phrases:
        """Give words that tell times from when the run began, on the clock of the history."""
        return Phrases(int(self.history.start_ns.min()) if len(self.history) else 0)

    def _witnessed(self, key: int) -> Anomaly:
        """Explain one key; whatever goes wrong there, what was proved stays proved."""
        witness = Witness(self.history, self.judged, self.initial, self._phrases())
        try:
            return witness.anomaly(key)
        except Exception as error:  # noqa: BLE001 - a verdict must not be lost for want of words
            rows = np.flatnonzero(self.judged.parts.key == key)
            name = shown(self.history.key.value(int(rows[0])))
            return Anomaly(
                name="nonlinearizable",
                explanation=f"no order explains the {len(rows)} operations of key {name}; the "
                "first of them are shown, since the search for those that prove it failed: "
                f"{type(error).__name__}: {error}",
                operations=tuple(self.history[row] for row in rows[:_SHOWN_LIMIT].tolist()),
            )

    def _searched(self, encoded: Encoded, answer: Answer) -> Anomaly:
        """Explain one key; whatever goes wrong there, what was proved stays proved."""
        origin_ns = self._phrases().origin_ns
        try:
            return anomaly(encoded, answer, encoded.model, self.initial, origin_ns=origin_ns)
        except Exception as error:  # noqa: BLE001 - as above
            return unexplained(encoded, f"{type(error).__name__}: {error}")
