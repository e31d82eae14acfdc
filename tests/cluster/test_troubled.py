"""What becomes of packets in trouble, without any network."""

from __future__ import annotations

import random
import statistics
from dataclasses import asdict

import pytest

from splitbrain.cluster.on_node.troubled import QUEUE_LIMIT_S, Lane, damaged
from splitbrain.core.cluster import Trouble


def lane(*troubles, seed=1):
    return Lane([asdict(trouble) for trouble in troubles], random.Random(seed))


def sent(way, count=2000, length=100, gap_s=0.001):
    return [way.fates(length, number * gap_s) for number in range(count)]


def test_no_trouble_passes_at_once():
    assert sent(lane(), 3) == [[(0.0, False)]] * 3
    assert sent(lane(Trouble()), 3) == [[(0.0, False)]] * 3


def test_shares_are_kept_and_counted():
    way = lane(Trouble(loss=0.3))
    arrived = sum(map(len, sent(way)))
    assert 1300 < arrived < 1500
    assert way.counts["lost"] == 2000 - arrived
    way = lane(Trouble(duplicate=0.25))
    assert sum(map(len, sent(way))) == 2000 + way.counts["duplicated"]
    assert 400 < way.counts["duplicated"] < 600
    way = lane(Trouble(corrupt=0.1))
    bad = sum(fate.damaged for fates in sent(way) for fate in fates)
    assert bad == way.counts["damaged"]
    assert 140 < bad < 260
    way = lane(Trouble(reorder=0.5, delay_ms=10))
    late = [fate.after_s for fates in sent(way) for fate in fates]
    assert set(late) == {0.0, 0.01}
    assert late.count(0.0) == way.counts["overtook"]


@pytest.mark.parametrize("distribution", ["normal", "uniform", "pareto"])
def test_jitter_lies_around_the_delay_and_never_before_now(distribution):
    way = lane(Trouble(delay_ms=50, jitter_ms=10, distribution=distribution))
    late = [fate.after_s for fates in sent(way, 5000) for fate in fates]
    assert statistics.mean(late) == pytest.approx(0.05, rel=0.05)
    assert 0.004 < statistics.stdev(late) < 0.015
    wild = sent(lane(Trouble(delay_ms=1, jitter_ms=50, distribution=distribution)))
    assert min(fate.after_s for fates in wild for fate in fates) == 0


def test_a_rate_lets_packets_wait_for_each_other_and_drops_what_is_too_much():
    way = lane(Trouble(rate_kbit=80))  # a packet of 100 bytes takes 10 ms
    late = [fates[0].after_s for fates in sent(way, 5, gap_s=0.0)]
    assert late == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])
    later = way.fates(100, 1.0)
    assert later[0].after_s == pytest.approx(0.01)
    way = lane(Trouble(rate_kbit=80))
    arrived = sum(map(len, sent(way, 1000, gap_s=0.0)))
    assert arrived == pytest.approx(QUEUE_LIMIT_S / 0.01, abs=1)
    assert way.counts["overflowed"] == 1000 - arrived


def test_troubles_act_one_after_the_other():
    way = lane(Trouble(delay_ms=5), Trouble(delay_ms=7), Trouble(duplicate=1.0))
    assert way.fates(100, 0.0) == [pytest.approx((0.012, False))] * 2
    assert lane(Trouble(duplicate=1.0), Trouble(loss=1.0)).fates(100, 0.0) == []


def test_damage_is_one_bit_behind_the_header():
    packet = bytes([0x46, *range(1, 60)])  # a header of six words
    for seed in range(50):
        bad = damaged(packet, random.Random(seed))
        flipped = [place for place in range(60) if bad[place] != packet[place]]
        assert len(flipped) == 1
        assert flipped[0] >= 24
        assert (bad[flipped[0]] ^ packet[flipped[0]]).bit_count() == 1
    assert damaged(packet[:24], random.Random(1)) == packet[:24]
