"""Every family of faults against a bed that keeps layers as the facets promise."""

from __future__ import annotations

import json
import threading

import pytest

from splitbrain.core.cluster import Bed, Burden, DiskDamage, DiskTrouble, Skew, Trouble
from splitbrain.core.errors import HarnessError, RemoteError, UsageError
from splitbrain.core.fault import At, Fault, Injection, Resolved, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.nemeses import packets
from splitbrain.nemeses.clock import Clock
from splitbrain.nemeses.disk import DAMAGES, Damage, Disk
from splitbrain.nemeses.machine import Power, Reboot
from splitbrain.nemeses.packets import Packets
from splitbrain.nemeses.partition import SHAPES, Partition
from splitbrain.nemeses.process import Kill, Pause, Restart, Stop
from splitbrain.nemeses.stress import Stress

NODES = ("n1", "n2", "n3", "n4", "n5")


class Facet:
    """Any facet: layers with what was asked of them."""

    def __init__(self):
        self.layers = {}

    def _take(self, layer, *what):
        self.layers[layer] = what
        return {"took": layer}

    cut = skew = disturb = burden = trouble = _take
    reason = None
    armed = 0
    dead = ()

    def cannot_disturb(self):
        return self.reason

    cannot_trouble = cannot_disturb

    def arm(self):
        self.armed += 1

    def damage(self, damages):
        self.damages = damages
        return {"damaged": sorted(damages)}

    def running(self, node):
        return {"raft": node not in self.dead}

    def kill(self, layer, nodes, daemon=None):
        return self._take(layer, "kill", tuple(nodes), daemon)

    def pause(self, layer, nodes, daemon=None):
        return self._take(layer, "pause", tuple(nodes), daemon)

    def terminate(self, layer, nodes, daemon=None):
        return self._take(layer, "terminate", tuple(nodes), daemon)

    def mend(self, layer):
        self.layers.pop(layer, None)

    release = mend


class Machines:
    """Hosts that reboot, or do not come back at once."""

    def __init__(self, *lost):
        self.lost = set(lost)
        self.rebooted = []
        self.reason = None

    def reboot(self, node):
        self.rebooted.append(node)
        if node in self.lost:
            self.lost.discard(node)
            raise RemoteError(node, ["reboot"], reason="it is away")
        return {"back": node}

    def cannot_cut_power(self):
        return self.reason

    def cut_power(self, nodes):
        return {"cut": list(nodes)}


def bed(**facets):
    full = {"network": Facet(), "clocks": Facet(), "daemons": Facet(), "burdens": Facet()}
    full |= {"disks": Facet(), "hosts": Machines(), "host": lambda node: None}
    return Bed(nodes=NODES, **(full | facets))


def view(*primaries, seed=1, nodes=NODES):
    return View(nodes=nodes, primaries=primaries, rng=Keyed.of(seed))


def fault(kind, target=None, **params):
    return Fault(
        id=f"{kind}-1", kind=kind, start=At(1.0), duration_s=2.0, target=target, params=params
    )


def through_json(resolved):
    return Resolved.from_value(json.loads(json.dumps(resolved.to_value())))


@pytest.mark.parametrize("shape", [s for s in SHAPES if s != "group"])
@pytest.mark.parametrize("seed", range(10))
def test_every_shape_of_partition_cuts_what_it_resolved_to_and_mends_it(shape, seed):
    nemesis, where = Partition(), bed()
    resolved = nemesis.resolve(fault("partition", shape=shape), view("n3", seed=seed))
    assert resolved == nemesis.resolve(fault("partition", shape=shape), view("n3", seed=seed))
    injection = nemesis.inject(where, through_json(resolved))
    (grudge,) = where.network.layers["partition-1"]
    assert grudge
    assert {v: sorted(p) for v, p in grudge.items()} == resolved.detail["grudge"]
    assert injection.proof == {"took": "partition-1"}
    nemesis.heal(where, injection)
    nemesis.heal(where, injection)
    assert not where.network.layers


