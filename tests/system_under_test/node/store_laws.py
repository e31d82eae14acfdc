"""What must hold of a run of the store, in the plainest way that is sure."""

from __future__ import annotations

from typing import Any

from store_cluster import Call, StoreCluster

Dot = tuple[str, int]


def covers(seen: Any, dot: Dot) -> bool:
    return seen["clock"].get(dot[0], 0) >= dot[1] or list(dot) in [list(d) for d in seen["dots"]]


def made(cluster: StoreCluster, level: str) -> dict[Dot, dict[str, Any]]:
    """Give the acknowledged writes of a level by their dot."""
    return {
        tuple(record["dot"]): record
        for record in cluster.traced("acked")
        if record["level"] == level
    }


def check_durable(cluster: StoreCluster) -> None:
    """Every acknowledged write is on all replicas of its key, or something in its place is."""
    for level in ("strong", "causal", "eventual"):
        for dot, record in made(cluster, level).items():
            cells = cluster.cells(record["key"], level)
            assert cells, (dot, record)
            assert set(cells) == set(next(iter(cells.values()))["replicas"])
            for cell in cells.values():
                held = {tuple(v["dot"]): v for v in cell["versions"]}
                if level == "eventual" and cluster.nodes["n1"].options.conflict != "lww":
                    assert dot in held or covers(cell["seen"], dot)
                else:
                    (newest,) = held.values()
                    rank = (newest["stamp"], *newest["dot"])
                    assert rank >= (record["stamp"], *dot)


def check_acks(cluster: StoreCluster) -> None:
    """Whoever is named in an acknowledgement has traced that it holds it, or what knew it."""
    stored: dict[tuple[str, Dot], bool] = {}
    ranks: dict[tuple[str, str, str], set[Any]] = {}
    seen: dict[tuple[str, str, str], list[Any]] = {}
    for record in cluster.traced("stored"):
        for actor, number, stamp in record["versions"]:
            stored[record["node"], (actor, number)] = True
            place = record["node"], record["level"], str(record["key"])
            ranks.setdefault(place, set()).add((stamp, actor, number))
        place = record["node"], record["level"], str(record["key"])
        seen.setdefault(place, []).append(record["seen"])
    for record in cluster.traced("applied"):
        stored[record["node"], tuple(record["dot"])] = True
    for record in cluster.traced("acked"):
        dot = tuple(record["dot"])
        holders = [*record["acks"], *record["hints"]]
        assert len(set(holders)) >= record["needed"]
        for node in holders:
            place = node, record["level"], str(record["key"])
            greater = any(rank >= (record["stamp"], *dot) for rank in ranks.get(place, ()))
            known = any(covers(one, dot) for one in seen.get(place, ()))
            one = record["level"] != "eventual" or (cluster.nodes["n1"].options.conflict == "lww")
            assert (node, dot) in stored or known or (one and greater), (node, record)


def check_converged(cluster: StoreCluster) -> None:
    dumps = {name: cluster.dump(name) for name in cluster.nodes}
    cells: dict[Any, Any] = {}
    for dump in dumps.values():
        assert dump["hints"] == []
        for cell in dump["cells"]:
            place = cell["level"], str(cell["key"])
            other = cells.setdefault(place, cell)
            assert other["versions"] == cell["versions"], place
    assert len({str(dump["sequential"]["store"]) for dump in dumps.values()}) == 1
    assert len({str(sorted(dump["causal"]["applied"].items())) for dump in dumps.values()}) == 1


