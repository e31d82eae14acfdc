"""A dumb replicated store that makes sound evidence."""

from __future__ import annotations

import random

from splitbrain.checkers.ring import points_of, replicas_of
from splitbrain.core.evidence import Evidence, Trace
from splitbrain.core.history import History
from splitbrain.core.journal import Phase
from splitbrain.core.operation import Operation, Outcome

NODES = ("n1", "n2", "n3", "n4")
BITS, VNODES, N, W = 32, 32, 3, 2


class Store:
    """Writes go to all replicas at once; what each session had seen is its context.

    One that is away hears of a write when all has settled, but not of what was deleted meanwhile.
    Tombstones that all have are buried, replica by replica. Everything is kept as sets of dots, so
    nothing of the checkers' arithmetic is in it.
    """

    def __init__(self, seed, conflict="siblings"):
        self.random = random.Random(seed)
        self.conflict = conflict
        self.points = points_of(NODES, VNODES, BITS)
        self.numbers = dict.fromkeys(NODES, 0)
        self.records = {node: [] for node in NODES}
        self.boots = dict.fromkeys(NODES, 0)
        self.versions = {}
        self.seen = {}
        self.present = {}
        self.behind = {}
        self.operations = []
        self.clock = 0
        for node in NODES:
            self.boot(node)

    def record(self, node, event, **fields):
        boot = f"{node}-{self.boots[node]}"
        seq = sum(item["boot"] == boot for item in self.records[node])
        self.records[node].append({"boot": boot, "seq": seq, "event": event, **fields})

    def boot(self, node):
        self.boots[node] += 1
        self.record(node, "boot", bugs=[], number=self.numbers[node])

    def replicas(self, key):
        return replicas_of(key, self.points, NODES, BITS, N)

    def write(self, key, session_seen=None, deleted=False, away=None):
        """Write by a session that had seen these dots; none of its own means all that is there.

        away: the replica that does not hear of it.
        """
        node = self.random.choice(NODES)
        self.numbers[node] += self.random.randint(1, 3)
        dot = (node, self.numbers[node])
        held = self.versions.setdefault(key, {})
        context = set(self.seen.get(key, ())) if session_seen is None else set(session_seen)
        begun, self.clock = self.clock, self.clock + 2
        value = None if deleted else f"v{begun}"
        stamp = max((stamp for stamp, *_ in held.values()), default=0) + 1
        seen = self.seen.setdefault(key, set())
        seen |= context | {dot}
        if self.conflict == "siblings":
            for gone in [other for other in held if other in context]:
                del held[gone]
        else:
            held.clear()
        held[dot] = (stamp, context, value, deleted)
        here = [replica for replica in self.replicas(key) if replica != away]
        for replica in here:
            self.store(replica, key)
        self.behind.setdefault(key, set()).update({away} & self.present[key])
        acks = sorted(self.random.sample(here, self.random.randint(W, len(here))))
        self.record(
            node, "acked", **self.place(key), dot=list(dot), stamp=stamp, context=told(context),
            value=value, deleted=deleted, asked=self.replicas(key), acks=acks, hints={}, needed=W,
        )  # fmt: skip
        self.operations.append(
            Operation(
                process=len(self.operations),
                session=0,
                f="delete" if deleted else "write",
                key=key,
                argument=value,
                outcome=Outcome.OK,
                invoke_index=begun,
                complete_index=begun + 1,
            )
        )
        return dot

    def store(self, replica, key):
        """Let a replica have all that there is of a key."""
        versions = [[*name, fields[0]] for name, fields in self.versions[key].items()]
        self.record(replica, "stored", **self.place(key), seen=told(self.seen[key]),
                    versions=versions, **{"for": None})  # fmt: skip
        self.present.setdefault(key, set()).add(replica)
        self.behind.setdefault(key, set()).discard(replica)

    def settle(self):
        """Let all hear of what they missed; who has nothing takes no tombstones."""
        for key, held in self.versions.items():
            lacking = set(self.replicas(key)) - self.present[key]
            is_alive = not all(deleted for *_, deleted in held.values())
            for replica in sorted(self.behind[key] | (lacking if is_alive else set())):
                self.store(replica, key)

    def bury(self, key, replica):
        """Let a replica drop a key of which there is nothing but tombstones; all have those."""
        self.settle()
        held = self.versions.get(key, {})
        if replica in self.present.get(key, ()) and all(gone for *_, gone in held.values()):
            self.record(replica, "buried", **self.place(key))
            self.present[key].discard(replica)
            if not self.present[key]:
                del self.versions[key], self.seen[key]

    def place(self, key):
        return {"level": "eventual", "key": key}

    def cell(self, key):
        versions = [
            {"dot": list(d), "stamp": s, "context": told(c), "value": v, "deleted": gone}
            for d, (s, c, v, gone) in sorted(self.versions[key].items())
        ]
        return {
            **self.place(key), "conflict": self.conflict, "replicas": self.replicas(key),
            "seen": told(self.seen[key]), "versions": versions,
        }  # fmt: skip

    def evidence(self):
        self.settle()
        ring = {"bits": BITS, "vnodes": VNODES, "n": N}
        dumps = {
            node: {
                "cells": [self.cell(key) for key in self.versions if node in self.present[key]],
                "hints": [],
                "causal": {"applied": {}},
                "ring": {**ring, "points": [list(point) for point in self.points]},
                "members": list(NODES),
            }
            for node in NODES
        }
        traces = {
            node: Trace(node=node, records=tuple(records)) for node, records in self.records.items()
        }
        return Evidence(
            history=History.of(self.operations),
            dumps=dumps,
            traces=traces,
            phases=((0, Phase(name="final", time_ns=0, settled=True)),),
            facts={"n": N, "r": 2, "w": W, "level": "eventual", "levels": ["eventual"]},
        )


def told(dots):
    """Say what was seen, with a clock as far as one has no gaps of its own making."""
    return {"clock": {}, "dots": [list(dot) for dot in sorted(dots)]}


def sound(seed, conflict="siblings", writes=12):
    store = Store(seed, conflict)
    for _ in range(writes):
        key = store.random.choice(["a", "b"])
        known = sorted(store.seen.get(key, ()))
        partly = store.random.sample(known, store.random.randint(0, len(known)))
        store.write(key, store.random.choice([None, partly]))
        if store.random.random() < 0.2:
            store.boot(store.random.choice(NODES))
    return store


def grave(seed, conflict="siblings", writes=12):
    """Give a store in which keys are deleted and buried, and replicas are away; one key stays."""
    store = Store(seed, conflict)
    for _ in range(writes):
        key = store.random.choice(["a", "b"])
        known = sorted(store.seen.get(key, ()))
        partly = store.random.sample(known, store.random.randint(0, len(known)))
        away = store.random.choice([None, None, *store.replicas(key)])
        store.write(key, store.random.choice([None, partly]), store.random.random() < 0.5, away)
        for replica in store.replicas(key):
            if store.random.random() < 0.4:
                store.bury(key, replica)
    store.write("z")
    return store