def test_the_leader_is_alone_and_a_majority_stays():
    resolved = Partition().resolve(fault("partition", shape="leader"), view("n3", "n1"))
    assert resolved.nodes == ("n3",)
    assert resolved.detail["grudge"]["n3"] == ["n1", "n2", "n4", "n5"]
    sizes = {
        len(Partition().resolve(fault("partition", shape="majority"), view(seed=s)).nodes)
        for s in range(40)
    }
    assert sizes == {1, 2}


def test_a_partition_of_given_nodes():
    resolved = Partition().resolve(fault("partition", ["n1", "n2"]), view())
    assert resolved.nodes == ("n1", "n2")
    assert resolved.detail["shape"] == "group"
    assert resolved.detail["grudge"]["n1"] == ["n3", "n4", "n5"]
    custom = Partition().resolve(fault("partition", grudge={"n1": ["n2"]}), view())
    assert custom.detail["grudge"] == {"n1": ["n2"]}
    one_way = fault("partition", "leader", shape="one-way", direction="mute")
    assert Partition().resolve(one_way, view("n2")).detail["grudge"] == {
        node: ["n2"] for node in ("n1", "n3", "n4", "n5")
    }


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (fault("partition", shape="star"), "no shape of a partition; there are halves"),
        (fault("partition", shape="group"), "needs a target"),
        (fault("partition", shape="one-way", direction="up"), "no direction"),
        (fault("partition", shape="leader"), "nobody believes to lead"),
        (fault("partition", list(NODES)), "would cut nothing"),
        (fault("partition", grudge={"n1": ["n9"]}), "no node 'n9'"),
    ],
)
def test_partitions_that_cannot_be(asked, complaint):
    with pytest.raises(HarnessError, match=complaint):
        Partition().resolve(asked, view())


def test_what_is_pinned_must_fit_the_bed():
    resolved = Resolved(fault=fault("partition"), nodes=("n9",), detail={"grudge": {"n9": ["n1"]}})
    with pytest.raises(HarnessError, match="no node 'n9'"):
        Partition().inject(bed(), resolved)
    with pytest.raises(HarnessError, match="no node 'n9'"):
        Kill().inject(bed(), Resolved(fault=fault("kill"), nodes=("n9",)))
    skews = {"n9": {"offset_ns": 1, "rate_ppb": 0, "strobe_ns": 0}}
    with pytest.raises(HarnessError, match="no node 'n9'"):
        Clock().inject(bed(), Resolved(fault=fault("clock"), nodes=(), detail={"skews": skews}))
    skews = {"n1": {"offset_ns": 1.5, "rate_ppb": 0, "strobe_ns": 0}}
    with pytest.raises(HarnessError, match="whole number 'offset_ns'"):
        Clock().inject(bed(), Resolved(fault=fault("clock"), nodes=(), detail={"skews": skews}))


@pytest.mark.parametrize(
    ("nemesis", "verb"), [(Kill(), "kill"), (Pause(), "pause"), (Stop(), "terminate")]
)
def test_kill_and_pause_act_on_the_daemon_of_their_nodes(nemesis, verb):
    where = bed()
    asked = fault(verb, "leader", daemon="raft")
    assert nemesis.unavailable(where) is None
    injection = nemesis.inject(where, through_json(nemesis.resolve(asked, view("n2"))))
    assert where.daemons.layers == {f"{verb}-1": (verb, ("n2",), "raft")}
    nemesis.heal(where, injection)
    nemesis.heal(where, injection)
    assert not where.daemons.layers
    with pytest.raises(UsageError, match="'daemon' must be a name"):
        nemesis.resolve(fault(verb, daemon=3), view())


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"shape": "jump", "offset_s": -1.5}, Skew(-1_500_000_000, 0, 0)),
        ({"offset_s": 2}, Skew(2_000_000_000, 0, 0)),
        ({"shape": "rate", "rate_ppb": -250}, Skew(0, -250, 0)),
        ({"shape": "strobe", "offset_s": 1, "period_s": 0.25}, Skew(10**9, 0, 250_000_000)),
    ],
)
def test_clocks_lie_as_asked(params, expected):
    nemesis, where = Clock(), bed()
    resolved = nemesis.resolve(fault("clock", ["n1", "n2"], **params), view())
    injection = nemesis.inject(where, through_json(resolved))
    assert where.clocks.layers == {"clock-1": ({"n1": expected, "n2": expected},)}
    nemesis.heal(where, injection)
    nemesis.heal(where, injection)
    assert not where.clocks.layers


