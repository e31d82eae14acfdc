"""The durable log: torn tails are cut off and said, damage in the middle is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.system_under_test.node.durable import (
    NOTHING,
    DurableLog,
    Image,
    encode_log_frame,
    read_image,
)
from splitbrain.system_under_test.node.errors import NodeError

WHO = {"log": "test", "node": "n1"}


def written(path: Path, *frames: list[Any]) -> list[int]:
    """Write frames, and give where each ends."""
    log = DurableLog.open(path, WHO).log
    ends = [path.stat().st_size]
    for frame in frames:
        log.append(*frame)
        log.sync()
        ends.append(path.stat().st_size)
    log.close()
    return ends


def reopened(path: Path) -> tuple[list[Any], list[str]]:
    opened = DurableLog.open(path, WHO)
    opened.log.close()
    return list(opened.records), list(opened.notes)


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log"
    written(path, [["a", 1], ["b"]], [{"c": None}], [2**70, "é", 1.5])
    assert reopened(path) == ([["a", 1], ["b"], {"c": None}, 2**70, "é", 1.5], [])
    log = DurableLog.open(path, WHO).log
    log.append("later")
    log.sync()
    log.close()
    assert reopened(path)[0][-1] == "later"


def test_what_was_not_synced_is_not_there(tmp_path: Path) -> None:
    log = DurableLog.open(tmp_path / "log", WHO).log
    log.append("x")
    log.close()
    assert reopened(tmp_path / "log") == ([], [])


def test_a_sync_without_records_writes_nothing(tmp_path: Path) -> None:
    log = DurableLog.open(tmp_path / "log", WHO).log
    size = (tmp_path / "log").stat().st_size
    log.sync()
    log.close()
    assert (tmp_path / "log").stat().st_size == size


@given(cut=st.integers(0, 400), garbage=st.sampled_from((b"", b"\0" * 50, b"\xf5SB1" + b"\0" * 8)))
def test_a_log_cut_anywhere_keeps_every_whole_frame(
    tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    ends = written(path, ["one"], ["two", "and"], ["three"])
    cut = min(cut, ends[-1])
    os.truncate(path, cut)
    with path.open("ab") as file:
        file.write(garbage)
    frames = [[], ["one"], ["two", "and"], ["three"]]
    whole = sum(end <= cut for end in ends)
    records, notes = reopened(path)
    assert records == [record for frame in frames[:whole] for record in frame]
    torn = cut + len(garbage) - (ends[whole - 1] if whole else 0)
    assert len(notes) == (torn > 0)
    if notes:
        assert f"{torn} bytes cut off" in notes[0]
    assert reopened(path) == (records, [])  # mended for good, and said once


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_damage_before_good_data_is_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    ends = written(path, ["one"], ["two"], ["three"])
    place %= ends[-2]
    data = bytearray(path.read_bytes())
    data[place] ^= flip
    path.write_bytes(data)
    start = max([0, *(end for end in ends if end <= place)])
    with pytest.raises(NodeError, match=f"damaged at byte {start}, and good data follows"):
        DurableLog.open(path, WHO)
    assert path.read_bytes() == data  # nothing is cut off


def test_a_lost_middle_is_damage_and_not_a_tail(tmp_path: Path) -> None:
    path = tmp_path / "log"
    ends = written(path, ["one"], ["two"], ["three"])
    data = path.read_bytes()
    path.write_bytes(data[: ends[1]] + data[ends[2] :])
    with pytest.raises(NodeError, match="is damaged"):
        DurableLog.open(path, WHO)


def test_client_data_that_looks_like_a_frame_is_only_data(tmp_path: Path) -> None:
    path = tmp_path / "log"
    ends = written(path, ["one"])
    inner = path.read_bytes().decode("latin-1")
    ends = written(path, [inner], [inner])
    os.truncate(path, ends[-1] - 3)
    records, notes = reopened(path)
    assert records == ["one", inner]
    assert len(notes) == 1


def test_another_nodes_log_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "log", ["one"])
    with pytest.raises(NodeError, match="'n2'"):
        DurableLog.open(tmp_path / "log", WHO | {"node": "n2"})


def test_two_daemons_cannot_share_a_log(tmp_path: Path) -> None:
    one = DurableLog.open(tmp_path / "log", WHO).log
    with pytest.raises(NodeError, match="in use by another daemon"):
        DurableLog.open(tmp_path / "log", WHO)
    one.close()
    assert reopened(tmp_path / "log") == ([], [])


def test_a_log_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeError, match="cannot be opened: File exists"):
        DurableLog.open(tmp_path / "file" / "log", WHO)


def test_a_disk_that_refuses_is_one_clear_line(tmp_path: Path) -> None:
    log = DurableLog.open(tmp_path / "log", WHO).log
    log.append("x")
    log.close()
    with pytest.raises(NodeError, match="cannot be written: Bad file descriptor"):
        log.sync()


@given(
    frames=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), max_size=6),
    before=st.integers(0, 6),
    cut=st.integers(0, 200),
    flip=st.none() | st.integers(0, 400),
)
def test_a_log_that_grew_reads_as_one_that_was_never_read(
    frames: list[list[int]], before: int, cut: int, flip: int | None
) -> None:
    pieces = [encode_log_frame(n, items) for n, items in enumerate([[WHO], *frames])]
    known = read_image(Path("log"), b"".join(pieces[: before + 1]), WHO)
    data = bytearray(b"".join(pieces))
    if flip is not None and known.end <= flip < len(data):
        data[flip] ^= 1
    del data[max(known.end, len(data) - cut) :]
    assert outcome(bytes(data), known) == outcome(bytes(data), NOTHING)


def outcome(data: bytes, known: Image) -> object:
    """Give what a log reads as, or why it cannot be read."""
    try:
        return read_image(Path("log"), data, WHO, known=known)
    except NodeError as error:
        return str(error)
