"""The zipapp as people run it: real processes on loopback, killed and started again."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from invariants import violations

from splitbrain.system_under_test.node import bundle
from splitbrain.system_under_test.node.errors import ERRORS
from splitbrain.system_under_test.node.raft.bugs import BUGS
from splitbrain.system_under_test.node.trace import read_trace
from splitbrain.system_under_test.node.wire import FrameDecoder, encode_frame

DEADLINE_S = 30.0


def await_until(holds: Callable[[], Any], what: str) -> Any:
    """Wait until something is true, and give it."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = holds()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {DEADLINE_S} s: {what}")


class Connection:
    """A client's connection to one node."""

    def __init__(self, port: int, hello: dict[str, Any] | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.decoder = FrameDecoder()
        self.frames: list[Any] = []
        self.number = 0
        self.send(hello or {"hello": "client"})

    def send(self, value: dict[str, Any]) -> None:
        self.socket.sendall(encode_frame(value))

    def receive(self) -> dict[str, Any] | None:
        """Give the next frame, None when the connection is closed."""
        while not self.frames:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.frames += self.decoder.feed(data)
        frame: dict[str, Any] = self.frames.pop(0)
        return frame

    def ask(self, **fields: Any) -> dict[str, Any]:
        self.number += 1
        self.send({"id": self.number, **fields})
        answer = self.receive()
        assert answer is not None
        assert answer["id"] == self.number
        return answer

    def close(self) -> None:
        self.socket.close()


class Cluster:
    """Three real nodes from the built zipapp."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.program = folder / bundle.NAME
        self.program.write_bytes(bundle.build())
        self.ports = dict(zip(("n1", "n2", "n3"), _free_ports(3), strict=True))
        self.options = options
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        config = self.folder / f"{name}.json"
        config.write_text(json.dumps(self.config(name)))
        with (self.folder / f"{name}.err").open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-I", str(self.program), "raft", "--config", str(config)],
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        self.processes[name] = process
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", self.stderr(name)

    def config(self, name: str) -> dict[str, Any]:
        return {
            "node": name,
            "peers": {peer: ["127.0.0.1", port] for peer, port in self.ports.items()},
            "data": str(self.folder / name),
            "trace": str(self.folder / f"{name}.jsonl"),
            "seed": 1,
            **self.options,
        }

    def stderr(self, name: str) -> str:
        return (self.folder / f"{name}.err").read_text()

    def signal(self, name: str, number: int) -> int:
        process = self.processes.pop(name)
        if process.poll() is None:
            process.send_signal(number)
        status = process.wait(DEADLINE_S)
        assert process.stdout is not None
        process.stdout.close()
        return status

    def connect(self, name: str) -> Connection:
        return Connection(self.ports[name])

    def status(self, name: str) -> dict[str, Any]:
        connection = self.connect(name)
        try:
            return connection.ask(admin="status")
        finally:
            connection.close()

    def leader(self) -> str:
        def find() -> str | None:
            found = [self.status(name) for name in self.processes]
            leading = [s for s in found if s["role"] == "leader" and s["commit"] > 0]
            return max(leading, key=lambda s: s["term"])["node"] if leading else None

        return str(await_until(find, "a leader"))

    def ask(self, **fields: Any) -> dict[str, Any]:
        """Ask whoever leads until the answer is good; only for what may be done twice."""

        def answer() -> dict[str, Any] | None:
            connection = self.connect(self.leader())
            try:
                found = connection.ask(**fields)
            finally:
                connection.close()
            return found if found["ok"] else None

        good: dict[str, Any] = await_until(answer, f"a good answer to {fields}")
        return good

    def close(self) -> None:
        for name in list(self.processes):
            self.signal(name, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    try:
        for name in made.ports:
            made.start(name)
        yield made
    finally:
        made.close()


def test_what_was_acknowledged_survives_kill_9_and_a_restart(cluster: Cluster) -> None:
    for i in range(20):
        assert cluster.ask(f="append", key="list", argument=i)["applied"]
    first = cluster.leader()
    assert cluster.signal(first, signal.SIGKILL) == -signal.SIGKILL
    written = cluster.ask(f="write", key="x", argument={"after": [first, 1.0, True]})
    second = cluster.leader()
    assert second != first
    cluster.start(first)
    await_until(
        lambda: cluster.status(first)["applied"] >= written["index"],
        "the restarted node caught up",
    )
    assert cluster.ask(f="read", key="x")["value"] == {"after": [first, 1.0, True]}
    read = cluster.ask(f="read", key="list")
    assert list(read["value"]) == list(range(20))
    assert read["index"] >= written["index"]
    commit = cluster.status(second)["commit"]
    dumps = [_dump_at(cluster, name, commit)["store"] for name in cluster.ports]
    assert dumps[0] == dumps[1] == dumps[2]
    assert dict(map(tuple, dumps[0])) == {"list": read["value"], "x": {"after": [first, 1.0, True]}}
    for name in cluster.ports:
        assert cluster.signal(name, signal.SIGTERM) == 0
    _judge_traces(cluster)


def _dump_at(cluster: Cluster, name: str, index: int) -> dict[str, Any]:
    def dump() -> dict[str, Any] | None:
        connection = cluster.connect(name)
        found = connection.ask(admin="dump")
        connection.close()
        return found if found["applied"] >= index else None

    whole: dict[str, Any] = await_until(dump, f"{name} applied everything up to {index}")
    return whole


def _judge_traces(cluster: Cluster) -> None:
    traces: dict[str, Any] = {}
    for name in cluster.ports:
        records, gaps = read_trace((cluster.folder / f"{name}.jsonl").read_bytes())
        assert gaps == []
        assert records[0]["event"] == "boot"
        stamps = [record["boot_ns"] for record in records]
        assert stamps == sorted(stamps)  # type: ignore[type-var]
        traces[name] = records
    assert violations(traces) == set()


def test_requests_answers_and_errors_on_the_wire(cluster: Cluster) -> None:
    leader = cluster.leader()
    other = next(name for name in cluster.ports if name != leader)
    client = cluster.connect(leader)
    assert client.ask(f="read", key=1)["value"] is None
    written = client.ask(f="write", key=1, argument=1)
    assert written == {
        "id": 2,
        "ok": True,
        "value": None,
        "applied": True,
        "index": written["index"],
        "node": leader,
    }
    assert client.ask(f="cas", key=1, argument=[True, 2])["applied"] is False
    assert client.ask(f="cas", key=1, argument=[1, 2])["index"] == written["index"] + 2
    assert client.ask(f="read", key=1)["value"] == 2
    answer = client.ask(f="delete", key=1)
    assert (answer["error"], answer["definite"]) == ("unknown-operation", True)
    answer = client.ask(f="write", key=1)
    assert (answer["error"], answer["definite"]) == ("bad-request", True)
    assert client.ask(admin="reboot")["error"] == "unknown-operation"
    status = client.ask(admin="status")
    assert set(status) == {
        *("id", "ok", "node", "role", "term", "leader", "commit", "applied", "last", "match"),
        *("snapshot", "members"),
    }
    refused = cluster.connect(other).ask(f="read", key=1)
    assert refused == {
        "id": 1,
        "ok": False,
        "error": "not-leader",
        "definite": True,
        "leader": leader,
        "node": other,
    }


def test_many_requests_on_one_connection_are_answered_in_order_of_the_log(cluster: Cluster) -> None:
    client = cluster.connect(cluster.leader())
    for i in range(500):
        client.send({"id": i, "f": "append", "key": "k", "argument": i})
    answers = [client.receive() for _ in range(500)]
    assert [answer["id"] for answer in answers if answer] == list(range(500))
    assert client.ask(f="read", key="k")["value"] == list(range(500))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        encode_frame({"id": 1, "f": "read", "key": 1}),
        encode_frame({"hello": "peer", "node": "stranger"}),
        encode_frame({"hello": "peer", "node": "n1"}) + encode_frame({"type": "gossip"}),
        encode_frame({"hello": "client"}) + encode_frame({"id": [[1]], "f": "read", "key": 1}),
        struct.pack(">I", 5) + b"nojsn",
    ],
)
def test_nonsense_closes_the_connection_and_nothing_else(cluster: Cluster, data: bytes) -> None:
    raw = socket.create_connection(("127.0.0.1", cluster.ports["n2"]), timeout=DEADLINE_S)
    raw.sendall(data)
    assert raw.recv(100) == b""
    raw.close()
    assert cluster.ask(f="write", key=1, argument=1)["ok"]


def test_a_paused_leader_is_replaced_and_rejoins(cluster: Cluster) -> None:
    old = cluster.leader()
    process = cluster.processes.pop(old)
    process.send_signal(signal.SIGSTOP)
    try:
        assert cluster.ask(f="write", key="x", argument="by the others")["ok"]
    finally:
        process.send_signal(signal.SIGCONT)
        cluster.processes[old] = process
    await_until(lambda: cluster.status(old)["role"] == "follower", "the old leader follows")
    assert cluster.ask(f="read", key="x")["value"] == "by the others"


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = path / bundle.NAME
    program.write_bytes(bundle.build())
    return subprocess.run(
        [sys.executable, "-I", str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_a_wrong_call_and_a_wrong_configuration_are_one_line(tmp_path: Path) -> None:
    result = run(tmp_path, "raft")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "usage" in result.stderr
    result = run(tmp_path, "raft", "--config", str(tmp_path / "none.json"))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "cannot be read: No such file" in result.stderr


def test_a_damaged_log_refuses_to_start_with_one_line(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    try:
        for name in cluster.ports:
            cluster.start(name)
        for i in range(5):
            cluster.ask(f="write", key="x", argument=i)
    finally:
        cluster.close()
    log = tmp_path / "n1" / "raft.log"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0xFF
    log.write_bytes(data)
    result = run(tmp_path, "raft", "--config", str(tmp_path / "n1.json"))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "is damaged at byte" in result.stderr


def test_an_address_in_use_is_one_line(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    with socket.create_server(("127.0.0.1", cluster.ports["n1"])):
        config = tmp_path / "n1.json"
        config.write_text(json.dumps(cluster.config("n1")))
        result = run(tmp_path, "raft", "--config", str(config))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "cannot listen on 127.0.0.1 port" in result.stderr


def test_a_trace_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "n1.json"
    config.write_text(json.dumps(Cluster(tmp_path).config("n1") | {"trace": "/dev/full"}))
    result = run(tmp_path, "raft", "--config", str(config))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "the trace /dev/full cannot be written: No space left on device" in result.stderr


def test_a_disk_that_fills_up_stops_the_node_and_takes_back_nothing(tmp_path: Path) -> None:
    alone = Cluster(tmp_path)
    alone.ports = {"n1": alone.ports["n1"]}
    alone.start("n1")
    try:
        client = alone.connect(alone.leader())
        number = alone.processes["n1"].pid
        size = (tmp_path / "n1" / "raft.log").stat().st_size
        resource.prlimit(number, resource.RLIMIT_FSIZE, (size + 20_000, size + 20_000))
        acknowledged = []
        for i in range(100):
            client.send({"id": i, "f": "append", "key": "k", "argument": f"{i} " + "x" * 1000})
            answer = client.receive()
            if answer is None:
                break
            acknowledged.append(i)
        process = alone.processes["n1"]
        assert process.wait(DEADLINE_S) == 1
        alone.signal("n1", 0)
        assert "raft.log cannot be written: File too large" in alone.stderr("n1")
        assert 5 < len(acknowledged) < 30
        alone.start("n1")
        assert "had a torn tail" in alone.stderr("n1")
        values = alone.ask(f="read", key="k")["value"]
        assert [int(value.split()[0]) for value in values] == acknowledged
    finally:
        alone.close()


def test_the_zipapp_is_the_same_every_time_and_holds_only_the_node() -> None:
    data = bundle.build()
    assert data == bundle.build()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert names == sorted(names)
    assert {"__main__.py", "splitbrain_node/main.py", "splitbrain_node/raft/core.py"} <= set(names)
    assert all(name == "__main__.py" or name.startswith("splitbrain_node/") for name in names)
    assert all(name.endswith(".py") for name in names)


def test_the_documentation_has_a_row_for_each_error_and_bug(repository: Path) -> None:
    pages = [repository / "docs" / name for name in ("raft.md", "store.md")]
    text = "\n".join(page.read_text() for page in pages)
    for row in ERRORS.values():
        definite = "definite" if row.definite else "indefinite"
        assert f"| `{row.code}` | {definite} | {row.meaning} |" in text
    for name in BUGS:
        assert f"| `{name}` |" in text


def test_the_node_imports_the_standard_library_alone(tmp_path: Path) -> None:
    packed = tmp_path / bundle.NAME
    packed.write_bytes(bundle.build())
    code = (
        f"import sys; sys.path.insert(0, {str(packed)!r}); import splitbrain_node.main, os;"
        "own = {'splitbrain_node', '__main__'};"
        "roots = {name.partition('.')[0] for name in sys.modules} - own;"
        "strange = roots - set(sys.stdlib_module_names);"
        "print(sorted(strange))"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert (result.stdout, result.stderr) == ("[]\n", "")