def test_a_scramble_gives_each_node_an_offset_of_its_own():
    resolved = Clock().resolve(fault("clock", "all", shape="scramble", offset_s=10), view())
    offsets = [skew["offset_ns"] for skew in resolved.detail["skews"].values()]
    assert len(set(offsets)) == 5
    assert all(abs(offset) <= 10 * 10**9 for offset in offsets)


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"shape": "leap"}, "no shape of a clock fault; there are jump"),
        ({"shape": "jump"}, 'needs "offset_s"'),
        ({"shape": "rate", "offset_s": 1}, 'needs "rate_ppb"'),
        ({"shape": "strobe", "offset_s": 1}, 'needs "offset_s" and "period_s"'),
        ({"offset_s": "1"}, "must be a number"),
        ({"offset_s": True}, "must be a number"),
        ({"offset_s": 10**12}, "at most ten years"),
        ({"shape": "rate", "rate_ppb": -(10**9)}, "stands still"),
    ],
)
def test_clock_faults_that_cannot_be(params, complaint):
    with pytest.raises(UsageError, match=complaint):
        Clock().resolve(fault("clock", **params), view())


def test_what_a_bed_lacks_is_said():
    assert Partition().unavailable(bed()) is None
    assert Clock().unavailable(bed()) is None
    assert Kill().unavailable(bed()) is None
    assert Pause().unavailable(bed()) is None
    assert "network" in Partition().unavailable(bed(network=None))
    assert "clocks" in Clock().unavailable(bed(clocks=None))
    with pytest.raises(HarnessError, match="network"):
        Partition().inject(bed(network=None), Resolved(fault=fault("partition"), nodes=()))
    with pytest.raises(HarnessError, match="clocks"):
        Clock().inject(bed(clocks=None), Resolved(fault=fault("clock"), nodes=()))


@pytest.mark.parametrize("powers", [frozenset(), frozenset({"primaries"})])
def test_a_long_run_sees_every_shape_and_leaders_only_where_they_can_be_told(powers):
    shape = Shape(nodes=NODES, time_limit_s=120.0, powers=powers)
    drawn = Partition().draw(Keyed.of(3), shape)
    shapes = {item.params["shape"] for item in drawn}
    assert shapes == set(SHAPES) - {"group"} - (set() if powers else {"leader"})
    whom = {item.target for item in Kill().draw(Keyed.of(3), shape)}
    expected = {"one", "minority", "majority", "all"}
    assert whom == expected | ({"leader"} if powers else set())
    clocks = Clock().draw(Keyed.of(3), shape)
    signs = {
        (item.params["shape"], item.params.get("offset_s", item.params.get("rate_ppb")) > 0)
        for item in clocks
    }
    assert len(signs) == 7


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "nemesis", [Packets(), Stress(), Reboot(), Power(), Stop(), Restart(), Disk(), Damage()]
)
def test_what_is_drawn_resolves_and_survives_json(nemesis, seed):
    for powers in (frozenset(), frozenset({"primaries"})):
        shape = Shape(nodes=NODES, time_limit_s=90.0, powers=powers)
        drawn = nemesis.draw(Keyed.of(seed), shape)
        assert {item.kind for item in drawn} == {nemesis.kind}
        for item in drawn:
            resolved = nemesis.resolve(item, view(*(("n2",) if powers else ()), seed=seed))
            assert resolved.nodes
            assert through_json(resolved) == resolved


