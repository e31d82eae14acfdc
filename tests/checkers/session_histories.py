"""Small histories of registers by session for the tests of order: a tiny language, and a source.

`w x 1`, `r x 1`, `r x -` (nothing there), `c x 1 2` (compare-and-set), a session a line, operations
separated by commas. A `!` behind an operation makes its outcome unknown, a `~` makes it failed, and
`@5` gives it the version 5. The sessions take turns in time.
"""

from __future__ import annotations

import random
from dataclasses import replace

from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome


def sessions(text: str, *, gap: int = 10) -> History:
    """Read the tiny language."""
    lines = [line.split(",") for line in text.strip().splitlines()]
    rows, place = [], 0
    for turn in range(max(len(line) for line in lines)):
        for session, line in enumerate(lines):
            if turn < len(line) and line[turn].strip():
                rows.append(operation(line[turn].strip(), session, turn, place))
                place += gap
    return History.of(rows)


def operation(text: str, session: int, turn: int, place: int) -> Operation:
    text, _, version = text.partition("@")
    outcome = {"!": Outcome.INFO, "~": Outcome.FAIL}.get(text[-1], Outcome.OK)
    word, key, *values = text.rstrip("!~").split()
    given = [None if item == "-" else int(item) for item in values]
    f = {"w": "write", "r": "read", "c": "cas"}[word]
    argument = None if f == "read" else given if f == "cas" else given[0]
    return Operation(
        process=100 * session + turn,
        session=session,
        f=f,
        key=key,
        outcome=outcome,
        invoke_index=place,
        complete_index=place + 1,
        argument=argument,
        result=given[0] if f == "read" and outcome is Outcome.OK else None,
        version=int(version) if version else None,
        start_ns=place * 1000,
        end_ns=place * 1000 + 1000,
    )


def drawn(
    rng: random.Random, *, size: int, sessions: int, keys: int, cas: bool = False
) -> list[Operation]:
    """Draw a history of unique values, half of it from a store with replicas that lag.

    Operations of unknown outcome and failed ones occur; sessions live on behind them.
    """
    outcomes = [Outcome.OK] * 10 + [Outcome.INFO, Outcome.INFO, Outcome.FAIL]
    outcomes = rng.choice([outcomes, [Outcome.OK]])
    plan = [
        (
            rng.randrange(sessions),
            "xyz"[rng.randrange(keys)],
            rng.choice(["read", "read", "write", "cas" if cas else "write"]),
            rng.choice(outcomes),
        )
        for _ in range(size)
    ]
    written: dict[str, list[int | None]] = {key: [None] for key in "xyz"}
    for number, (_, key, f, outcome) in enumerate(plan):
        if f != "read" and (outcome is not Outcome.FAIL or rng.random() < 0.1):
            written[key].append(number + 1)
    stores = [dict[str, int | None]() for _ in range(sessions)]
    log: list[tuple[str, int]] = []
    seen = [0] * sessions
    late: list[tuple[str, int]] = []
    lies = rng.choice([0.0, 0.1, 0.3, 0.6, 0.9])
    rows = []
    for number, (session, key, f, outcome) in enumerate(plan):
        # What the session sees now: it catches up with some of the log.
        reach = rng.randint(seen[session], len(log))
        stores[session].update(log[seen[session] : reach])
        seen[session] = reach
        if late and rng.random() < 0.5:
            log.append(late.pop())
        now = stores[session].get(key)
        now = rng.choice(written[key]) if rng.random() < lies else now
        result, argument, applied = None, None, True
        if f == "read":
            result = now if outcome is Outcome.OK else None
        else:
            argument = number + 1 if f == "write" else [now, number + 1]
            if f == "cas" and now == number + 1:
                argument = [None, number + 1]
            applied = f == "write" or outcome is not Outcome.OK or rng.random() < 0.8
            if outcome is Outcome.INFO and rng.random() < 0.8:
                late.append((key, number + 1))
            if outcome is Outcome.OK and applied:
                stores[session][key] = number + 1
                log.append((key, number + 1))
        begin = 10 * number + 1000 - rng.choice([0, 0, 4, 15, 25])
        rows.append(
            Operation(
                process=number,
                session=session,
                f=f,
                key=key,
                outcome=outcome,
                invoke_index=10 * number + 1000,
                complete_index=10 * number + 1003,
                argument=argument,
                result=result,
                applied=applied,
                start_ns=begin * 1000,
                end_ns=(10 * number + 1003) * 1000,
            )
        )
    return rows


def overlapping(rng: random.Random, rows: list[Operation]) -> list[Operation]:
    """Let operations overlap in time, each in a session of its own."""
    result = []
    for number, o in enumerate(rows):
        begin = 1000 * number + number
        end = begin + rng.choice([500, 700, 1500, 2600, 3700])
        result.append(
            replace(
                o,
                session=number,
                invoke_index=begin,
                complete_index=end,
                start_ns=begin + 1,
                end_ns=end + 1,
            )
        )
    return result


def versioned(rng: random.Random, rows: list[Operation]) -> list[Operation]:
    """Give operations versions: true ones, ones that lie, or none."""
    mode = rng.choice(["none", "writes", "all", "lies"])
    if mode == "none":
        return rows
    result = []
    for number, o in enumerate(rows):
        version: int | None = number + 1
        if mode == "writes" and o.f == "read":
            version = None
        if mode == "lies" and rng.random() < 0.3:
            version = rng.choice([None, rng.randrange(len(rows))])
        result.append(replace(o, version=version))
    return result
