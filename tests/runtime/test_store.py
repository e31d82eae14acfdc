"""The store: what was written is read back, dead controllers' runs too, and bad files are named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from splitbrain.core.errors import StoreError, UsageError
from splitbrain.core.evidence import Evidence, Log, Trace
from splitbrain.core.fault import At, Fault, Resolved, Schedule
from splitbrain.core.journal import Complete, FaultEvent, Header, Invoke, Phase
from splitbrain.core.operation import Outcome
from splitbrain.core.run import Plan
from splitbrain.core.value import Value
from splitbrain.runtime.journal import JournalWriter
from splitbrain.runtime.store import (
    RunDirectory,
    create_run,
    find_run,
    is_run,
    load_run,
    plan_from_value,
    plan_to_value,
    read_resolved,
    read_schedule,
    resolved_of,
)

FAULT = Fault(id="a", kind="kill", start=At(1.0), target="one")
RESOLVED = Resolved(fault=FAULT, nodes=("n2",), detail={"signal": 9})
PLAN = Plan(
    system="raft",
    workload="register",
    nemeses=("kill",),
    seed=2**63 + 1,
    rate_hz=10.0,
    checkers=("logs",),
    schedule=Schedule((FAULT,)),
    resolved=(RESOLVED,),
    options={"bugs": ["x"]},
    parameters={"ops_per_key": 7},
)


def journaled(run: RunDirectory) -> RunDirectory:
    writer = JournalWriter(run.journal_path)
    with writer.lock:
        writer.append(Header(run="r"))
        writer.append(Phase(name="main", time_ns=1))
        writer.append(Invoke(process=0, session=0, f="write", time_ns=2, key=1, argument=3))
        writer.append(Complete(invoke=2, outcome="ok", time_ns=3))
        event = FaultEvent(fault="a", kind="kill", state="injecting", time_ns=4)
        writer.append(
            FaultEvent(
                fault="a",
                kind="kill",
                state="injecting",
                time_ns=event.time_ns,
                resolved=RESOLVED.to_value(),
            )
        )
    writer.close()
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return journaled(create_run(tmp_path / "store", PLAN))


def test_a_plan_survives_json():
    assert plan_from_value(plan_to_value(PLAN)) == PLAN
    bare = Plan(system="a", workload="b")
    assert plan_from_value(plan_to_value(bare)) == bare


def test_fields_of_newer_versions_are_left_out():
    value = plan_to_value(PLAN)
    assert isinstance(value, dict)
    assert plan_from_value({**value, "invented_later": 1}) == PLAN
    with pytest.raises(UsageError):
        plan_from_value([])
    with pytest.raises(UsageError, match="plan of a run"):
        plan_from_value({"seed": 1})


def test_a_run_is_read_back_with_all_that_it_left(run: RunDirectory):
    evidence = Evidence(
        traces={"n1": Trace(node="n1", records=({"a": 2**53 + 1},), gaps=("after 7",))},
        logs=(
            Log(node="n1", daemon="raft", text="caf\u00e9 \udcff\n"),
            Log(node="n1", daemon="raft.1", text="cut", truncated=True),
        ),
        dumps={"n1": [1, None]},
    )
    run.write_evidence(evidence)
    run.write_json("schedule.json", Schedule((FAULT,)).to_value())
    run.write_json("result.json", {"x": 1})
    run.write_json("facts.json", {"initial": None, "big": 2**70})
    stored = load_run(run.path)
    assert stored.plan == PLAN
    assert stored.schedule == Schedule((FAULT,))
    assert stored.result == {"x": 1}
    assert stored.warnings == ()
    assert stored.evidence.traces == evidence.traces
    assert stored.evidence.dumps == evidence.dumps
    assert stored.evidence.facts == {"initial": None, "big": 2**70}
    assert set(stored.evidence.logs or ()) == set(evidence.logs or ())
    assert resolved_of(stored.evidence) == (RESOLVED,)


def test_missing_parts_are_missing_evidence_and_not_empty(run: RunDirectory):
    (run.path / "plan.json").unlink()
    stored = load_run(run.path)
    assert stored.plan is None
    assert "plan.json is missing" in stored.warnings[0]
    assert stored.evidence.traces is None
    assert stored.evidence.logs is None
    assert stored.evidence.dumps is None
    assert stored.schedule is None


DIES = textwrap.dedent("""
    import sys
    from pathlib import Path
    from splitbrain.core.client import Ok
    from splitbrain.core.journal import Header, Phase
    from splitbrain.core.run import Plan
    from splitbrain.core.workload import Load
    from splitbrain.runtime.interpreter import Interpreter
    from splitbrain.runtime.journal import JournalWriter
    from splitbrain.runtime.store import create_run
    from splitbrain.workloads.register import Register

    run = create_run(Path(sys.argv[1]), Plan(system="s", workload="register"))
    journal = JournalWriter(run.journal_path)
    with journal.lock:
        journal.append(Header(run="dies"))
        journal.append(Phase(name="main", time_ns=1))

    class Client:
        count = 0
        def open(self, node, session):
            pass
        def invoke(self, f, key, argument, timeout_s):
            Client.count += 1
            if Client.count == 3000:
                print(run.path, flush=True)
            return Ok(1)
        def close(self):
            pass

    nodes = ("n1", "n2")
    load = Load(seed=1, nodes=nodes, concurrency=4, time_limit_s=60, rate_hz=1e9)
    Interpreter(journal=journal, client_factory=Client, nodes=nodes, concurrency=4).run(
        Register().main(load), limit_s=60
    )