def packet_fault(**params):
    target = params.pop("target", None)
    return fault("packets", target, **params)


def test_packets_are_in_trouble_between_target_and_peers():
    nemesis, where = Packets(), bed()
    asked = packet_fault(target=["n1"], peers=["n2", "n3"], direction="in", loss=0.5, delay_ms=20)
    injection = nemesis.inject(where, through_json(nemesis.resolve(asked, view())))
    trouble = Trouble(loss=0.5, delay_ms=20)
    assert where.network.layers == {
        "packets-1": ({"n2": {"n1": trouble}, "n3": {"n1": trouble}},),
    }
    nemesis.heal(where, injection)
    nemesis.heal(where, injection)
    assert not where.network.layers
    ways = nemesis.resolve(packet_fault(target=["n1"], loss=1), view()).detail["ways"]
    assert ways == {"n1": ["n2", "n3", "n4", "n5"]} | {n: ["n1"] for n in NODES[1:]}
    out = nemesis.resolve(packet_fault(target=["n1"], loss=1, direction="out"), view())
    assert out.detail["ways"] == {"n1": ["n2", "n3", "n4", "n5"]}


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"shape": "fog"}, "no shape of a packets fault; there are delay"),
        ({"shape": "delay"}, 'needs "delay_ms"'),
        ({"shape": "rate", "loss": 1}, 'needs "rate_kbit"'),
        ({}, "troubles nothing"),
        ({"reorder": 0.5}, 'takes a "delay_ms"'),
        ({"loss": 1.5}, "'loss' must be a number from 0 to 1, not 1.5"),
        ({"delay_ms": "soon"}, "'delay_ms' must be a number from 0 to 60000"),
        ({"rate_kbit": True}, "'rate_kbit' must be a number of 0 or more"),
        ({"delay_ms": 5, "distribution": "flat"}, "'flat' is no distribution; there are normal"),
        ({"loss": 1, "direction": "up"}, "no direction of packets; there are both"),
        ({"loss": 1, "target": ["n1"], "peers": ["n1"]}, "on no way between two nodes"),
    ],
)
def test_packet_faults_that_cannot_be(params, complaint):
    with pytest.raises(HarnessError, match=complaint):
        Packets().resolve(packet_fault(**params), view())


def test_packets_that_were_pinned_must_fit():
    nemesis = Packets()
    for detail, complaint in [
        (None, "does not say what is in trouble"),
        ({"ways": {"n1": ["n9"]}, "trouble": {"loss": 1.0}}, "no node 'n9'"),
        ({"ways": {"n1": ["n2"]}, "trouble": {"fog": 1.0}}, "no 'fog'"),
    ]:
        resolved = Resolved(fault=packet_fault(loss=1), nodes=("n1",), detail=detail)
        with pytest.raises(HarnessError, match=complaint):
            nemesis.inject(bed(), resolved)
    assert set(packets.SHAPES) - {"mixed"} == {
        item.params["shape"]
        for item in nemesis.draw(Keyed.of(1), Shape(nodes=NODES, time_limit_s=90.0))
    }


def test_a_restart_kills_and_starts_until_it_is_healed():
    class Counting(Facet):
        kills = releases = 0

        def kill(self, layer, nodes, daemon=None):
            self.kills += 1
            return super().kill(layer, nodes, daemon)

        def release(self, layer):
            self.releases += 1
            enough.release()
            self.mend(layer)

    enough = threading.Semaphore(0)
    nemesis, where = Restart(), bed(daemons=Counting())
    asked = fault("restart", ["n1"], down_s=0.001, up_s=0.001)
    injection = nemesis.inject(where, through_json(nemesis.resolve(asked, view())))
    assert injection.proof == {"took": "restart-1"}
    for _ in range(3):
        assert enough.acquire(timeout=20)
    nemesis.heal(where, injection)
    assert where.daemons.kills >= 3
    assert not where.daemons.layers
    kills = where.daemons.kills
    nemesis.heal(where, injection)
    assert where.daemons.kills == kills
    with pytest.raises(UsageError, match="'down_s' must be a time"):
        nemesis.resolve(fault("restart", down_s=0), view())


