"""Control over SSH, and its traps."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import paramiko
import pytest
from paramiko.common import cMSG_CHANNEL_EOF

from splitbrain.cluster.embedded import Embedded
from splitbrain.cluster.keys import KeyPair
from splitbrain.cluster.ssh import Endpoint, SshHost, authenticated, connect_directly
from splitbrain.core.errors import RemoteError

pytestmark = pytest.mark.embedded


@pytest.fixture
def host(one):
    return one.host("n1")


def test_arguments_arrive_as_they_were_given(host):
    words = ["a b", "$HOME", "'", '"', "*", "", "ü\n;rm"]
    done = host.run(["printf", "%s|", *words])
    assert done.stdout.decode() == "".join(f"{word}|" for word in words)
    assert done.exit_status == 0
    assert done.argv == ("printf", "%s|", *words)


def test_an_exit_status_is_an_error_unless_it_is_asked_for(host):
    argv = ["sh", "-c", "echo first >&2; echo why >&2; exit 7"]
    assert host.run(argv, check=False).exit_status == 7
    with pytest.raises(RemoteError, match=r"^n1: sh -c .*: exit status 7: why$") as caught:
        host.run(argv)
    assert caught.value.exit_status == 7


def test_an_error_is_one_line_whatever_the_command_was(host):
    with pytest.raises(RemoteError) as caught:
        host.run(["sh", "-c", "set -e\n\nfalse\n"])
    assert str(caught.value) == "n1: sh -c set -e false: exit status 1"
    assert caught.value.argv == ("sh", "-c", "set -e\n\nfalse\n")


def test_a_signal_is_no_exit_status(host):
    with pytest.raises(RemoteError, match="killed by a signal") as caught:
        host.run(["sh", "-c", "kill -9 $PPID; true"])
    assert caught.value.exit_status is None


def test_ten_megabytes_on_both_streams(host):
    script = (
        "import sys\nfor _ in range(160): sys.stdout.write('o'*65536); sys.stderr.write('e'*65536)"
    )
    done = host.run(["/usr/bin/python3", "-c", script], timeout_s=60)
    assert done.stdout == b"o" * (160 << 16)
    assert done.stderr == b"e" * (160 << 16)


def test_huge_input_comes_back_while_it_is_sent(host):
    data = bytes(range(256)) * 40_000
    assert host.run(["cat"], stdin=data, timeout_s=60).stdout == data


def test_input_that_nobody_reads_does_not_hang(host):
    done = host.run(["sh", "-c", "exec <&-; echo out; exit 3"], stdin=b"x" * 8_000_000, check=False)
    assert (done.exit_status, done.stdout) == (3, b"out\n")


def test_a_child_that_holds_the_output_does_not_hold_the_call(host):
    began = time.monotonic()
    done = host.run(["sh", "-c", "sleep 300 & echo $!"], timeout_s=60)
    assert time.monotonic() - began < 30
    assert done.exit_status == 0
    host.run(["kill", done.stdout.decode().strip()])


def test_the_deadline_ends_the_wait_and_others_go_on(host):
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(host.run, ["sh", "-c", "sleep 2; echo done"], timeout_s=30)
        began = time.monotonic()
        with pytest.raises(RemoteError, match=r"timed out after 0.5 s") as caught:
            host.run(["sleep", "5"], timeout_s=0.5)
        assert time.monotonic() - began < 5
        assert caught.value.exit_status is None
        assert other.result().stdout == b"done\n"
    assert host.run(["echo", "again"]).stdout == b"again\n"


def test_a_node_that_is_paused_in_mid_command(host):
    """Its kernel answers and its sshd does not: the deadline works, and the next call connects."""
    pause = "pkill -STOP -x sshd; sleep 3; pkill -CONT -x sshd"
    host.run(["sh", "-c", f"setsid sh -c '{pause}' >/dev/null 2>&1 </dev/null & sleep 0"])
    with pytest.raises(RemoteError, match="timed out after"):
        _call_for_ever(host)
    deadline = time.monotonic() + 30
    while True:
        try:
            assert host.run(["echo", "back"], timeout_s=2).stdout == b"back\n"
            break
        except RemoteError:
            assert time.monotonic() < deadline


def test_a_broken_connection_is_replaced_and_no_command_repeated(host):
    host.run(["rm", "-f", "/tmp/count"])
    script = "echo x >> /tmp/count; kill -9 $(ps -o ppid= -p $PPID)"
    with pytest.raises(RemoteError, match="connection was lost"):
        host.run(["sh", "-c", f"{script}; sleep 10; true"])
    assert host.run(["cat", "/tmp/count"]).stdout == b"x\n"


def test_what_is_said_behind_the_close_of_a_command_ends_no_connection(one, wait_until):
    """The message was made before the command's end was heard, and goes out after it."""
    transport = authenticated(endpoint_of(one), connect_directly, 10.0)
    channel = transport.lend(10.0)
    channel.exec_command("true")
    wait_until(lambda: channel.closed, "the server closed it")
    late = paramiko.Message()
    late.add_byte(cMSG_CHANNEL_EOF)
    late.add_int(channel.remote_chanid)
    transport._send_user_message(late)
    transport.leave(channel)
    for number in range(20):  # more than a server lends at once: what was left is free again
        other = transport.lend(10.0)
        other.exec_command(f"echo {number}")
        assert other.makefile("rb").read() == b"%d\n" % number
        transport.leave(other)
        transport.leave(other)
    assert (transport.lent, transport.unanswered) == (set(), set())
    transport.end()


