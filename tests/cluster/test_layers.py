"""The union of layers, as pure values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from splitbrain.cluster.layers import BasedSkew, DaemonLayers, Hold, NodeLayers, bent_ns
from splitbrain.core.cluster import Skew

LAYERS = st.sampled_from("abc")
TARGETS = st.tuples(st.sampled_from(["n1", "n2"]), st.sampled_from(["db", "web"]))
STEPS = st.lists(
    st.tuples(LAYERS, st.sampled_from([Hold.DOWN, Hold.PAUSED, None]), st.sets(TARGETS)),
    max_size=20,
)


@given(STEPS)
def test_daemon_is_held_by_the_union_of_its_layers(steps):
    layers = DaemonLayers()
    model: dict[str, dict[tuple[str, str], set[Hold]]] = {}
    for layer, hold, targets in steps:
        if hold is None:
            layers.remove(layer)
            model.pop(layer, None)
        else:
            layers.add(layer, hold, targets)
            for target in targets:
                model.setdefault(layer, {}).setdefault(target, set()).add(hold)
    for target in [(node, name) for node in ("n1", "n2") for name in ("db", "web")]:
        holds = set().union(*(held.get(target, set()) for held in model.values()), set())
        wanted = Hold.DOWN if Hold.DOWN in holds else Hold.PAUSED if holds else None
        assert layers.held(target) is wanted


def test_release_in_either_order_frees_only_at_the_last():
    target = ("n1", "db")
    for first, second, left in (("k", "p", Hold.PAUSED), ("p", "k", Hold.DOWN)):
        layers = DaemonLayers()
        layers.add("k", Hold.DOWN, [target])
        layers.add("p", Hold.PAUSED, [target])
        assert layers.held(target, apart_from=first) is left
        layers.remove(first, target)
        assert layers.held(target) is left
        layers.remove(second, target)
        assert layers.held(target) is None
        layers.remove(second, target)


def test_a_layer_may_leave_one_node_and_stay_on_another():
    layers: NodeLayers[int] = NodeLayers()
    layers.set("a", {"n1": 1, "n2": 2})
    layers.set("b", {"n1": 3})
    assert layers.on("n1") == {"a": 1, "b": 3}
    layers.remove("a", "n1")
    layers.remove("a", "n1")
    assert layers.on("n1") == {"b": 3}
    assert layers.nodes("a") == ("n2",)
    layers.remove("a", "n2")
    assert list(layers) == ["b"]


SECOND = 1_000_000_000


def test_bent_time_adds_offsets_rates_and_strobes():
    jump = BasedSkew(Skew(offset_ns=5 * SECOND), 100)
    fast = BasedSkew(Skew(rate_ppb=500_000_000), 0)
    strobe = BasedSkew(Skew(offset_ns=7, strobe_ns=10), 0)
    assert bent_ns(200, [jump]) == 5 * SECOND
    assert bent_ns(2 * SECOND, [fast]) == SECOND
    assert [bent_ns(at, [strobe]) for at in (0, 9, 10, 19, 20)] == [7, 7, 0, 0, 7]
    assert bent_ns(2 * SECOND, [jump, fast]) == 6 * SECOND
    assert bent_ns(2 * SECOND, [BasedSkew(Skew(offset_ns=9))]) == 0