def test_machines_reboot_side_by_side_and_what_is_away_is_brought_back():
    where = bed()
    resolved = through_json(Reboot().resolve(fault("reboot", ["n1", "n3"]), view()))
    injection = Reboot().inject(where, resolved)
    assert injection.proof == {"n1": {"back": "n1"}, "n3": {"back": "n3"}}
    Reboot().heal(where, injection)
    assert sorted(where.hosts.rebooted) == ["n1", "n3"]

    class Answering:
        def __init__(self, node):
            self.node = node

        def run(self, argv, timeout_s):
            if self.node == "n3" and where.hosts.rebooted.count("n3") == 1:
                raise RemoteError("n3", argv, reason="no answer")

    where = bed(hosts=Machines("n3"), host=Answering)
    with pytest.raises(RemoteError, match="it is away"):
        Reboot().inject(where, resolved)
    Reboot().heal(where, Injection(resolved=resolved))
    assert sorted(where.hosts.rebooted) == ["n1", "n3", "n3"]


def test_power_is_cut_only_where_that_proves_something():
    where = bed()
    assert Power().unavailable(where) is None
    resolved = Power().resolve(fault("power", "all"), view())
    assert Power().inject(where, resolved).proof == {"cut": list(NODES)}
    where.hosts.reason = "the disks lose nothing"
    assert Power().unavailable(where) == "the disks lose nothing"
    assert "restart its hosts" in Power().unavailable(bed(hosts=None))
    assert "restart its hosts" in Reboot().unavailable(bed(hosts=None))
    with pytest.raises(HarnessError, match="no node 'n9'"):
        Reboot().inject(where, Resolved(fault=fault("reboot"), nodes=("n9",)))


def test_hosts_are_loaded_as_asked():
    nemesis, where = Stress(), bed()
    asked = fault("stress", ["n1", "n2"], cpu=2, memory_mb=64, io=1)
    injection = nemesis.inject(where, through_json(nemesis.resolve(asked, view())))
    burden = Burden(cpu_workers=2, memory_mb=64, io_workers=1, limit_s=62.0)
    assert where.burdens.layers == {"stress-1": ({"n1": burden, "n2": burden},)}
    nemesis.heal(where, injection)
    assert not where.burdens.layers
    with pytest.raises(UsageError, match='needs "cpu", "memory_mb" or "io"'):
        nemesis.resolve(fault("stress", io_mb=5), view())
    with pytest.raises(UsageError, match="'cpu' must be a whole number from 0 to 64, not 65"):
        nemesis.resolve(fault("stress", cpu=65), view())
    with pytest.raises(HarnessError, match="does not say how much"):
        nemesis.inject(where, Resolved(fault=asked, nodes=("n1",)))
    assert "load" in nemesis.unavailable(bed(burdens=None))


def test_packets_are_unavailable_where_nodes_cannot():
    assert Packets().unavailable(bed()) is None
    assert "network" in Packets().unavailable(bed(network=None))
    where = bed()
    where.network.reason = "n1: no TUN device"
    assert Packets().unavailable(where) == "n1: no TUN device"


