"""The store's log is written anew when most of it counts no more, and nothing is lost by that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import store_laws as laws
from hypothesis import given
from hypothesis import strategies as st
from store_cluster import StoreCluster
from test_store_random import judge, rough

from splitbrain.system_under_test.node import durable
from splitbrain.system_under_test.node.durable import DurableLog, log_identity
from splitbrain.system_under_test.node.effects import Persist
from splitbrain.system_under_test.node.store.storage import GROWTH, replay

IDENTITY = log_identity("store", "n1")

LEVELS = ("strong", "sequential", "causal", "eventual")


def busy(rounds: int, levels: tuple[str, ...] = LEVELS, **options: Any) -> StoreCluster:
    """Writes at these levels, deletes, and hints for a node that is away."""
    cluster = StoreCluster(3, compact_records=24, gc_grace_ns=1, **options)
    cluster.run_for(2.0)
    for number in range(rounds):
        if number % 8 == 3:
            cluster.isolate("n3")
        if number % 8 == 7:
            cluster.heal()
        for level in levels:
            f = "delete" if number % 5 == 4 and level == "eventual" else "write"
            argument = number if f == "write" else None
            cluster.submit("n1", f, "xyz"[number % 3], argument, level=level, session=number)
        cluster.run_for(0.15)
    cluster.settle()
    return cluster


def counted(stored: Any) -> int:
    """Count what a disk holds, the plainest way."""
    kept = len(stored.cells) + len(stored.hints) + len(stored.writes) + len(stored.order)
    return kept + bool(stored.number)


def test_a_log_stays_a_few_times_as_long_as_what_it_says() -> None:
    cluster = busy(60, ("strong", "sequential", "eventual"))  # at causal all writes count
    for name, node in cluster.nodes.items():
        compacted = [r for r in node.trace if r["event"] == "compacted"]
        assert len(compacted) > 3, name
        assert all(r["records"] >= max(24, GROWTH * r["kept"]) for r in compacted)
        assert len(node.disk) < max(24, GROWTH * counted(replay(node.disk))) + 8
    laws.check_converged(cluster)
    laws.check_acks(cluster)


def test_a_node_that_starts_from_a_compacted_log_knows_all_that_it_knew() -> None:
    cluster = busy(40)
    before = {name: cluster.dump(name) for name in cluster.nodes}
    for name in cluster.nodes:
        cluster.crash(name)
        cluster.restart(name)
    cluster.settle()
    for name, dump in before.items():
        after = cluster.dump(name)
        assert {k: after[k] for k in ("cells", "hints", "causal")} == {
            k: dump[k] for k in ("cells", "hints", "causal")
        }
        assert after["sequential"]["store"] == dump["sequential"]["store"]


def test_a_log_that_grew_too_long_is_compacted_at_the_start() -> None:
    cluster = StoreCluster(3, compact_records=10**6)
    cluster.run_for(2.0)
    for number in range(40):
        cluster.call("n1", "write", argument=number)
    cluster.crash("n1")
    node = cluster.nodes["n1"]
    long = replay(node.disk)
    assert len(node.disk) > 30
    node.options = replace(node.options, compact_records=10)
    cluster.restart("n1")
    assert len(node.disk) < 15
    assert replay(node.disk) == long


levels = st.sampled_from(["strong", "eventual"])
keys = st.sampled_from(["a", "b"])
owners = st.sampled_from(["n2", "n3"])


@st.composite
def logs(draw: Any) -> list[Any]:
    """Draw a log that a node may have written: only what is there is taken away."""
    records: list[Any] = []
    cells: set[Any] = set()
    hints: set[Any] = set()
    for number in range(draw(st.integers(0, 30))):
        cell = [
            {"clock": {"n1": number}, "dots": []}, [["n1", number, 0, {"clock": {}, "dots": []},
            "1", False]],
        ]  # fmt: skip
        kind = draw(st.integers(0, 6))
        level, key, owner = draw(levels), draw(keys), draw(owners)
        if kind == 0:
            records.append(["number", number])
        elif kind == 1:
            cells.add((level, key))
            records.append(["cell", level, key, cell])
        elif kind == 2:
            hints.add((owner, level, key))
            records.append(["hint", owner, level, key, cell])
        elif kind == 3 and (level, key) in cells:
            cells.remove((level, key))
            records.append(["bury", level, key])
        elif kind == 4 and (owner, level, key) in hints:
            hints.remove((owner, level, key))
            records.append(["unhint", owner, level, key])
        elif kind == 5:
            records.append(["causal", [key, number, cell[1][0]]])
        else:
            whole = draw(st.booleans())
            records.append(["order-anew", [{"at": number}]] if whole else ["order", {"at": number}])
    return records


@given(logs(), logs())
def test_what_counts_says_all_that_the_log_says(records: list[Any], more: list[Any]) -> None:
    stored = replay(records)
    kept = stored.kept.compacted()
    assert replay(kept) == stored
    assert len(kept) <= len(records)
    assert len(stored.kept) == len(kept) == stored.kept.written
    assert replay([*kept, *more]) == replay([*records, *more])


class Crash(BaseException):
    """The node is dead."""


class Disk:
    """Stands for `os` of the log's module: it may crash before each call that changes the disk.

    durable: by inode, what was synced. renamed: the content under the name before a rename whose
    folder was not synced.
    """

    def __init__(self, crash_at: int) -> None:
        self.left = crash_at
        self.durable: dict[int, bytes] = {}
        self.renamed: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Crash

    def write(self, descriptor: int, data: Any) -> int:
        self._count()
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self._count()
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        if path.is_dir():
            self.renamed = None
        else:
            self.durable[os.fstat(descriptor).st_ino] = path.read_bytes()

    fdatasync = fsync

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        self.renamed = self.durable[target.stat().st_ino]
        os.replace(source, target)  # noqa: PTH105 - `Path.rename` is what stands for this

    def possible(self, path: Path) -> Iterator[bytes]:
        """Give what may be under the name after the crash."""
        if self.renamed is not None:
            yield self.renamed
        synced, content = self.durable.get(path.stat().st_ino, b""), path.read_bytes()
        assert content.startswith(synced)
        yield from {synced, content, content[: (len(synced) + len(content)) // 2]}


def batches() -> list[list[Persist]]:
    """Give what one busy node has its disk do, step by step."""
    found: list[list[Persist]] = []

    class Watched(StoreCluster):
        def _perform(self, node: Any, effects: Any) -> Any:
            work = [effect for effect in effects if isinstance(effect, Persist)]
            if node.options.node == "n1" and work:
                found.append(work)
            return super()._perform(node, effects)

    cluster = Watched(3, compact_records=8)
    cluster.run_for(2.0)
    for number in range(40):
        level = "causal" if number % 10 == 9 else LEVELS[number % 2 * 3]
        cluster.call("n1", "write", "xy"[number % 2], number, level=level)
    return found


def test_a_crash_at_any_point_leaves_the_log_before_or_after_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = batches()
    assert sum(work[-1].replaces for work in steps) > 2
    crashes = amid = 0
    for crash_at in range(10_000):
        path, disk = tmp_path / f"{crash_at}" / "log", Disk(crash_at)
        opened = DurableLog.open(path, IDENTITY)
        disk.durable[path.stat().st_ino] = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", disk)
            patch.setattr(Path, "rename", lambda own, target, disk=disk: disk.rename(own, target))
            done: list[Any] = []
            try:
                for work in steps:
                    due = list(done)
                    for persist in work:
                        if persist.replaces:
                            opened.log.replace(*persist.records)
                            due.clear()
                        else:
                            opened.log.append(*persist.records)
                        due.extend(persist.records)
                    opened.log.sync()
                    done = due
            except Crash:
                pass
            else:
                break
        crashes += 1
        opened.log.close()
        for place, content in enumerate(disk.possible(path)):
            left = tmp_path / f"{crash_at}" / f"left-{place}"
            left.write_bytes(content)
            again = DurableLog.open(left, IDENTITY)
            again.log.close()
            assert replay(again.records) in (replay(done), replay(due)), (crash_at, place)
            amid += list(again.records) not in (done, due)
    assert crashes > 80
    assert not amid


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_while_logs_are_compacted_all_the_time(seed: int) -> None:
    cluster = rough(seed, levels=("strong", "sequential", "eventual"), compact_records=16)
    judge(cluster)
    laws.check_siblings(cluster)
    assert len(cluster.traced("compacted")) > 12