def test_nobody_reads_a_connection_any_more_that_was_let_go(one):
    """A reader that is still there could take bytes from whoever gets the descriptor next."""
    host = SshHost(endpoint_of(one))
    before = set(threading.enumerate())
    host.run(["true"])
    readers = [
        thread
        for thread in set(threading.enumerate()) - before
        if isinstance(thread, paramiko.Transport)
    ]
    assert len(readers) == 1
    host.close()
    assert not readers[0].is_alive()
    assert readers[0].sock.fileno() == -1


def test_calls_of_many_threads_share_the_connection(host):
    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(lambda n: host.run(["echo", str(n)]).stdout, range(100)))
    assert results == [f"{n}\n".encode() for n in range(100)]


def test_a_file_is_written_whole_with_its_folders_and_mode(host):
    data = bytes(range(256)) * 5000
    host.put(data, "/var/tmp/deep/er/file", mode=0o640)
    assert host.get("/var/tmp/deep/er/file") == data
    assert host.run(["stat", "-c", "%a", "/var/tmp/deep/er/file"]).stdout == b"640\n"
    host.put(b"", "/var/tmp/deep/er/file")
    assert host.get("/var/tmp/deep/er/file") == b""
    assert host.run(["ls", "-A", "/var/tmp/deep/er"]).stdout == b"file\n"


def test_a_file_that_cannot_be_written_leaves_the_old_one(host):
    host.put(b"old", "/var/tmp/kept/file")
    with pytest.raises(RemoteError, match=r"^n1: put /var/tmp/kept/file/below"):
        host.put(b"new", "/var/tmp/kept/file/below")
    host.run(["sh", "-c", "mkdir -p /small && mount -t tmpfs -o size=64k tmpfs /small"])
    host.put(b"old", "/small/file")
    with pytest.raises(RemoteError, match="No space left"):
        host.put(b"x" * 1_000_000, "/small/file")
    assert host.get("/small/file") == b"old"
    assert host.run(["ls", "-A", "/small"]).stdout == b"file\n"


def test_a_part_of_a_file_is_read(host):
    data = bytes(n % 251 for n in range(3_000_000))
    host.put(data, "/var/tmp/long")
    assert host.get("/var/tmp/long") == data
    assert host.get("/var/tmp/long", offset=100, limit_bytes=50) == data[100:150]
    assert host.get("/var/tmp/long", offset=2_999_990) == data[-10:]
    assert host.get("/var/tmp/long", offset=4_000_000) == b""
    assert host.get("/var/tmp/long", limit_bytes=2_000_001) == data[:2_000_001]