@pytest.mark.parametrize(
    ("params", "trouble"),
    [
        ({"shape": "full"}, DiskTrouble(full=True)),
        ({"shape": "read-only"}, DiskTrouble(read_only=True)),
        ({"shape": "slow", "slow_ms": 20}, DiskTrouble(slow_ms=20.0)),
        ({"shape": "error", "error": 0.5}, DiskTrouble(error=0.5)),
    ],
)
def test_disks_suffer_what_is_asked_and_daemons_that_died_of_it_are_started(params, trouble):
    nemesis, where = Disk(), bed()
    assert nemesis.unavailable(where) is None
    nemesis.prepare(where)
    assert where.disks.armed == 1
    resolved = through_json(nemesis.resolve(fault("disk", ["n1", "n2"], **params), view()))
    injection = nemesis.inject(where, resolved)
    assert where.disks.layers == {"disk-1": ({"n1": trouble, "n2": trouble},)}
    held = []
    where.daemons.pause = lambda layer, nodes, daemon=None: held.append((layer, nodes, daemon))
    where.daemons.dead = ("n2", "n3")
    nemesis.heal(where, injection)
    assert held == [("disk-1", ["n2"], "raft")]
    assert not where.disks.layers


@pytest.mark.parametrize(
    ("nemesis", "params", "complaint"),
    [
        (Disk(), {"shape": "wet"}, "no shape of a disk fault; there are full, read-only"),
        (Disk(), {"shape": "slow"}, 'needs "slow_ms"'),
        (Disk(), {"shape": "error"}, 'needs "error"'),
        (Disk(), {"shape": "error", "error": 2}, "'error' must be a number from 0 to 1, not 2"),
        (Damage(), {"shape": "full"}, "no shape of a damage fault; there are bitflip"),
        (Damage(), {"bits": 0}, "'bits' must be a whole number from 1"),
        (Damage(), {"files": 3}, "'files' is a pattern"),
        (Damage(), {"wait_s": 99}, "'wait_s' must be a number from 0 to 20"),
        (Damage(), {"restart": "yes"}, "'restart' must be true or false"),
    ],
)
def test_disk_faults_that_cannot_be(nemesis, params, complaint):
    with pytest.raises(UsageError, match=complaint):
        nemesis.resolve(fault(nemesis.kind, **params), view())


@pytest.mark.parametrize("shape", DAMAGES)
def test_damage_is_done_to_dead_daemons_and_nothing_undoes_it(shape):
    nemesis, where = Damage(), bed()
    asked = fault("damage", ["n1", "n2"], shape=shape, files="*.log", bits=4)
    injection = nemesis.inject(where, through_json(nemesis.resolve(asked, view())))
    assert where.daemons.layers == {"damage-1": ("kill", ("n1", "n2"), None)}
    assert injection.proof == {"killed": {"took": "damage-1"}, "damaged": {"damaged": ["n1", "n2"]}}
    first, second = (where.disks.damages[node] for node in ("n1", "n2"))
    assert first.seed != second.seed
    assert first == DiskDamage(what=shape, files="*.log", bits=4, seed=first.seed)
    nemesis.heal(where, injection)
    assert not where.daemons.layers
    alive = nemesis.resolve(fault("damage", ["n1"], restart=False), view())
    assert nemesis.inject(where, alive).proof["killed"] is None
    assert not where.daemons.layers


def test_damage_stays_on_one_node_in_a_drawn_schedule():
    drawn = Damage().draw(Keyed.of(4), Shape(nodes=NODES, time_limit_s=90.0))
    assert len({tuple(item.target) for item in drawn}) == 1


def test_disks_are_unavailable_where_they_cannot_be_touched():
    where = bed()
    where.disks.reason = "n1: no fuse"
    assert Disk().unavailable(where) == "n1: no fuse"
    assert Damage().unavailable(where) is None
    assert "disks" in Disk().unavailable(bed(disks=None))
    assert "disks" in Damage().unavailable(bed(disks=None))
    for nemesis in (Disk(), Damage()):
        with pytest.raises(HarnessError, match="disks"):
            nemesis.inject(bed(disks=None), Resolved(fault=fault(nemesis.kind), nodes=("n1",)))
        with pytest.raises(HarnessError, match="does not say"):
            nemesis.inject(bed(), Resolved(fault=fault(nemesis.kind), nodes=("n1",)))
