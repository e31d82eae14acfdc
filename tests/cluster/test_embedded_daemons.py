"""Daemons on embedded hosts: started, killed, paused, let go, in layers."""

from __future__ import annotations

import itertools
import json

import pytest

from splitbrain.core.errors import HarnessError, SetupError
from splitbrain.core.system import DaemonSpec

pytestmark = pytest.mark.embedded
NODES = ("n1", "n2", "n3", "n4", "n5")


@pytest.fixture(scope="module")
def started(five, clock_daemon):
    """Five hosts with two daemons each; the second has a child and ignores every kind request."""
    script = "trap '' TERM HUP INT; echo begun; setsid sleep 1000 & sleep 1000; true"
    stubborn = DaemonSpec(name="stubborn", argv=("/bin/sh", "-c", script), ready_line="begun")
    five.start({node: [clock_daemon, stubborn] for node in NODES})
    yield five
    five.stop()
    assert five.host("n1").run(["pgrep", "-x", "sleep"], check=False).stdout == b""


def running(cluster, name="clock"):
    return {node for node in NODES if cluster.daemons.running(node)[name]}


def state(cluster, node, pid):
    return (
        cluster.host(node).run(["ps", "-o", "state=", "-p", str(pid)], check=False).stdout.strip()
    )


def test_killed_daemons_are_dead_and_stay_down(started):
    proof = started.daemons.kill("k", ["n1", "n2"])
    assert running(started) == {"n3", "n4", "n5"}
    assert running(started, "stubborn") == {"n3", "n4", "n5"}
    for node in ("n1", "n2"):
        assert len(proof[node]["clock"]) == 1
        assert len(proof[node]["stubborn"]) == 3  # the child in a session of its own too
        for pid in (*proof[node]["clock"], *proof[node]["stubborn"]):
            assert state(started, node, pid) in (b"", b"Z")
    started.daemons.release("k")
    started.daemons.release("k")
    assert running(started) == set(NODES)


def test_daemons_are_asked_to_end_killed_if_they_do_not_and_stay_down(started):
    proof = started.daemons.terminate("t", ["n1"])
    assert running(started) == {"n2", "n3", "n4", "n5"}
    assert len(proof["n1"]["clock"]["asked"]) == 1
    assert proof["n1"]["clock"]["killed"] == []
    stubborn = proof["n1"]["stubborn"]
    assert len(stubborn["asked"]) == 3
    assert stubborn["killed"]
    assert set(stubborn["killed"]) <= set(stubborn["asked"])
    started.daemons.release("t")
    assert running(started) == running(started, "stubborn") == set(NODES)


def test_one_daemon_of_a_node_is_killed_alone(started):
    proof = started.daemons.kill("k", ["n3"], "stubborn")
    assert list(proof["n3"]) == ["stubborn"]
    assert started.daemons.running("n3") == {"clock": True, "stubborn": False}
    started.daemons.release("k")
    assert started.daemons.running("n3") == {"clock": True, "stubborn": True}


def test_paused_daemons_stand_still_and_go_on_as_the_same(started):
    before = started.host("n4").run(["cat", "/run/splitbrain/daemons/clock.json"]).stdout
    proof = started.daemons.pause("p", ["n4"])
    assert len(proof["n4"]["stubborn"]) == 3
    for pid in (*proof["n4"]["clock"], *proof["n4"]["stubborn"]):
        assert state(started, "n4", pid) == b"T"
    assert started.daemons.running("n4") == {"clock": False, "stubborn": False}
    assert started.host("n4").run(["echo", "sshd lives"]).exit_status == 0
    started.daemons.release("p")
    assert started.daemons.running("n4") == {"clock": True, "stubborn": True}
    assert started.host("n4").run(["cat", "/run/splitbrain/daemons/clock.json"]).stdout == before


STEPS = {
    "kill": lambda cluster: cluster.daemons.kill("k", ["n1"], "clock"),
    "pause": lambda cluster: cluster.daemons.pause("p", ["n1"], "clock"),
    "second": lambda cluster: cluster.daemons.pause("q", ["n1"], "clock"),
}
LAYER = {"kill": "k", "pause": "p", "second": "q"}


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS, 2)))
def test_a_daemon_runs_only_when_nothing_holds_it(started, order):
    for ending in (order, order[::-1]):
        for step in order:
            STEPS[step](started)
        assert "n1" not in running(started)
        started.daemons.release(LAYER[ending[0]])
        assert "n1" not in running(started), f"{order}, {ending[0]} released first"
        started.daemons.release(LAYER[ending[1]])
        assert running(started) == set(NODES)


