"""Makes an anomaly of a key that its clusters prove not linearizable: few operations, a sentence.

What is wrong by itself, and two clusters that cannot be put in order, get their names from the
rules of `diagnosis`, so that all routes speak alike. Only chains of compare-and-sets need more: the
operations that link their ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from splitbrain.checkers.linearizability.diagnosis import Finding, RegisterCase
from splitbrain.checkers.linearizability.key_view import KeyView
from splitbrain.checkers.linearizability.phrases import Phrases, shown
from splitbrain.checkers.linearizability.register_route import Judged
from splitbrain.core.columns import Booleans, Integers
from splitbrain.core.history import History
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly

_TRIED = 8
"""How many of the things that are wrong with a key are looked at, the earliest first."""

_LINKS_SHOWN = 6

BROKEN_CHAIN = "broken-cas-chain"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tie:
    """Two operations on values that stand together. ended: ended early. begun: began late.

    ended is None where the value was there from the beginning, and nobody needs to have seen it.
    links: the clusters that tie them, from the one value to the other along their chain.
    """

    ended: int | None
    begun: int
    links: tuple[int, ...]


class Witness:
    """Explains what is wrong with keys of a history."""

    def __init__(self, history: History, judged: Judged, initial: Value, phrases: Phrases) -> None:
        self._history = history
        self._judged = judged
        self._initial = initial
        self._phrases = phrases

    def anomaly(self, key: int) -> Anomaly:
        """Explain why the key of this number is not linearizable."""
        found = next(self._findings(key))
        rows = np.searchsorted(
            self._history.invoke_index, [item.invoke_index for item in found.operations]
        )
        operations = tuple(self._history[row] for row in sorted({*rows.tolist()}))
        return Anomaly(name=found.name, explanation=found.explanation, operations=operations)

    def _findings(self, key: int) -> Iterator[Finding]:
        view = KeyView(self._history, self._judged, key)
        yield from self._astray(view, key)
        yield from self._forks(view, key)
        yield from self._circles(view, key)
        ties = [*self._late(view, key), *self._crossing(view, key)]
        named = chain.from_iterable(self._named(view, self._rows(view, item)) for item in ties)
        yield from sorted(named, key=lambda item: len(item.operations))
        shortest = min(ties, key=lambda item: len(self._rows(view, item)))
        yield self._told(view, shortest)

    def _named(self, view: KeyView, rows: Sequence[int]) -> Iterator[Finding]:
        """Give the plainest name that the rules have for what these operations prove."""
        suspects = [view.operation(row) for row in rows]
        case = RegisterCase(suspects, view.everything(rows), self._initial, self._phrases)
        yield from (found for found in [next(case.findings(), None)] if found is not None)

    def _astray(self, view: KeyView, key: int) -> Iterator[Finding]:
        """Values from nowhere, and from the future."""
        rows = self._judged.faults.astray
        rows = np.unique(rows[self._judged.parts.key[rows] == key])
        order = np.argsort(view.end(rows), kind="stable")[:_TRIED]
        for row in rows[order].tolist():
            yield from self._named(view, [row])
        for row in rows[order].tolist():
            yield self._finding(
                view,
                f"{self._named_of(view, row)} took effect, {self._shown_by(view, row)}, but the "
                "value that it expected was never there",
                [row, *view.proof(row)],
            )

    def _forks(self, view: KeyView, key: int) -> Iterator[Finding]:
        """Two compare-and-sets that took the same value."""
        for cluster in self._of(self._judged.faults.forked, key)[:_TRIED]:
            first, second = view.taker(cluster)[:2]
            yield from self._named(view, [first, second])
            rows = [*view.setter(cluster), first, second, *view.proof(first), *view.proof(second)]
            value = shown(view.value(cluster, self._initial))
            yield self._finding(
                view,
                f"{self._named_of(view, first)} and {self._named_of(view, second)} both took "
                f"{value}, which was there only once",
                rows,
                name="double-cas",
            )

    def _circles(self, view: KeyView, key: int) -> Iterator[Finding]:
        """Values that came from each other alone."""
        for cluster in self._of(self._judged.faults.circular, key)[:1]:
            around, at = [cluster], int(self._judged.clusters.taken[cluster])
            while at not in around:
                around.append(at)
                at = int(self._judged.clusters.taken[at])
            around = around[around.index(at) :]
            values = " from ".join(
                shown(view.value(item, self._initial)) for item in [*around, around[0]]
            )
            rows = [*chain.from_iterable(view.setter(item) for item in around)]
            yield self._finding(
                view,
                f"compare-and-sets made {values}, and nobody else wrote any of these: the first of "
                "them found a value that was not there yet",
                [*rows, *view.proof(rows[0])],
            )

    def _late(self, view: KeyView, key: int) -> Iterator[tuple[_Tie, ...]]:
        """Something in a chain that had ended when something earlier in the chain began."""
        found, clusters = self._judged.chains, self._judged.clusters
        places = self._judged.faults.late
        places = places[clusters.key[found.members[places]] == key]
        order = np.argsort(clusters.first_end[found.members[places]], kind="stable")[:_TRIED]
        for place in places[order].tolist():
            start = int(found.starts[np.searchsorted(found.starts, place, "right") - 1])
            members = found.members[start : place + 1]
            too_late = clusters.last_start[members[:-1]] > clusters.first_end[members[-1]]
            links = members[int(np.flatnonzero(too_late)[-1]) :]
            yield (self._tie(view, int(links[-1]), int(links[0]), links),)

    def _crossing(self, view: KeyView, key: int) -> Iterator[tuple[_Tie, ...]]:
        """Two blocks that must each come before the other."""
        judged, first = self._judged, self._judged.clusters.first_end
        left, right = judged.faults.blocks
        heads = np.concatenate([judged.lone, judged.chains.members[judged.chains.starts]])
        here = np.flatnonzero(judged.clusters.key[heads[left]] == key)
        order = np.argsort(np.maximum(first[heads[left[here]]], first[heads[right[here]]]))
        for place in here[order][:_TRIED].tolist():
            one, other = self._block(int(left[place])), self._block(int(right[place]))
            yield self._tied(view, one, other)

    def _block(self, number: int) -> Integers:
        """Give the clusters of a block in their order."""
        judged = self._judged
        if number < len(judged.lone):
            return judged.lone[number : number + 1]
        at = number - len(judged.lone)
        starts, members = judged.chains.starts, judged.chains.members
        return members[starts[at] : starts[at + 1] if at + 1 < len(starts) else len(members)]

    def _tied(self, view: KeyView, one: Integers, other: Integers) -> tuple[_Tie, ...]:
        """Give what ended early and began late in each of two blocks, as few links apart as can be.

        What ended in the one must have done so before what began in the other did.
        """
        first, last = self._judged.clusters.first_end, self._judged.clusters.last_start
        end, start = int(np.min(first[other])), int(np.max(last[other]))
        mine = _nearest(first[one] < start, last[one] > end)
        end, start = int(first[one[mine[0]]]), int(last[one[mine[1]]])
        theirs = _nearest(first[other] < start, last[other] > end)
        return tuple(
            self._tie(view, int(block[at[0]]), int(block[at[1]]), block[min(at) : max(at) + 1])
            for block, at in ((one, mine), (other, theirs))
        )

    def _tie(self, view: KeyView, ended: int, begun: int, links: Integers) -> _Tie:
        return _Tie(
            ended=view.first_ended(ended),
            begun=view.last_begun(begun),
            links=tuple(links.tolist()),
        )

    def _rows(self, view: KeyView, ties: Iterable[_Tie]) -> list[int]:
        rows: list[int] = []
        for tie in ties:
            setters = [*chain.from_iterable(view.setter(item) for item in tie.links)]
            rows += [*([] if tie.ended is None else [tie.ended]), tie.begun, *setters]
        return sorted({*rows, *chain.from_iterable(view.proof(row) for row in rows)})

    def _told(self, view: KeyView, ties: tuple[_Tie, ...]) -> Finding:
        """Tell what the rules for single values have no name for."""
        rows = self._rows(view, ties)
        told = [self._told_chain(view, tie.links) for tie in ties if len(tie.links) > 1]
        joined = ", and ".join(told)
        shown_by = self._told_proofs(view, ties)
        if len(ties) == 1:
            return self._finding(
                view,
                f"{self._before(view, ties[0].ended, ties[0].begun)}; but {joined}, so that the "
                f"earlier value cannot be there after the later one{shown_by}",
                rows,
            )
        one, other = ties
        return self._finding(
            view,
            f"{self._before(view, one.ended, other.begun)}, and "
            f"{self._before(view, other.ended, one.begun)}; but {joined}, and nothing can have "
            f"been there in between{shown_by}",
            rows,
        )

    def _told_proofs(self, view: KeyView, ties: Iterable[_Tie]) -> str:
        """Tell how it is known of what has an unknown outcome that it took effect."""
        setters = chain.from_iterable(view.setter(item) for tie in ties for item in tie.links)
        proved = [
            f"{self._named_of(view, row)} took effect, {self._shown_by(view, row)}"
            for row in setters
            if view.proof(row)
        ]
        return f" ({', and '.join(proved)})" if proved else ""

    def _told_chain(self, view: KeyView, links: Sequence[int]) -> str:
        values = [shown(view.value(item, self._initial)) for item in links]
        if len(values) > _LINKS_SHOWN:
            values = [*values[:2], f"{len(values) - 3} more", values[-1]]
        return f"compare-and-sets made {' into '.join(values)}"

    def _before(self, view: KeyView, first: int | None, second: int) -> str:
        other = view.operation(second)
        if first is None:
            return f"{shown(self._initial)} was there before {self._phrases.named(other)} began"
        one = view.operation(first)
        gap = self._phrases.earlier(one, other)
        return f"{self._phrases.told(one)} {gap} {self._phrases.named(other)} began"

    def _named_of(self, view: KeyView, row: int) -> str:
        return self._phrases.named(view.operation(row))

    def _shown_by(self, view: KeyView, row: int) -> str:
        proof = view.proof(row)
        return f"as {self._named_of(view, proof[0])} shows" if proof else "as it said"

    def _finding(
        self, view: KeyView, explanation: str, rows: Sequence[int], *, name: str = BROKEN_CHAIN
    ) -> Finding:
        operations = tuple(view.operation(row) for row in sorted(set(rows)))
        return Finding(name=name, explanation=explanation, operations=operations)

    def _of(self, clusters: Integers, key: int) -> list[int]:
        """Give those of some clusters that belong to a key."""
        here: list[int] = clusters[self._judged.clusters.key[clusters] == key].tolist()
        return here


def _nearest(ended: Booleans, begun: Booleans) -> tuple[int, int]:
    """Give two places, one of each mask, that are nearest to each other."""
    left, right = np.flatnonzero(ended), np.flatnonzero(begun)
    at = np.searchsorted(right, left)
    after = right[np.minimum(at, len(right) - 1)]
    before = right[np.maximum(at - 1, 0)]
    partner = np.where(np.abs(after - left) < np.abs(before - left), after, before)
    best = int(np.argmin(np.abs(partner - left)))
    return int(left[best]), int(partner[best])
