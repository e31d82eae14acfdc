"""Reads and writes at STRONG and EVENTUAL: asks the replicas of a key, and waits for enough.

STRONG is ABD with many writers (Attiya, Bar-Noy, Dolev 1995; Lynch and Shvartsman 1997). With
R+W>N: a write whose W replicas are reached is seen by every later question to R replicas, so a
later write gets a greater stamp and a later read a version at least as great. A read that W
replicas did not already agree upon writes back what it found, so a read after it finds no less.
Hence the order of (stamp, dot) is a linearization. A write that ends as `timeout` may take effect
whenever some read or repair carries it on, which is what "unknown" means.

EVENTUAL is Dynamo's (DeCandia et al. 2007, section 4). A version is made by a replica of its key,
which has all versions that it ever made, so that clocks are exact; other nodes forward. With sloppy
quorums a node that hears none of the replicas stands in, under a name of its own.
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..canonical import Json, canonical_text, parse
from .cell import Cell, Version, in_order
from .clocks import Dot, Seen
from .config import Conflict, Level, Timestamps
from .messages import Get, Got, Put, PutAck
from .outbox import Asker, Outbox
from .peers import Peers
from .policy import Policy
from .replica import Replica, dots_of
from .requests import Request, context_to_json
from .storage import Place

HANDOFF_RETRY_NS = 500_000_000
"""How long after it was sent a hint is sent again."""

HANDOFFS = 32
"""How many hints are sent at a time."""


@dataclass(slots=True, kw_only=True)
class Question:
    """A question to the replicas of a key.

    enough: called once `needed` nodes have answered. short: called when time is up before that.
    """

    id: int
    level: Level
    key: str
    asked: tuple[str, ...]
    needed: int
    deadline_ns: int
    enough: Callable[[Question], None]
    short: Callable[[Question], None]
    cells: dict[str, Cell] = field(default_factory=dict)
    is_answered: bool = False


@dataclass(slots=True, kw_only=True)
class Spread:
    """A cell on its way to the replicas of its key.

    asked: replicas that it was sent to. acks: those that have it durably. hints: stand-ins that
    have it, with whom they stand in for. standing: stand-ins that were asked, likewise.
    """

    id: int
    level: Level
    key: str
    cell: Cell
    replicas: tuple[str, ...]
    needed: int
    deadline_ns: int
    hint_ns: int
    is_sloppy: bool
    enough: Callable[[Spread], None]
    short: Callable[[Spread], None]
    asked: set[str] = field(default_factory=set)
    acks: set[str] = field(default_factory=set)
    hints: dict[str, str] = field(default_factory=dict)
    standing: dict[str, str] = field(default_factory=dict)
    is_answered: bool = False

    @property
    def missing(self) -> list[str]:
        """The replicas that have not acknowledged."""
        return [node for node in self.replicas if node not in self.acks]


class Coordinator:
    """Carries out reads and writes on behalf of clients, and answers other coordinators."""

    def __init__(self, outbox: Outbox, policy: Policy, replica: Replica, peers: Peers) -> None:
        self._outbox = outbox
        self._policy = policy
        self._replica = replica
        self._peers = peers
        self._me = outbox.options.node
        self._questions: dict[int, Question] = {}
        self._spreads: dict[int, Spread] = {}
        self._handoffs: dict[int, tuple[str, Level, str, Cell]] = {}
        self._handed_ns: dict[tuple[str, Level, str], int] = {}

    # -- requests

    def makes(self, request: Request) -> bool:
        """Tell whether this node itself carries out a request, or a replica must."""
        if request.is_read or request.level is Level.STRONG:
            return True
        return self._replica.holds(request.key)

    def delegate(self, request: Request) -> str | None:
        """Give the replica that a request is forwarded to; None when this node must stand in."""
        replicas = self._replica.replicas(request.key)
        for node in replicas:
            if self._peers.is_online(node):
                return node
        return None if self._outbox.options.sloppy else replicas[0]

    def take(self, asker: Asker, request: Request) -> None:
        """Carry out a request."""
        options = self._outbox.options
        if request.level is Level.STRONG and not options.quorums_meet:
            self._outbox.refuse(asker, "weak-quorum", "strong needs r + w > n")
        elif request.is_read:
            self._ask(
                request,
                lambda question: self._on_read(asker, request, question),
                lambda question: self._on_short_read(asker, request, question),
            )
        elif request.level is Level.STRONG or self._asks_for_stamp(request.key):
            self._ask(
                request,
                lambda question: self._on_stamps(asker, request, question),
                lambda _: self._outbox.refuse(asker, "unavailable"),
            )
        else:
            self._write(asker, request, self._stamp_of(request))

    def stop(self) -> None:
        """Answer whoever waits."""
        for question in list(self._questions.values()):
            if not question.is_answered:
                question.is_answered = True
                question.short(question)
        for spread in list(self._spreads.values()):
            if not spread.is_answered:
                spread.is_answered = True
                spread.short(spread)

    def _asks_for_stamp(self, key: str) -> bool:
        if self._policy.conflict(key) is not Conflict.LWW:
            return False
        return self._outbox.options.timestamps is Timestamps.QUORUM

    def _stamp_of(self, request: Request) -> int:
        wall_ns = max(0, self._outbox.wall_ns)
        if self._outbox.options.timestamps is Timestamps.WALL:
            return wall_ns
        return max(wall_ns, request.least + 1)

    # -- reads

    def _on_read(self, asker: Asker, request: Request, question: Question) -> None:
        chosen = self._policy.chosen(request.place, list(question.cells.values()))
        options = self._outbox.options
        agreed = sum(cell.newest == chosen.newest for cell in question.cells.values())
        if (
            request.level is not Level.STRONG
            or not chosen.versions
            or agreed >= options.write_quorum
            or not self._policy.writes_back()
        ):
            self._answer_read(asker, request, chosen, question)
            return
        self._spread(
            (request.level, request.key),
            chosen,
            lambda _: self._answer_read(asker, request, chosen, question),
            lambda _: self._outbox.refuse(asker, "unavailable"),
        )

    def _on_short_read(self, asker: Asker, request: Request, question: Question) -> None:
        may_be_stale = request.level is Level.EVENTUAL and self._outbox.options.stale_reads
        if may_be_stale and question.cells:
            chosen = self._policy.chosen(request.place, list(question.cells.values()))
            self._answer_read(asker, request, chosen, question)
        else:
            self._outbox.refuse(asker, "unavailable")

    def _answer_read(self, asker: Asker, request: Request, cell: Cell, question: Question) -> None:
        nodes = sorted(question.cells)
        is_stale = len(nodes) < question.needed
        dots = dots_of(cell)
        self._outbox.trace(
            "answered",
            level=str(request.level),
            key=parse(request.key),
            dots=dots,
            nodes=list[Json](nodes),
            needed=question.needed,
            stale=is_stale,
        )
        # Not merged with what the session had seen before: what it writes next may overwrite what
        # it read here, and nothing that this read, perhaps a stale one, did not return.
        seen = cell.seen
        body: dict[str, Json] = {
            "ok": True,
            "value": self._value_of(request.place, cell),
            "dots": dots,
            "answered": list[Json](nodes),
            "context": context_to_json(seen, max(request.least, cell.stamp)),
        }
        self._outbox.answer(asker, body | ({"stale": True} if is_stale else {}))

    def _value_of(self, place: Place, cell: Cell) -> Json:
        live = sorted(version.text for version in cell.versions if not version.deleted)
        if self._policy.keeps_newest(place):
            return parse(live[0]) if live else None
        if self._policy.conflict(place[1]) is Conflict.MERGE:
            return united([parse(text) for text in live])
        return [parse(text) for text in live]

    # -- writes

    def _on_stamps(self, asker: Asker, request: Request, question: Question) -> None:
        chosen = self._policy.chosen(request.place, list(question.cells.values()))
        self._write(asker, request, max(chosen.stamp, request.least) + 1)

    def _write(self, asker: Asker, request: Request, stamp: int) -> None:
        level, key = request.level, request.key
        replicas = self._replica.replicas(key)
        stands_in = level is Level.EVENTUAL and self._me not in replicas
        actor = self._replica.actor_for(replicas[0], level, key) if stands_in else self._me
        version = Version(
            dot=(actor, self._outbox.next_number()),
            stamp=stamp,
            context=request.seen,
            text=request.text,
            deleted=request.deletes,
        )
        if stands_in:
            base = self._replica.hints.get((replicas[0], level, key), Cell())
            cell = self._replica.hold(
                replicas[0], level, key, self._with(request.place, base, version)
            )
        else:
            cell = self._with(request.place, self._replica.cell(level, key), version)
        self._spread(
            (level, key),
            cell,
            lambda spread: self._on_written(asker, request, version, spread),
            lambda _: self._outbox.refuse(asker, "timeout"),
            hints={self._me: replicas[0]} if stands_in else {},
        )

    def _with(self, place: Place, base: Cell, version: Version) -> Cell:
        """Give a cell with one more version, which overwrites what its writer had seen.

        The maker of a version has all that it ever made of the key, so its clock may say so.
        """
        if self._policy.keeps_newest(place):
            return Cell((version,), version.context.up_to(version.dot))
        kept = [v for v in base.versions if not self._policy.overwrites(version.context, v.dot)]
        seen = base.seen.merged(version.context).up_to(version.dot)
        return Cell(in_order([*kept, version]), seen)

    def _on_written(self, asker: Asker, request: Request, version: Version, spread: Spread) -> None:
        acks, hints = sorted(spread.acks), dict(sorted(spread.hints.items()))
        self._outbox.trace(
            "acked",
            level=str(request.level),
            key=parse(request.key),
            dot=list(version.dot),
            stamp=version.stamp,
            context=version.context.to_json(),
            value=parse(version.text),
            deleted=version.deleted,
            asked=list[Json](sorted(spread.asked)),
            acks=list[Json](acks),
            hints=hints,
            needed=spread.needed,
        )
        seen = self._after(request.place, request.seen, version.dot)
        self._outbox.answer(
            asker,
            {
                "ok": True,
                "value": None,
                "dot": list(version.dot),
                "stamp": version.stamp,
                "acks": list[Json](acks),
                "hints": hints,
                "context": context_to_json(seen, max(request.least, version.stamp)),
            },
        )

    def _after(self, place: Place, seen: Seen, dot: Dot) -> Seen:
        """Give what a session has seen after a write: that one, and not its maker's others."""
        return seen.up_to(dot) if self._policy.keeps_newest(place) else seen.with_dot(dot)

    # -- asking

    def _ask(
        self,
        request: Request,
        enough: Callable[[Question], None],
        short: Callable[[Question], None],
    ) -> None:
        options = self._outbox.options
        question = Question(
            id=self._outbox.next_number(),
            level=request.level,
            key=request.key,
            asked=self._asked_to_read(request),
            needed=options.read_quorum,
            deadline_ns=self._outbox.now_ns + options.timeout_ns,
            enough=enough,
            short=short,
        )
        self._questions[question.id] = question
        for node in question.asked:
            if node != self._me:
                self._outbox.send(node, Get(id=question.id, level=request.level, key=request.key))
        if self._me in question.asked:
            self._on_cell(self._me, question, self._held(request.level, request.key))

    def _asked_to_read(self, request: Request) -> tuple[str, ...]:
        """Give the replicas; with sloppy quorums also who stands in for those offline."""
        replicas = self._replica.replicas(request.key)
        if request.level is Level.STRONG or not self._outbox.options.sloppy:
            return replicas
        away = sum(not self._peers.is_online(node) for node in replicas)
        spare = [
            node
            for node in self._replica.order(request.key)
            if node not in replicas and self._peers.is_online(node)
        ]
        return (*replicas, *spare[:away])

    def _held(self, level: Level, key: str) -> Cell:
        if level is Level.EVENTUAL and self._outbox.options.sloppy:
            return self._replica.holding(level, key)
        return self._replica.cell(level, key)

    def on_get(self, sender: str, message: Get) -> None:
        """Tell another coordinator what this node holds."""
        cell = self._held(message.level, message.key)
        self._outbox.send(sender, Got(id=message.id, cell=cell))

    def on_got(self, sender: str, message: Got) -> None:
        """Take a replica's answer."""
        question = self._questions.get(message.id)
        if question is not None and sender not in question.cells:
            self._on_cell(sender, question, message.cell)

    def _on_cell(self, node: str, question: Question, cell: Cell) -> None:
        if question.is_answered:
            question.cells[node] = cell
        else:
            question.cells[node] = cell
            if len(question.cells) >= question.needed:
                question.is_answered = True
                question.enough(question)
        if len(question.cells) == len(question.asked):
            self._end_question(question)

    def _end_question(self, question: Question) -> None:
        self._questions.pop(question.id, None)
        if self._outbox.options.read_repair:
            self._repair(question)

    def _repair(self, question: Question) -> None:
        """Give replicas what they were seen to lack (Dynamo 5)."""
        level, key = question.level, question.key
        replicas = self._replica.replicas(key)
        own = {node: cell for node, cell in question.cells.items() if node in replicas}
        # All that came, first or late, is joined: what R chose may be older than what came last.
        whole = Policy.chosen(self._policy, (level, key), list(question.cells.values()))
        repaired = self._policy.repaired(
            list(own.values()), whole, lambda: (self._me, self._outbox.next_number())
        )
        if repaired is None:
            return
        for node, cell in own.items():
            if cell == repaired:
                continue
            if node == self._me:
                self._replica.store(level, key, repaired)
            else:
                put = Put(
                    id=self._outbox.next_number(), level=level, key=key, cell=repaired, owner=None
                )
                self._outbox.send(node, put)

    # -- spreading

    def _spread(
        self,
        place: Place,
        cell: Cell,
        enough: Callable[[Spread], None],
        short: Callable[[Spread], None],
        *,
        hints: Mapping[str, str] | None = None,
    ) -> None:
        options = self._outbox.options
        level, key = place
        replicas = self._replica.replicas(key)
        spread = Spread(
            id=self._outbox.next_number(),
            level=level,
            key=key,
            cell=cell,
            replicas=replicas,
            needed=options.write_quorum,
            deadline_ns=self._outbox.now_ns + options.timeout_ns,
            hint_ns=self._outbox.now_ns + options.hint_ns,
            is_sloppy=options.sloppy and level is Level.EVENTUAL,
            enough=enough,
            short=short,
            hints=dict(hints or {}),
            standing=dict(hints or {}),
        )
        self._spreads[spread.id] = spread
        if self._me in replicas:
            spread.cell = self._replica.store(level, key, cell)
            spread.asked.add(self._me)
            spread.acks.add(self._me)
        for node in self._policy.asked_to_write(replicas):
            if node != self._me:
                spread.asked.add(node)
                self._put(spread, node, None)
        if spread.is_sloppy:
            away = [node for node in spread.missing if not self._peers.is_online(node)]
            self._stand_in(spread, away)
        self._look_at(spread)

    def _put(self, spread: Spread, node: str, owner: str | None) -> None:
        message = Put(
            id=spread.id, level=spread.level, key=spread.key, cell=spread.cell, owner=owner
        )
        self._outbox.send(node, message)

    def _stand_in(self, spread: Spread, owners: Sequence[str]) -> None:
        """Ask a node beyond the replicas to hold the cell for each of these."""
        owners = [owner for owner in owners if owner not in spread.standing.values()]
        spare = [
            node
            for node in self._replica.order(spread.key)
            if node not in spread.replicas
            and node not in spread.standing
            and self._peers.is_online(node)
        ]
        for owner, node in zip(owners, spare, strict=False):
            spread.standing[node] = owner
            if node == self._me:
                self._replica.hold(owner, spread.level, spread.key, spread.cell)
                spread.hints[node] = owner
            else:
                self._put(spread, node, owner)

    def on_put(self, sender: str, message: Put) -> None:
        """Take a cell, for this node itself or for another one."""
        if message.owner is None:
            self._replica.store(message.level, message.key, message.cell)
        else:
            self._replica.hold(message.owner, message.level, message.key, message.cell)
        self._outbox.send(sender, PutAck(id=message.id))

    def on_put_ack(self, sender: str, message: PutAck) -> None:
        """Take an acknowledgement, of a write or of a hint."""
        spread = self._spreads.get(message.id)
        if spread is not None:
            if sender in spread.standing:
                spread.hints[sender] = spread.standing[sender]
            elif sender in spread.replicas:
                spread.acks.add(sender)
            self._look_at(spread)
            return
        handoff = self._handoffs.pop(message.id, None)
        if handoff is not None:
            self._on_handed_off(*handoff)

    def _look_at(self, spread: Spread) -> None:
        # Whom a hint is for may acknowledge as well: that is one replica, not two.
        reached = spread.acks.union(spread.hints.values() if spread.is_sloppy else ())
        if not spread.is_answered and len(reached) >= spread.needed:
            spread.is_answered = True
            spread.enough(spread)
        if not spread.missing:
            self._spreads.pop(spread.id, None)

    # -- hints on their way home

    def hand_off(self) -> None:
        """Send hints to those they are for, as far as they are online (Dynamo 4.6)."""
        now_ns = self._outbox.now_ns
        due = [
            place
            for place in self._replica.hints
            if self._peers.is_online(place[0])
            and now_ns - self._handed_ns.get(place, -HANDOFF_RETRY_NS) >= HANDOFF_RETRY_NS
        ]
        for place in due[:HANDOFFS]:
            owner, level, key = place
            cell = self._replica.hints[place]
            number = self._outbox.next_number()
            self._handed_ns[place] = now_ns
            self._handoffs[number] = (*place, cell)
            self._outbox.send(owner, Put(id=number, level=level, key=key, cell=cell, owner=None))
            if self._policy.drops_hint(acknowledged=False):
                self._on_handed_off(owner, level, key, cell)
        if not self._replica.hints:
            self._handoffs.clear()
            self._handed_ns.clear()

    def _on_handed_off(self, owner: str, level: Level, key: str, cell: Cell) -> None:
        """Forget a hint, unless more came to it meanwhile."""
        if self._replica.hints.get((owner, level, key)) == cell:
            self._replica.drop_hint(owner, level, key)
            self._handed_ns.pop((owner, level, key), None)

    # -- time

    def on_time(self) -> None:
        """Give up what took too long, and ask stand-ins for replicas that are slow."""
        now_ns = self._outbox.now_ns
        for question in [q for q in self._questions.values() if now_ns >= q.deadline_ns]:
            if not question.is_answered:
                question.is_answered = True
                question.short(question)
            self._end_question(question)
        for spread in list(self._spreads.values()):
            if spread.is_sloppy and now_ns >= spread.hint_ns:
                self._stand_in(spread, spread.missing)
                self._look_at(spread)
            if now_ns >= spread.deadline_ns:
                self._end_spread(spread)

    def _end_spread(self, spread: Spread) -> None:
        if not spread.is_answered:
            spread.is_answered = True
            spread.short(spread)
        self._spreads.pop(spread.id, None)
        if not self._outbox.options.hinted_handoff:
            return
        for owner in spread.missing:
            if owner not in spread.hints.values():
                self._replica.hold(owner, spread.level, spread.key, spread.cell)

    @property
    def open(self) -> int:
        """Give how many reads and writes are not over: each may still leave a hint."""
        return len(self._questions) + len(self._spreads)

    def next_ns(self) -> int | None:
        """Give when `on_time` has something to do."""
        times = [question.deadline_ns for question in self._questions.values()]
        times += [spread.deadline_ns for spread in self._spreads.values()]
        times += [
            spread.hint_ns
            for spread in self._spreads.values()
            if spread.is_sloppy and spread.hint_ns > self._outbox.now_ns
        ]
        return min(times, default=None)


def united(values: Sequence[Json]) -> Json:
    """Give the union of lists, sorted by their items' text; anything else: the last by its text.

    This is what an application would do with a shopping cart (Dynamo 4.4).
    """
    if not values:
        return None
    if not all(isinstance(value, list) for value in values):
        return values[-1]
    texts = {canonical_text(item) for value in values for item in value}  # type: ignore[union-attr]
    return [parse(text) for text in sorted(texts)]
