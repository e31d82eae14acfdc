"""The simulated world by itself: links, disks, clocks and daemons do what faults ask, by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from splitbrain.cluster.sim.clocks import WALL_NS
from splitbrain.cluster.sim.disk import SimDisk
from splitbrain.cluster.sim.simulator import Simulator
from splitbrain.cluster.sim.swarm import CALM, draw_swarm
from splitbrain.cluster.sim.virtual_time import VirtualTime
from splitbrain.core.cluster import DiskTrouble, Skew, Trouble
from splitbrain.core.conversation import Answer, Ask, Heard, Lost, Unreachable
from splitbrain.core.errors import HarnessError
from splitbrain.core.randomness import Keyed
from splitbrain.core.simulated import Asked, Booted, Event, Moment, Step

S = 1_000_000_000


class Teller:
    """Sends what a client says to another node, writes down what it gets, and answers with it."""

    def __init__(self, disk: bytes) -> None:
        self.heard = disk

    def start(self, moment: Moment) -> Step:
        return Step()

    def handle(self, moment: Moment, events: Sequence[Event]) -> Step:
        step = Step(sends=[], replies=[])
        for event in events:
            if isinstance(event, Asked):
                to, _, text = event.payload.partition(b" ")
                if text:
                    step.sends = [*step.sends, (to.decode(), text)]
                step.replies = [*step.replies, (event.token, self.heard)]
            else:
                self.heard += event.payload
                step.writes += event.payload
        return step

    def persisted(self, moment: Moment, marks: Sequence[object]) -> Step:
        return Step()

    def stop(self, moment: Moment) -> Step:
        return Step()

    def encode_traces(self, moment: Moment, traces: Sequence[object]) -> bytes:
        return b""

    def answer(self, question: str) -> Mapping[str, Any] | None:
        return {"heard": self.heard.decode()}


class Tellers:
    name = "teller"

    def __init__(self, *, ordered: bool) -> None:
        self.ordered_links = ordered
        self.ask: Any = None

    def boot(self, node: str, topology: Any, disk: bytes, moment: Moment, number: int) -> Booted:
        return Booted(life=Teller(disk), disk=disk)

    def client_core(self, vocabulary: Any, topology: Any) -> Any:
        raise NotImplementedError

    def encode_request(self, request: Mapping[str, Any]) -> bytes:
        return str(request["say"]).encode()

    def decode_reply(self, payload: bytes) -> Mapping[str, Any]:
        return {"heard": payload.decode()}

    def message_kind(self, payload: bytes) -> str:
        return "word"

    def ask_by(self, ask: Any) -> None:
        self.ask = ask


class World:
    def __init__(self, *, ordered: bool = True) -> None:
        self.sim = Simulator(node_count=3, swarm=False)
        self.system = Tellers(ordered=ordered)
        self.sim.start(self.sim.inhabit(self.system, seed=1))

    def wait(self, seconds: float) -> None:
        self.sim.run_until(lambda: False, self.sim.now_ns + int(seconds * S))

    def say(self, node: str, words: str, timeout_s: float = 1.0) -> Heard:
        heard: list[Heard] = []
        deadline_ns = self.sim.now_ns + int(timeout_s * S)
        self.sim.ask("p0", Ask(node, {"say": words}), deadline_ns, heard.append)
        self.sim.run_until(lambda: bool(heard), deadline_ns + S)
        (only,) = heard
        return only

    def heard(self, node: str) -> str:
        return str(self.system.ask("anything")[node]["heard"])


def test_messages_arrive_and_are_durable() -> None:
    world = World()
    world.say("n1", "n2 a")
    world.wait(0.1)
    assert world.heard("n2") == "a"
    world.sim.daemons.kill("k", ["n2"])
    assert isinstance(world.say("n2", "n1 b"), Unreachable)
    world.sim.daemons.release("k")
    world.wait(1.0)
    assert world.heard("n2") == "a"


def test_cuts_are_one_way_and_by_layer() -> None:
    world = World()
    network = world.sim.network
    assert network is not None
    network.cut("one", {"n2": frozenset({"n1"})})
    network.cut("two", {"n2": frozenset({"n1"})})
    world.say("n1", "n2 a")
    world.say("n2", "n1 b")
    world.wait(0.1)
    assert (world.heard("n2"), world.heard("n1")) == ("", "b")
    network.mend("one")
    world.say("n1", "n2 c")
    world.wait(0.1)
    assert world.heard("n2") == ""
    network.mend("two")
    world.say("n1", "n2 d")
    world.wait(0.1)
    assert world.heard("n2") == "d"


@pytest.mark.parametrize("ordered", [True, False])
def test_only_links_that_keep_no_order_reorder_double_and_lose(ordered: bool) -> None:
    world = World(ordered=ordered)
    network = world.sim.network
    assert network is not None
    trouble = Trouble(delay_ms=20.0, jitter_ms=10.0, reorder=0.3, duplicate=0.3, loss=0.2)
    network.disturb("t", {"n1": {"n2": trouble}})
    words = "abcdefghijklmnopqrstuvwxyz"
    for letter in words:
        world.say("n1", f"n2 {letter}")
    world.wait(30.0)
    heard = world.heard("n2")
    if ordered:
        assert heard == words
    else:
        assert set(heard) < set(words)
        assert len(heard) > len(set(heard))
        assert list(heard) != sorted(heard)


def test_a_paused_node_takes_what_came_once_it_goes_on() -> None:
    world = World()
    world.sim.daemons.pause("p", ["n2"])
    world.say("n1", "n2 a")
    assert isinstance(world.say("n2", "n1 late", timeout_s=0.2), Lost)
    assert world.sim.daemons.running("n2") == {"teller": False}
    world.sim.daemons.release("p")
    world.wait(0.1)
    assert world.heard("n2") == "a"
    assert world.heard("n1") == "late"


def test_a_daemon_runs_only_when_no_layer_holds_it() -> None:
    world = World()
    daemons = world.sim.daemons
    daemons.kill("one", ["n1"])
    daemons.kill("two", ["n1"])
    daemons.release("one")
    world.wait(1.0)
    assert daemons.running("n1") == {"teller": False}
    daemons.release("two")
    world.wait(1.0)
    assert daemons.running("n1") == {"teller": True}


def test_a_daemon_that_is_starting_runs_unless_it_is_held_again() -> None:
    world = World()
    daemons = world.sim.daemons
    for _ in range(2):  # the start that comes first is that of the first time
        daemons.kill("one", ["n1"])
        assert daemons.running("n1") == {"teller": False}
        daemons.release("one")
        assert daemons.running("n1") == {"teller": True}
    world.wait(1.0)
    assert daemons.running("n1") == {"teller": True}
    daemons.kill("one", ["n1"])
    daemons.release("one")
    daemons.pause("two", ["n1"])
    assert daemons.running("n1") == {"teller": False}


def test_a_client_whose_node_dies_cannot_know() -> None:
    world = World()
    disks = world.sim.disks
    assert disks is not None
    disks.trouble("slow", {"n2": DiskTrouble(slow_ms=100.0)})
    world.say("n1", "n2 a")
    world.wait(0.01)  # n2 is waiting for its disk now
    heard: list[Heard] = []
    world.sim.ask("p1", Ask("n2", {"say": "n1 b"}), world.sim.now_ns + S, heard.append)
    world.wait(0.05)
    world.sim.daemons.kill("k", ["n2"])
    world.wait(0.1)
    assert heard == [Lost("n2: the connection was closed")]


def test_a_disk_that_fails_ends_the_node_and_a_healed_one_lets_it_start() -> None:
    world = World()
    disks = world.sim.disks
    assert disks is not None
    disks.trouble("full", {"n2": DiskTrouble(full=True)})
    world.say("n1", "n2 a")
    world.wait(0.1)
    assert world.sim.daemons.running("n2") == {"teller": False}
    log = world.sim.host("n2").get("/daemon.log").decode()
    assert "No space left on device" in log
    disks.release("full")
    world.sim.daemons.kill("again", ["n2"])
    world.sim.daemons.release("again")
    world.wait(1.0)
    assert isinstance(world.say("n2", "n1 b"), Answer)


def test_a_crash_keeps_all_some_or_none_of_what_was_not_synced() -> None:
    lengths = set()
    for seed in range(60):
        disk = SimDisk(rng=Keyed.of(seed), swarm=CALM, data=bytearray(b"safe"))
        disk.begin()
        disk.tear(Step(writes=b"0123456789"))
        assert bytes(disk.data).startswith(b"safe")
        assert b"safe0123456789".startswith(bytes(disk.data))
        lengths.add(len(disk.data) - 4)
    assert {0, 10} < lengths


def test_a_crash_leaves_the_old_log_or_the_new_one_whole() -> None:
    found = set()
    for seed in range(60):
        disk = SimDisk(rng=Keyed.of(seed), swarm=CALM, data=bytearray(b"old"))
        disk.begin()
        disk.tear(Step(writes=b"new log", rewrites=True))
        found.add(bytes(disk.data))
    assert found == {b"old", b"new log"}


def test_wall_clocks_lie_by_layer_and_monotonic_ones_never() -> None:
    world = World()
    clocks = world.sim.clocks
    assert clocks is not None
    clocks.skew("one", {"n1": Skew(offset_ns=5 * S)})
    clocks.skew("two", {"n1": Skew(offset_ns=-2 * S)})
    assert clocks.sample("n1") == (3 * S, 0)
    assert clocks.sample("n2") == (0, 0)
    clocks.release("one")
    assert clocks.sample("n1") == (-2 * S, 0)
    clocks.release("two")
    assert clocks.sample("n1") == (0, 0)


def test_power_is_lost_by_all_at_one_moment() -> None:
    world = World()
    hosts = world.sim.hosts
    assert hosts is not None
    assert hosts.cannot_cut_power() is None
    hosts.cut_power(["n1", "n2", "n3"])
    assert not world.system.ask("anything")
    world.wait(1.0)
    assert isinstance(world.say("n1", "n2 a"), Answer)


def test_time_that_does_not_pass_is_an_error() -> None:
    time = VirtualTime()

    def again() -> None:
        time.after(0, again)

    again()
    with pytest.raises(HarnessError, match="does not pass"):
        time.run_until(lambda: False, time.now_ns + S)


def test_worlds_differ_by_seed_and_only_by_seed() -> None:
    assert draw_swarm(3) == draw_swarm(3)
    worlds = [draw_swarm(seed) for seed in range(40)]
    assert len(set(worlds)) == 40
    for name in ("tail", "loss", "double", "rate_ppm"):
        on = sum(bool(getattr(world, name)) for world in worlds)
        assert 5 < on < 35, name


def test_what_comes_while_a_node_is_busy_is_one_batch() -> None:
    sizes: list[int] = []

    class Counter(Teller):
        def handle(self, moment: Moment, events: Sequence[Event]) -> Step:
            sizes.append(len(events))
            return Step()

    class Counters(Tellers):
        def boot(
            self, node: str, topology: Any, disk: bytes, moment: Moment, number: int
        ) -> Booted:
            return Booted(life=Counter(disk), disk=disk)

    sim = Simulator(node_count=1, swarm=False)
    sim.start(sim.inhabit(Counters(ordered=True), seed=1))
    node = sim._nodes["n1"]
    for number in range(4):
        node.take(Asked(number, b""))  # all at one moment: the first finds the node free
    sim.run_until(lambda: False, sim.now_ns + CALM.busy_ns)
    assert sizes == [1, 3]
    sim.run_until(lambda: False, sim.now_ns + CALM.busy_ns)
    node.take(Asked(9, b""))
    assert sizes == [1, 3, 1]


def test_every_question_ends_at_its_own_deadline() -> None:
    world = World()
    world.sim.daemons.pause("p", ["n2"])
    began_ns = world.sim.now_ns
    ended: dict[int, int] = {}
    for ms in (50, 400, 20, 300, 20):
        world.sim.ask(
            "p0",
            Ask("n2", {"say": ""}),
            began_ns + ms * 1_000_000,
            lambda heard, ms=ms: ended.setdefault(ms, world.sim.now_ns - began_ns),  # type: ignore[misc]
        )
    world.wait(1.0)
    assert ended == {ms: ms * 1_000_000 for ms in (50, 400, 20, 300)}


class Ticker(Teller):
    """Writes down when it was asked, and wants to be asked again, `times` times."""

    pause_ns = S // 10
    times = 1 << 30

    def __init__(self, disk: bytes) -> None:
        super().__init__(disk)
        self.asked_ns: list[int] = []

    def start(self, moment: Moment) -> Step:
        return Step(timer_ns=moment.now_ns + self.pause_ns, sets_timer=True)

    def handle(self, moment: Moment, events: Sequence[Event]) -> Step:
        self.asked_ns.append(moment.now_ns)
        again = len(self.asked_ns) < self.times
        return Step(timer_ns=moment.now_ns + self.pause_ns if again else None, sets_timer=True)


def inhabited(life: Teller) -> Simulator:
    """Give a world of one node with this life."""

    class Only(Tellers):
        def boot(
            self, node: str, topology: Any, disk: bytes, moment: Moment, number: int
        ) -> Booted:
            return Booted(life=life, disk=disk)

    sim = Simulator(node_count=1, swarm=False)
    sim.start(sim.inhabit(Only(ordered=True), seed=1))
    return sim


def test_a_timer_that_rang_during_a_pause_rings_once_the_node_goes_on() -> None:
    ticker = Ticker(b"")
    sim = inhabited(ticker)
    sim.run_until(lambda: False, sim.now_ns + S)
    sim.daemons.pause("p", ["n1"])
    before = len(ticker.asked_ns)
    sim.run_until(lambda: False, sim.now_ns + S)
    assert before in (9, 10)
    assert len(ticker.asked_ns) == before
    sim.daemons.release("p")
    sim.run_until(lambda: False, sim.now_ns + S)
    assert len(ticker.asked_ns) - before in (10, 11)


def test_a_timer_waits_while_the_node_is_busy() -> None:
    class Hasty(Ticker):
        pause_ns = 1_000
        times = 5

    hasty = Hasty(b"")
    sim = inhabited(hasty)
    sim.run_until(lambda: False, sim.now_ns + S)
    gaps = [later - sooner for sooner, later in pairwise(hasty.asked_ns)]
    assert gaps == [CALM.busy_ns] * 4


def test_a_client_that_asks_for_ever_at_its_deadline_is_an_error() -> None:
    world = World()
    world.sim.daemons.pause("p", ["n2"])
    deadline_ns = world.sim.now_ns + S // 10
    asked = 0

    def again(heard: Heard | None = None) -> None:
        nonlocal asked
        asked += 1
        assert asked < 1_000_000
        world.sim.ask("p0", Ask("n2", {"say": ""}), deadline_ns, again)

    again()
    with pytest.raises(HarnessError, match="does not pass"):
        world.wait(1.0)


def test_a_crash_of_an_idle_node_may_strike_in_the_middle_of_its_next_step() -> None:
    """What was on its way to it is kept whole, in part or not at all, and comes no second time."""
    found = set()
    for seed in range(100):
        world = World()
        node = world.sim._nodes["n2"]
        node.rng, node.disk.rng = Keyed.of(seed), Keyed.of(seed, "disk")
        node.send("n1", "n2", b"abcdefgh")
        world.sim.daemons.kill("k", ["n2"])
        found.add(bytes(node.disk.data))
        world.sim.daemons.release("k")
        world.wait(1.0)
        assert world.heard("n2") == node.disk.data.decode()
    assert {b"", b"abcdefgh"} <= found
    assert len(found) > 2
    assert all(b"abcdefgh".startswith(data) for data in found)


def test_what_a_crash_took_early_arrived_then_and_never_again() -> None:
    sim = Simulator(node_count=3, swarm=False, messages=True)
    sim.start(sim.inhabit(Tellers(ordered=True), seed=1))
    node, began_ns = sim._nodes["n2"], sim.now_ns
    node.send("n1", "n2", b"word")
    for seed in range(100):  # until one crash strikes while the node takes the word
        node.rng = Keyed.of(seed)
        node.crash()
        (message,) = sim.messages() or ()
        if message.fate == "delivered":
            break
        node.life = Teller(b"")
    assert message.arrived_ns == began_ns
    assert not [act for _, _, act, _ in sim._time.pending() if act.__name__ == "_arrive"]


def recorded(*, ordered: bool = True) -> Simulator:
    sim = Simulator(node_count=3, swarm=False, messages=True)
    sim.start(sim.inhabit(Tellers(ordered=ordered), seed=1))
    return sim


def test_a_message_that_comes_twice_is_recorded_twice() -> None:
    sim = recorded(ordered=False)
    assert sim.network is not None
    sim.network.disturb("t", {"n1": {"n2": Trouble(duplicate=1.0)}})
    sim._nodes["n1"].send("n1", "n2", b"word")
    first, second = sim.messages() or ()
    assert (first.fate, second.fate) == ("under way", "under way a second time")
    sim.run_until(lambda: False, sim.now_ns + S)
    first, second = sim.messages() or ()
    assert (first.number, second.number) == (0, 1)
    assert (first.fate, second.fate) == ("delivered", "delivered a second time")
    assert first.sent_ns == second.sent_ns
    assert first.arrived_ns is not None
    assert second.arrived_ns is not None
    assert first.arrived_ns < second.arrived_ns
    assert sim._nodes["n2"].life.heard == b"wordword"  # type: ignore[union-attr]


def test_the_second_of_two_may_be_cut_alone() -> None:
    sim = recorded(ordered=False)
    assert sim.network is not None
    sim.network.disturb("t", {"n1": {"n2": Trouble(duplicate=1.0)}})
    sim._nodes["n1"].send("n1", "n2", b"word")
    sim.run_until(lambda: (sim.messages() or ())[0].fate == "delivered", sim.now_ns + S)
    sim.network.cut("c", {"n2": frozenset({"n1"})})
    sim.run_until(lambda: False, sim.now_ns + S)
    assert [item.fate for item in sim.messages() or ()] == ["delivered", "cut"]


def test_a_message_to_a_dead_node_found_nobody_and_one_to_a_paused_node_was_delivered() -> None:
    sim = recorded()
    sim.daemons.kill("k", ["n2"])
    sim.daemons.pause("p", ["n3"])
    for receiver in ("n2", "n3"):
        sim._nodes["n1"].send("n1", receiver, b"word")
    sim.run_until(lambda: False, sim.now_ns + S)
    dead, paused = sim.messages() or ()
    assert (dead.fate, dead.arrived_ns) == ("nobody there", None)
    assert (paused.fate, paused.arrived_ns is None) == ("delivered", False)


def test_a_message_says_what_the_clocks_of_its_sender_showed() -> None:
    """They tell when a record of its trace was written, which knows of these clocks alone."""
    sim = recorded()
    assert sim.clocks is not None
    node = sim._nodes["n1"]
    node.clock.rate_ppm = 20_000
    sim.clocks.skew("s", {"n1": Skew(offset_ns=5 * S)})
    node.send("n1", "n2", b"word")
    sim.ask("p0", Ask("n1", {"say": ""}), sim.now_ns + S, lambda heard: None)
    sim.run_until(lambda: False, sim.now_ns + S)
    sent, request, reply = sim.messages() or ()
    assert sent.boot_ns == sent.sent_ns * 102 // 100
    assert sent.wall_ns == WALL_NS + sent.sent_ns + 5 * S
    assert (request.boot_ns, request.wall_ns) == (None, None)
    assert reply.boot_ns == reply.sent_ns * 102 // 100
