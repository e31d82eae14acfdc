"""The journal on disk: what was appended is there, whatever happens to the writer or the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from splitbrain.core.errors import JournalError, StoreError
from splitbrain.core.evidence import from_journal
from splitbrain.core.journal import (
    MAGIC,
    Header,
    Note,
    Phase,
    Record,
    encode,
)
from splitbrain.core.operation import Outcome
from splitbrain.runtime import journal as journal_module
from splitbrain.runtime.journal import JournalReader, JournalWriter, read_journal


def note(text: str) -> Note:
    return Note(text=text, time_ns=1)


def append(writer: JournalWriter, record: Record) -> int:
    with writer.lock:
        return writer.append(record)


def some_records(count: int) -> list[Record]:
    return [Header(run="r"), *(note(f"note {number}" * (number % 7)) for number in range(count))]


def test_what_was_appended_is_read_back_in_order_with_its_index(tmp_path: Path):
    writer = JournalWriter(tmp_path / "journal")
    records = some_records(500)
    assert [append(writer, record) for record in records] == list(range(501))
    writer.close()
    decoded = read_journal(tmp_path / "journal")
    assert decoded.records == tuple(records)
    assert decoded.dropped_bytes == 0


def test_closing_cuts_the_file_to_the_length_used(tmp_path: Path):
    writer = JournalWriter(tmp_path / "journal")
    append(writer, note("one"))
    assert (tmp_path / "journal").stat().st_size > 100_000
    writer.close()
    writer.close()
    assert (tmp_path / "journal").stat().st_size == len(MAGIC) + len(encode(note("one")))


def test_an_unclosed_journal_reads_the_same(tmp_path: Path):
    writer = JournalWriter(tmp_path / "journal")
    append(writer, note("one"))
    decoded = read_journal(tmp_path / "journal")
    assert decoded.records == (note("one"),)
    assert decoded.dropped_bytes == 0
    writer.close()


def test_a_journal_is_never_written_over(tmp_path: Path):
    JournalWriter(tmp_path / "journal").close()
    with pytest.raises(StoreError, match="File exists"):
        JournalWriter(tmp_path / "journal")


def test_appending_after_close_is_refused(tmp_path: Path):
    writer = JournalWriter(tmp_path / "journal")
    writer.close()
    for record in (note("late"), Phase(name="late", time_ns=1)):
        with pytest.raises(StoreError, match="closed"):
            append(writer, record)
    assert read_journal(tmp_path / "journal").records == ()


def test_it_grows_over_many_chunks_and_over_records_larger_than_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journal_module, "CHUNK_BYTES", 64 * 1024)
    writer = JournalWriter(tmp_path / "journal")
    records = [note("x" * size) for size in (10, 70_000, 3, 400_000, 65_536, 5, 1_000_000, 1)]
    for record in records * 3:
        append(writer, record)
    writer.close()
    assert read_journal(tmp_path / "journal").records == tuple(records * 3)


def test_a_reader_follows_while_it_is_written(tmp_path: Path):
    writer = JournalWriter(tmp_path / "journal")
    reader = JournalReader(tmp_path / "journal")
    assert reader.read_from(0) == ((), len(MAGIC))
    append(writer, note("one"))
    records, offset = reader.read_from(0)
    assert records == (note("one"),)
    assert reader.read_from(offset) == ((), offset)
    big = [note("y" * size) for size in (200_000, 5, 70_000)]
    for record in big:
        append(writer, record)
    records, offset = reader.read_from(offset)
    assert records == tuple(big)
    writer.close()
    assert reader.read_from(offset) == ((), offset)


def test_a_reader_beside_a_writer_sees_whole_records_in_order(tmp_path: Path):
    writer = JournalWriter(tmp_path / "journal")
    reader = JournalReader(tmp_path / "journal")
    total = 20_000

    def write() -> None:
        for number in range(total):
            append(writer, note(str(number)))

    thread = threading.Thread(target=write)
    thread.start()
    seen: list[str] = []
    offset = 0
    while len(seen) < total:
        alive = thread.is_alive()
        records, offset = reader.read_from(offset)
        seen += [record.text for record in records if isinstance(record, Note)]
        assert alive or len(seen) == total
    thread.join()
    writer.close()
    assert seen == [str(number) for number in range(total)]


def test_the_mark_of_a_record_is_written_last(tmp_path: Path):
    """Without its mark a record is a torn tail, however much of it is there."""
    path = tmp_path / "journal"
    writer = JournalWriter(path)
    append(writer, note("whole"))
    writer.close()
    whole = path.read_bytes()
    frame = encode(note("torn"))
    for mark in (b"\0\0", frame[:1] + b"\0"):
        path.write_bytes(whole + mark + frame[2:])
        decoded = read_journal(path)
        assert decoded.records == (note("whole"),)
        assert decoded.dropped_bytes > 0


def test_files_that_are_no_journal_are_named(tmp_path: Path):
    missing = tmp_path / "missing"
    with pytest.raises(StoreError, match="missing"):
        read_journal(missing)
    with pytest.raises(StoreError, match="missing"):
        JournalReader(missing).read_from(0)
    other = tmp_path / "other"
    other.write_text("something else\n" * 10)
    with pytest.raises(JournalError, match="other"):
        read_journal(other)
    with pytest.raises(JournalError, match="other"):
        JournalReader(other).read_from(0)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(StoreError, match="not a regular file"):
        read_journal(fifo)
    with pytest.raises(StoreError, match="cannot create the journal"):
        JournalWriter(tmp_path / "no" / "folder")


FULL_DISK = textwrap.dedent("""
    import resource, sys
    from pathlib import Path
    from splitbrain.core.errors import StoreError
    from splitbrain.core.journal import *
    from splitbrain.runtime.journal import JournalWriter

    path, limit = Path(sys.argv[1]), int(sys.argv[2])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    writer = JournalWriter(path)
    writer.lock.acquire()
    open_ones, number = [], 0
    try:
        while True:
            number += 1
            invoke = Invoke(process=number, session=0, f="write", time_ns=1, argument="x" * 500)
            open_ones.append(writer.append(invoke))
    except StoreError as error:
        print(error)
    for _ in range(3):
        try:
            writer.append(Invoke(process=0, session=0, f="read", time_ns=1))
            sys.exit("an operation began on a full disk")
        except StoreError as error:
            print(error)
    for index in open_ones[-50:]:
        writer.append(Complete(invoke=index, outcome="ok", time_ns=2))
    for state in ("healing", "healed"):
        writer.append(FaultEvent(fault="a", kind="kill", state=state, time_ns=3))
    writer.append(Note(text="the disk is full", time_ns=4))
    writer.append(Phase(name="down", time_ns=5))
    writer.lock.release()
    writer.close()
    print(len(open_ones))