@pytest.mark.parametrize("path", ["/var/tmp/link", "/dev/zero", "/var/tmp/fifo", "/var/tmp"])
def test_only_regular_files_are_read(host, path):
    host.run(["sh", "-c", "cd /var/tmp; ln -sf /etc/passwd link; [ -p fifo ] || mkfifo fifo"])
    with pytest.raises(RemoteError, match="not a regular file"):
        host.get(path)
    assert host.run(["echo", "on"]).stdout == b"on\n"


def test_a_file_that_cannot_be_read_is_no_empty_file(host):
    with pytest.raises(RemoteError, match=r"^n1: get /proc/self/mem: .*error") as caught:
        host.get("/proc/self/mem")
    assert caught.value.exit_status == 1


def test_a_file_that_is_not_there_is_named(host):
    with pytest.raises(RemoteError, match=r"^n1: get /var/tmp/absent: there is no such file$"):
        host.get("/var/tmp/absent")


def endpoint_of(cluster: Embedded, **changes) -> Endpoint:
    running = cluster._running
    values = {
        "node": "n1",
        "address": cluster.topology.addresses["n1"],
        "host_key": running.host_keys["n1"].for_paramiko(),
        "client_key": running.client_key.for_paramiko(),
    }
    return Endpoint(**{**values, **changes})


def test_a_host_with_another_key_is_refused(one):
    impostor = SshHost(endpoint_of(one, host_key=KeyPair.generate().for_paramiko()))
    with pytest.raises(RemoteError, match="another key than its own"):
        impostor.run(["true"])


def test_another_key_of_ours_does_not_enter(one):
    stranger = SshHost(endpoint_of(one, client_key=KeyPair.generate().for_paramiko()))
    with pytest.raises(RemoteError, match=r"cannot connect: Authentication failed"):
        stranger.run(["true"])


def test_neither_agent_nor_user_keys_are_tried(one, monkeypatch):
    def fail(*_: object) -> None:
        message = "the agent was asked"
        raise AssertionError(message)

    monkeypatch.setattr(paramiko, "Agent", fail)
    host = SshHost(endpoint_of(one))
    assert host.run(["echo", "in"]).stdout == b"in\n"
    host.close()


def test_a_port_where_nobody_listens_is_an_error_at_once(one):
    began = time.monotonic()
    with pytest.raises(RemoteError, match=r"cannot connect: .*refused"):
        SshHost(endpoint_of(one, port=9)).run(["true"])
    assert time.monotonic() - began < 5


def test_a_server_that_says_nothing_is_late(one):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    mute = SshHost(endpoint_of(one, address="127.0.0.1", port=port))
    with pytest.raises(RemoteError):
        mute.run(["true"], timeout_s=1)
    listener.close()


def test_a_call_waits_for_a_slow_connection_no_longer_than_its_deadline(one):
    """Another thread is still connecting: the lock is no excuse."""
    gate = threading.Event()

    def slow(endpoint, timeout_s):
        gate.wait(20)
        return connect_directly(endpoint, timeout_s)

    host = SshHost(endpoint_of(one), connect=slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(host.run, ["echo", "first"])
        while host._lock.acquire(blocking=False):
            host._lock.release()
        with pytest.raises(RemoteError, match=r"timed out after 0\.2 s"):
            host.run(["echo", "second"], timeout_s=0.2)
        gate.set()
        assert first.result().stdout == b"first\n"
    host.close()


def test_a_dead_host_is_an_error_at_once(wait_until):
    cluster = Embedded(node_count=1)
    with cluster.entered():
        try:
            cluster.up()
            host = cluster.host("n1")
            life = cluster._running.processes["n1"]
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(host.run, ["sleep", "100"], timeout_s=100)
                wait_until(lambda: len(_sleepers(host)) > 0, "the command runs")
                life.kill()
                life.await_death()
                with pytest.raises(
                    RemoteError, match=r"^n1: sleep 100: (the host is down|the conn)"
                ):
                    waiting.result(timeout=30)
            with pytest.raises(RemoteError, match=r"^n1: true: the host is down$"):
                host.run(["true"])
        finally:
            cluster.down()


def _call_for_ever(host):
    while True:
        host.run(["true"], timeout_s=1.0)


def _sleepers(host):
    return host.run(["pgrep", "-x", "sleep"], check=False).stdout.split()