def test_killing_what_is_paused_and_pausing_what_is_dead_say_so(started):
    started.daemons.pause("p", ["n1"], "clock")
    assert len(started.daemons.kill("k", ["n1"], "clock")["n1"]["clock"]) == 1
    assert started.daemons.pause("q", ["n1"], "clock") == {"n1": {"clock": []}}
    for layer in "pkq":
        started.daemons.release(layer)
    assert running(started) == set(NODES)


def test_logs_go_on_over_lives(started, clock_daemon):
    path = started.log_paths("n2", clock_daemon)[0]
    before = started.host("n2").get(path).count(b"ready")
    started.daemons.kill("k", ["n2"], "clock")
    started.daemons.release("k")
    deadline_count = before + 1
    while (count := started.host("n2").get(path).count(b"ready")) < deadline_count:
        assert started.daemons.running("n2")["clock"]
    assert count == deadline_count


def test_an_unknown_daemon_is_named(started):
    with pytest.raises(HarnessError, match=r"n1 has no daemon 'x'; it has clock, stubborn"):
        started.daemons.kill("k", ["n1"], "x")


def test_a_daemon_killed_by_others_is_seen_and_started_at_release(started, wait_until):
    record = json.loads(started.host("n5").get("/run/splitbrain/daemons/clock.json"))
    started.host("n5").run(["kill", "-9", str(record["pid"])])
    wait_until(lambda: running(started) == {"n1", "n2", "n3", "n4"}, "it is gone")
    started.daemons.kill("k", ["n5"], "clock")
    started.daemons.release("k")
    assert running(started) == set(NODES)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            DaemonSpec(
                name="bad",
                argv=("/bin/sh", "-c", "echo no disk; echo bye >&2; exit 9"),
                ready_line="never",
            ),
            r"n1: the daemon bad ended at once \(status 9\): no disk \| bye",
        ),
        (
            DaemonSpec(name="bad", argv=("/bin/sh", "-c", "kill -6 $$"), ready_port=1),
            r"n1: the daemon bad ended at once \(signal 6\): it said nothing",
        ),
        (
            DaemonSpec(
                name="bad",
                argv=("/bin/sh", "-c", "echo hmm; exec sleep 1000"),
                ready_port=7777,
                ready_timeout_s=0.2,
            ),
            r"n1: the daemon bad was not ready within 0.2 s: port 7777 accepts no connection: hmm",
        ),
        (
            DaemonSpec(
                name="bad",
                argv=("/bin/sh", "-c", "exec sleep 1000"),
                ready_line="up",
                ready_timeout_s=0.2,
            ),
            r"n1: the daemon bad was not ready within 0.2 s: its output lacks 'up'",
        ),
        (
            DaemonSpec(name="bad", argv=("/no/such/program",)),
            r"n1: the daemon bad cannot be started: /no/such/program: No such file",
        ),
    ],
)
def test_a_daemon_that_does_not_come_up_is_named_with_its_log(one, spec, complaint):
    with pytest.raises(SetupError, match=complaint) as caught:
        one.start({"n1": [spec]})
    assert "\n" not in str(caught.value)
    one.stop()


def test_environment_folders_and_order_of_log_files(one):
    script = 'echo "$COLOUR $PWD $HOME"; ls -d /data/x; echo ready'
    spec = DaemonSpec(
        name="env",
        argv=("/bin/sh", "-c", f"{script}; exec sleep 1000"),
        env={"COLOUR": "blue", "LD_PRELOAD": "libm.so.6"},
        data_dirs=("/data/x",),
        logs=("/data/x/more.log",),
        ready_line="ready",
    )
    one.start({"n1": [spec]})
    paths = one.log_paths("n1", spec)
    assert list(paths) == ["/var/log/splitbrain/env.log", "/data/x/more.log"]
    text = one.host("n1").get(paths[0]).decode()
    assert "blue / /root\n/data/x\nready\n" in text
    pid = one.host("n1").run(["pgrep", "-x", "sleep"]).stdout.decode().strip()
    environ = one.host("n1").run(["cat", f"/proc/{pid}/environ"]).stdout
    assert b"clock_preload.so:libm.so.6" in environ
    one.stop()
    assert one.daemons.running("n1") == {"env": False}


def test_a_daemon_without_libc_preload_is_still_a_daemon(one):
    """What is started while a layer holds it waits for the release."""
    spec = DaemonSpec(name="late", argv=("/bin/sleep", "1000"))
    one.start({"n1": [spec]})
    one.daemons.kill("k", ["n1"])
    one.stop()
    one.daemons.release("k")
    assert one.daemons.running("n1") == {"late": False}