""")


def fill(path: Path, limit: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(limit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def check_filled(path: Path, lines: list[str], reason: str) -> None:
    assert len(set(lines[:4])) == 1, "later appends say the same"
    assert reason in lines[0]
    assert str(path) in lines[0]
    assert "--store" in lines[0]
    decoded = read_journal(path)
    assert decoded.dropped_bytes == 0
    assert decoded.records[-1] == Phase(name="down", time_ns=5)
    history = from_journal(decoded.records).history
    assert history is not None
    assert len(history) == int(lines[4])
    assert sum(op.outcome is Outcome.OK for op in history) == 50


def test_a_full_disk_is_one_line_and_operations_and_faults_still_end(tmp_path: Path):
    lines = fill(tmp_path / "journal", 1_000_000)
    check_filled(tmp_path / "journal", lines, "File too large")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_tmpfs_is_an_error_and_no_signal(tmp_path: Path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        path = tmp_path / "journal"
        check_filled(path, fill(path, 0), "No space left on device")
        other = tmp_path / "other"
        with pytest.raises(StoreError, match="free some space"):
            JournalWriter(other)
        assert not other.exists()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


KILLED = textwrap.dedent("""
    import sys, threading
    from pathlib import Path
    from splitbrain.core.journal import Complete, Header, Invoke
    from splitbrain.runtime.journal import JournalWriter

    writer = JournalWriter(Path(sys.argv[1]))
    with writer.lock:
        writer.append(Header(run="killed"))

    def work(process):
        number = 0
        while True:
            number += 1
            with writer.lock:
                index = writer.append(
                    Invoke(process=process, session=process, f="write", time_ns=number,
                           argument="z" * (number % 300))
                )
            with writer.lock:
                writer.append(Complete(invoke=index, outcome="ok", time_ns=number))
            if number == 2000 and process == 2:
                print("running", flush=True)

    for process in range(3):
        threading.Thread(target=work, args=(process,), daemon=True).start()
    sys.stdin.read()
""")


@pytest.mark.parametrize("attempt", range(3))
def test_kill_9_leaves_every_record_up_to_the_last_and_open_operations_are_info(
    tmp_path: Path, attempt: int
):
    path = tmp_path / "journal"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "running\n"
        finally:
            child.send_signal(signal.SIGKILL)
    decoded = read_journal(path)
    history = from_journal(decoded.records).history
    assert history is not None
    assert len(history) >= 2000
    open_ones = [op for op in history if op.complete_index is None]
    assert len(open_ones) <= 3
    assert all(op.outcome is Outcome.INFO for op in open_ones)
    for process in range(3):
        numbers = [op.start_ns for op in history if op.process == process]
        assert numbers == list(range(1, len(numbers) + 1))