def check_siblings(cluster: StoreCluster) -> None:
    """The final versions are the acknowledged writes that no context covers, and some unknown."""
    acked = made(cluster, "eventual")
    contexts: dict[str, list[Any]] = {}
    versions: dict[str, dict[Dot, Any]] = {}
    for name in cluster.nodes:
        for cell in cluster.dump(name)["cells"]:
            if cell["level"] == "eventual":
                known = versions.setdefault(str(cell["key"]), {})
                known.update({tuple(v["dot"]): v for v in cell["versions"]})
    for record in acked.values():
        contexts.setdefault(str(record["key"]), []).append(record["context"])
    for key, held in versions.items():
        contexts.setdefault(key, []).extend(v["context"] for v in held.values())
    for dot, record in acked.items():
        key = str(record["key"])
        if not any(covers(context, dot) for context in contexts[key]):
            lost = dot not in versions.get(key, {})
            # An unknown write that vanished again may have overwritten it: nothing is held then
            # whose maker knew of it, so it must still be there.
            assert not lost or _unknown_overwrote(cluster, key, dot), (dot, record)
    for key, held in versions.items():
        for dot in held:
            assert not any(
                covers(v["context"], dot) for other, v in held.items() if other != dot
            ), (key, dot)


def _unknown_overwrote(cluster: StoreCluster, key: str, dot: Dot) -> bool:
    """Tell whether a write whose outcome is unknown had read this one."""
    return any(
        call.request["f"] != "read"
        and call.request["level"] == "eventual"
        and str(call.request["key"]) == key
        and not call.ok
        and not call.failed
        and call.request["context"] is not None
        and covers(call.request["context"]["seen"], dot)
        for call in cluster.calls
    )


def check_sequential(cluster: StoreCluster) -> None:
    """Each read returns what the log up to its place makes of its key; places never fall."""
    writes = {
        call.body["index"]: call
        for call in cluster.calls
        if call.request["level"] == "sequential" and call.request["f"] != "read" and call.ok
    }
    unknown = {
        (str(call.request["key"]), call.request["argument"])
        for call in cluster.calls
        if call.request["f"] != "read" and not call.ok and not call.failed
    }
    places: dict[int, int] = {}
    for call in cluster.calls:
        if call.request["level"] != "sequential" or not call.ok:
            continue
        index = call.body["index"]
        assert index >= places.get(call.session, 0)
        places[call.session] = index
        if call.request["f"] == "read":
            key = str(call.request["key"])
            own = [i for i, w in writes.items() if i <= index and str(w.request["key"]) == key]
            expected = writes[max(own)].request["argument"] if own else None
            value = call.body["value"]
            assert value == expected or (key, value) in unknown


def check_causal(cluster: StoreCluster) -> None:
    """A read returns nothing older than what its session saw, or than what caused that."""
    versions: dict[Dot, dict[str, Any]] = {}
    for record in cluster.traced("applied"):
        versions[tuple(record["dot"])] = record
    seen: dict[int, set[Dot]] = {}
    keys = {dot: str(record["key"]) for dot, record in versions.items()}
    stamps = {dot: record["stamp"] for dot, record in versions.items()}
    past: dict[Dot, set[Dot]] = {}
    for call in cluster.calls:
        if call.request["level"] != "causal" or not call.ok:
            continue
        own = seen.setdefault(call.session, set())
        if call.request["f"] == "read":
            dots = [tuple(dot) for dot in call.body["dots"]]
            for dot in dots:
                own |= {dot} | past.get(dot, set())
            same = [d for d in own if keys[d] == str(call.request["key"])]
            if same:
                newest = max(same, key=lambda d: (stamps[d], *d))
                assert dots, call
                assert dots[0] == newest, (call, newest)
        else:
            dot = tuple(call.body["dot"])
            past[dot] = set(own)
            own.add(dot)


def history_of(calls: list[Call], level: str) -> Any:
    """Give the calls of a level as a history of a keyed register."""
    from splitbrain.core.history import History
    from splitbrain.core.operation import Operation, Outcome

    operations = []
    for number, call in enumerate(calls):
        if call.request["level"] != level:
            continue
        outcome = Outcome.OK if call.ok else Outcome.FAIL if call.failed else Outcome.INFO
        read = call.request["f"] == "read"
        operations.append(
            Operation(
                process=number,
                session=call.session,
                f="read" if read else "write",
                key=call.request["key"],
                argument=call.request["argument"],
                outcome=outcome,
                result=call.body["value"] if call.ok and read else None,
                invoke_index=call.begun,
                complete_index=None if outcome is Outcome.INFO else call.ended,
            )
        )
    return History.of(operations)