""")


def test_the_run_of_a_controller_killed_with_9_can_be_judged(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", DIES, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            path = Path(child.stdout.readline().strip())
        finally:
            child.send_signal(signal.SIGKILL)
    assert find_run(tmp_path / "store", None) == path.resolve()
    stored = load_run(path)
    history = stored.evidence.history
    assert history is not None
    assert len(history) >= 2999
    open_ones = [op for op in history if op.complete_index is None]
    assert len(open_ones) <= 4
    assert all(op.outcome is Outcome.INFO for op in open_ones)
    assert stored.result is None
    assert [phase.name for _, phase in stored.evidence.phases or ()] == ["main"]


def test_dumps_that_are_no_object_are_said(run: RunDirectory):
    run.write_json("dumps.json", [1])
    stored = load_run(run.path)
    assert stored.evidence.dumps is None
    assert stored.warnings == ("dumps.json is no object by node, and is not used",)


def test_a_torn_journal_is_said_and_a_damaged_one_is_refused(run: RunDirectory):
    whole = run.journal_path.read_bytes()
    run.journal_path.write_bytes(whole[:-3])
    stored = load_run(run.path)
    assert "torn bytes" in stored.warnings[0]
    damaged = bytearray(whole)
    damaged[60] ^= 0xFF
    run.journal_path.write_bytes(bytes(damaged))
    with pytest.raises(UsageError, match=str(run.journal_path)):
        load_run(run.path)


def test_runs_are_found_by_path_by_name_and_as_the_latest(tmp_path: Path):
    store = tmp_path / "store"
    with pytest.raises(UsageError, match="holds no run yet"):
        find_run(store, None)
    first, second = (journaled(create_run(store, PLAN)) for _ in range(2))
    assert find_run(store, None) == second.path.resolve()
    assert find_run(store, str(first.path)) == first.path.resolve()
    assert find_run(store, str(first.path.relative_to(store))) == first.path.resolve()
    assert is_run(first.path)
    assert not is_run(store)
    with pytest.raises(UsageError, match="no run at nowhere"):
        find_run(store, "nowhere")
    (store / "half").mkdir()
    with pytest.raises(UsageError, match=r"half is a directory, but not .*: it holds no journal"):
        find_run(store, "half")
    with pytest.raises(UsageError, match="no run at an empty name"):
        find_run(store, "")


def test_names_of_plugins_and_nodes_stay_inside_the_run_directory(tmp_path: Path):
    store = tmp_path / "store"
    made = journaled(create_run(store, Plan(system="../../evil.py:X", workload="a/b c")))
    assert store.resolve() in made.path.resolve().parents
    log = Log(node="../..", daemon="../../../evil", text="x")
    made.write_evidence(Evidence(logs=(log,), traces={"../n": Trace(node="../n", records=())}))
    outside = [path for path in tmp_path.rglob("*evil*") if made.path not in path.parents]
    assert [path for path in outside if path.is_file()] == []


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for store in (tmp_path / "file", tmp_path / "file" / "store", Path("/proc/store")):
        with pytest.raises(UsageError, match=f"cannot write {store}: .*--store") as raised:
            create_run(store, PLAN)
        assert "\n" not in str(raised.value)
    made = RunDirectory(tmp_path / "file")
    with pytest.raises(StoreError, match=r"result\.json"):
        made.write_json("result.json", {})


def test_a_file_is_written_whole_or_not_at_all(run: RunDirectory):
    run.write_json("result.json", {"x": 1})
    (run.path / "taken").mkdir()
    (run.path / "taken" / "inner").write_text("")
    with pytest.raises(StoreError):
        run.write("taken", b"data")
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("[1]", '"version": 1'), ('{"version":1,"faults":[7]}', "fault 0")],
)
def test_a_malformed_schedule_file_is_named(tmp_path: Path, text: str, message: str):
    file = tmp_path / "mine.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=message) as raised:
        read_schedule(file)
    assert "mine.json" in str(raised.value)
    with pytest.raises(UsageError, match="there is no file"):
        read_schedule(tmp_path / "missing.json")


def test_a_schedule_is_read_from_a_file_or_a_run(run: RunDirectory, tmp_path: Path):
    run.write_json("schedule.json", Schedule((FAULT,)).to_value())
    assert read_schedule(run.path) == Schedule((FAULT,))
    assert read_schedule(run.path / "schedule.json") == Schedule((FAULT,))


def test_resolved_faults_are_read_from_a_run_or_a_file(run: RunDirectory):
    assert read_resolved(run.path) == (RESOLVED,)
    run.write_json("resolved.json", [RESOLVED.to_value()])
    assert read_resolved(run.path / "resolved.json") == (RESOLVED,)
    run.write_json("resolved.json", {})
    with pytest.raises(UsageError, match="not a list"):
        read_resolved(run.path / "resolved.json")


def test_files_that_are_no_files_are_refused(run: RunDirectory):
    os.mkfifo(run.path / "result.json")
    with pytest.raises(UsageError, match="not a regular file"):
        load_run(run.path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"trace":"n1","gaps":[]}\n{"a":\n', "2: this is not a trace"),
        (b'{"trace":"n1","gaps":[]}\n{}\n[]\n', "3: this is not a trace: a record is an object"),
        (b'{"trace":"n1","gaps":[]}\n{"a":"\xff"}\n', "2: this is not a trace: "),
        (b'{"trace":"n1"}\n', '1: this is not a trace: its first line is an object with "trace"'),
        (b"", "1: this is not a trace"),
        (b"[" * 100_000, "1: this is not a trace: it is nested too deep"),
    ],
)
def test_a_trace_that_is_damaged_is_named_with_its_line(
    run: RunDirectory, text: bytes, place: str
) -> None:
    run.write("traces/n1.jsonl", text)
    with pytest.raises(UsageError, match=rf"n1\.jsonl:{place}"):
        load_run(run.path)


def test_two_files_that_say_they_are_one_node_s_trace_are_both_named(run: RunDirectory) -> None:
    for name in ("n1", "n2"):
        run.write(f"traces/{name}.jsonl", b'{"trace":"n1","gaps":[]}\n')
    with pytest.raises(UsageError, match=r"n1\.jsonl and .*n2\.jsonl both say .* trace of n1"):
        load_run(run.path)


@pytest.mark.parametrize("name", ["plan.json", "facts.json", "dumps.json", "result.json"])
@pytest.mark.parametrize("text", [b'{"a":"\xe3"}', b"[" * 100_000, b"[" * 90 + b"]" * 90, b"{"])
def test_a_file_of_a_run_that_is_no_json_is_named(
    run: RunDirectory, name: str, text: bytes
) -> None:
    run.write(name, text)
    with pytest.raises(UsageError, match=rf"{name} is not JSON: "):
        load_run(run.path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nemeses", [[]]),
        ("nemeses", "kill"),
        ("system", None),
        ("seed", "1"),
        ("rate_hz", []),
        ("options", [1]),
        ("checkers", [None]),
        ("time_limit_s", {}),
    ],
)
def test_a_plan_with_a_field_of_another_type_is_refused(field: str, value: Value) -> None:
    written = plan_to_value(PLAN)
    assert isinstance(written, dict)
    with pytest.raises(UsageError, match=rf"not the plan of a run: {field}: "):
        plan_from_value({**written, field: value})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("plan.json", b"[1]", "this is not the plan of a run: it is no object"),
        ("plan.json", b'{"seed":"x"}', "this is not the plan of a run: seed: "),
        ("plan.json", b'{"schedule":[]}', "a schedule is an object with "),
        ("plan.json", b'{"operations":[1]}', "a planned operation has "),
        ("schedule.json", b"[1]", "a schedule is an object with "),
        ("schedule.json", b'{"version":1,"faults":[7]}', "fault 0"),
    ],
)
def test_a_file_of_a_run_that_says_something_else_is_named_in_full(
    run: RunDirectory, name: str, text: bytes, said: str
) -> None:
    run.write(name, text)
    with pytest.raises(UsageError) as raised:
        load_run(run.path)
    assert str(raised.value).startswith(f"{run.path / name}: {said}")


def test_a_resolved_fault_that_is_none_is_named_with_its_file(run: RunDirectory) -> None:
    run.write("resolved.json", b"[7]")
    with pytest.raises(UsageError) as raised:
        read_resolved(run.path / "resolved.json")
    assert str(raised.value).startswith(f"{run.path / 'resolved.json'}: ")


def test_a_link_to_nowhere_is_refused_and_not_taken_for_missing(run: RunDirectory) -> None:
    (run.path / "facts.json").symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"there is no file .*facts\.json"):
        load_run(run.path)
