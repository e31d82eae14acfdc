"""Causal consistency by its definitions, word for word and as slow as they come.

Bouajjani and others, POPL 2017, figure 2: there is a causal order that holds program order, such
that for each operation some sequence of its causal past is one that a register can do. All causal
orders that more visibility can give are tried, and all sequences. It shares nothing with what it
tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from splitbrain.core.operation import Operation, Outcome

Order = list[int]
"""For each operation, the set of those before it as a bit mask."""

Pairs = list[tuple[int, int]]


def choices(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Give every way in which what is unknown may have happened."""
    known = [o for o in operations if _counts(o) and o.outcome is Outcome.OK]
    unknown = [o for o in operations if _counts(o) and o.outcome is Outcome.INFO]
    for count in range(len(unknown) + 1):
        for chosen in combinations(unknown, count):
            yield sorted([*known, *chosen], key=lambda o: o.invoke_index)


def _counts(o: Operation) -> bool:
    if o.outcome is Outcome.FAIL:
        return False
    if o.outcome is Outcome.INFO:
        return o.f != "read"
    return o.applied


def program_order(rows: Sequence[Operation]) -> Order:
    """What a session did before, as far as it is known to have happened by then."""
    return [
        sum(
            1 << i
            for i, a in enumerate(rows)
            if a.session == b.session
            and a.invoke_index < b.invoke_index
            and a.outcome is Outcome.OK
        )
        for b in rows
    ]


def closed(order: Order) -> Order | None:
    """Close an order; None when it has a circle."""
    order = list(order)
    for k in range(len(order)):
        for i in range(len(order)):
            if order[i] >> k & 1:
                order[i] |= order[k]
    return None if any(order[i] >> i & 1 for i in range(len(order))) else order


def causal_orders(rows: Sequence[Operation]) -> Iterator[Order]:
    """Give the orders in which each operation that sees something knows more or fewer writes."""
    base = closed(program_order(rows))
    if base is None:
        return
    pairs = [
        (i, j)
        for j, o in enumerate(rows)
        if reads(o)
        for i, w in enumerate(rows)
        if i != j and writes(w) and not base[j] >> i & 1
    ]
    yield from _with_more(base, pairs, [])


def _with_more(order: Order, pairs: Pairs, kept_out: Pairs) -> Iterator[Order]:
    """Give each order that has more of the pairs; what was once kept out stays out."""
    if not pairs:
        yield order
        return
    (i, j), *others = pairs
    more = closed([known | 1 << i if at == j else known for at, known in enumerate(order)])
    if more is not None and not any(more[b] >> a & 1 for a, b in kept_out):
        yield from _with_more(more, others, kept_out)
    if not order[j] >> i & 1:
        yield from _with_more(order, others, [*kept_out, (i, j)])


def reads(o: Operation) -> bool:
    return o.f in ("read", "cas")


def writes(o: Operation) -> bool:
    return o.f in ("write", "cas")


def value_read(o: Operation) -> Any:
    return o.result if o.f == "read" else o.argument[0]


def value_written(o: Operation) -> Any:
    return o.argument if o.f == "write" else o.argument[1]


def members(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def sequences(rows: Sequence[Operation], order: Order, inside: int) -> Iterator[list[int]]:
    """Give every sequence of these operations that keeps the order."""
    if not inside:
        yield []
        return
    for i in members(inside):
        if not order[i] & inside:
            for rest in sequences(rows, order, inside & ~(1 << i)):
                yield [i, *rest]


def plays(rows: Sequence[Operation], sequence: Sequence[int], checked: int) -> bool:
    """Tell whether a register can do this; only what `checked` holds must return what it did."""
    now: dict[Any, Any] = {}
    for i in sequence:
        o = rows[i]
        if checked >> i & 1 and reads(o) and now.get(o.key) != value_read(o):
            return False
        if writes(o):
            now[o.key] = value_written(o)
    return True


def some_sequence(rows: Sequence[Operation], order: Order, inside: int, checked: int) -> bool:
    """Tell whether some sequence that keeps the order is one that registers can do.

    What neither writes nor is checked may stand anywhere, and so nowhere.
    """
    needed = sum(1 << i for i in members(inside) if writes(rows[i]) or checked >> i & 1)
    return _goes_on(rows, order, needed, checked, {})


def _goes_on(
    rows: Sequence[Operation], order: Order, left: int, checked: int, now: dict[Any, Any]
) -> bool:
    if not left:
        return True
    for i in members(left):
        o = rows[i]
        if order[i] & left or (checked >> i & 1 and reads(o) and now.get(o.key) != value_read(o)):
            continue
        then = {**now, o.key: value_written(o)} if writes(o) else now
        if _goes_on(rows, order, left & ~(1 << i), checked, then):
            return True
    return False


def is_cc(rows: Sequence[Operation]) -> bool:
    return any(
        all(
            some_sequence(rows, order, order[i] | 1 << i, 1 << i)
            for i in range(len(rows))
            if reads(rows[i])
        )
        for order in causal_orders(rows)
    )


def is_cm(rows: Sequence[Operation]) -> bool:
    program = program_order(rows)
    return any(
        all(
            some_sequence(rows, order, order[i] | 1 << i, program[i] | 1 << i)
            for i in range(len(rows))
        )
        for order in causal_orders(rows)
    )


def is_ccv(rows: Sequence[Operation]) -> bool:
    """One order of all writes, by which each operation sees what it knows."""
    written = sum(1 << i for i, o in enumerate(rows) if writes(o))
    readers = [i for i, o in enumerate(rows) if reads(o)]
    return any(
        all(
            plays(rows, [*(w for w in arbitration if order[i] >> w & 1), i], 1 << i)
            for i in readers
        )
        for order in causal_orders(rows)
        for arbitration in sequences(rows, order, written)
    )


DEFINITIONS = {"cc": is_cc, "ccv": is_ccv, "cm": is_cm}


def consistent(operations: Sequence[Operation], model: str) -> bool:
    return any(DEFINITIONS[model](rows) for rows in choices(operations))


def is_sequential(rows: Sequence[Operation]) -> bool:
    """One order of all operations that keeps program order and that registers can do."""
    program = program_order(rows)
    everything = (1 << len(rows)) - 1
    return some_sequence(rows, program, everything, everything)


def is_coherent(rows: Sequence[Operation]) -> bool:
    """The same for each key by itself."""
    keys = {o.key for o in rows}
    return all(is_sequential([o for o in rows if o.key == key]) for key in keys)


DEFINITIONS["sequential"] = is_sequential
DEFINITIONS["coherent"] = is_coherent
