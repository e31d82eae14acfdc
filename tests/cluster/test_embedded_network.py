"""Cuts on embedded hosts: one-way, in layers, by rules of our own."""

from __future__ import annotations

import contextlib

import pytest

from splitbrain.cluster.agent import ask
from splitbrain.core.errors import HarnessError, RemoteError

pytestmark = pytest.mark.embedded

# Says whether a datagram that one host sends arrives at another: one way, unlike a connection.
_LISTEN = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 9999)); s.settimeout(20)
seen = set()
print("listening", flush=True)
while True:
    data, _ = s.recvfrom(100)
    with open("/run/heard", "a") as f: f.write(data.decode() + "\\n")
"""
_SEND = (
    "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
    "[s.sendto(sys.argv[1].encode(), (a, 9999)) for a in sys.argv[2:]]"
)


@pytest.fixture(autouse=True)
def _mended(five):
    """A test that fails leaves no cut for the next."""
    yield
    for layer in ("one-way", "a", "b", "all", "mine", "x", "half"):
        five.network.mend(layer)


@pytest.fixture(scope="module")
def heard(five, wait_until):
    """Tell who hears whom: a set of (from, to)."""
    nodes = five.topology.nodes
    argv = 'setsid /usr/bin/python3 -c "$1" >/run/listening 2>&1 </dev/null & '
    wait = "while ! grep -q listening /run/listening; do sleep 0.01; done"
    listen = _LISTEN.replace("s.settimeout(20)", "s.settimeout(None)")
    for node in nodes:
        five.host(node).run(["sh", "-c", argv + wait, "sh", listen])
    count = iter(range(10_000))

    def among(word: str) -> set[tuple[str, str]]:
        pairs = set()
        for node in nodes:
            lines = five.host(node).get("/run/heard").decode().splitlines()
            pairs |= {(line.split()[1], node) for line in lines if line.split()[0] == word}
        return pairs

    def ask_all(expected: set[tuple[str, str]]) -> set[tuple[str, str]]:
        # What should arrive may do so late; what should not was sent at the same time as the rest.
        word = f"w{next(count)}"
        for node in nodes:
            others = [five.topology.addresses[other] for other in nodes if other != node]
            argv = ["/usr/bin/python3", "-c", _SEND, f"{word} {node}", *others]
            five.host(node).run(argv)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: expected <= among(word), "who hears whom")
        return among(word)

    return ask_all


def everyone(cluster):
    nodes = cluster.topology.nodes
    return {(a, b) for a in nodes for b in nodes if a != b}


def tables(cluster, node):
    return cluster.host(node).run(["nft", "list", "ruleset"]).stdout.decode()


def test_a_cut_goes_one_way_and_shows_its_rules(five, heard):
    assert heard(everyone(five)) == everyone(five)
    proof = five.network.cut("one-way", {"n1": frozenset({"n2", "n3"})})
    assert proof == {
        "n1": {"drops_from": ["10.77.0.12", "10.77.0.13"], "packets": 0, "peers": ["n2", "n3"]}
    }
    assert heard(everyone(five) - {("n2", "n1"), ("n3", "n1")}) == everyone(five) - {
        ("n2", "n1"),
        ("n3", "n1"),
    }
    five.network.mend("one-way")
    assert heard(everyone(five)) == everyone(five)
    assert tables(five, "n1") == ""


def test_layers_are_a_union_in_either_order_of_mending(five, heard):
    for first, second in (("a", "b"), ("b", "a")):
        cuts = {
            "a": {"n1": frozenset({"n2"}), "n2": frozenset({"n1"})},
            "b": {"n1": frozenset({"n2", "n3"})},
        }
        gone = {"a": {("n2", "n1"), ("n1", "n2")}, "b": {("n2", "n1"), ("n3", "n1")}}
        for layer, grudge in cuts.items():
            five.network.cut(layer, grudge)
        assert (
            heard(everyone(five) - gone["a"] - gone["b"]) == everyone(five) - gone["a"] - gone["b"]
        )
        five.network.mend(first)
        assert heard(everyone(five) - gone[second]) == everyone(five) - gone[second]
        five.network.mend(second)
        five.network.mend(second)
        assert heard(everyone(five)) == everyone(five)


def test_the_controller_is_never_cut(five):
    nodes = five.topology.nodes
    five.network.cut("all", {node: frozenset(nodes) for node in nodes})
    try:
        for node in nodes:
            assert five.host(node).run(["true"]).exit_status == 0
            five.host(node).close()
            assert five.host(node).run(["true"]).exit_status == 0
    finally:
        five.network.mend("all")


def test_foreign_rules_are_left_alone(five):
    host = five.host("n4")
    host.run(["nft", "add", "table", "inet", "somebody"])
    five.network.cut("mine", {"n4": frozenset({"n1"})})
    five.network.mend("mine")
    assert tables(five, "n4").startswith("table inet somebody")
    host.run(["nft", "delete", "table", "inet", "somebody"])


def test_a_stranger_in_a_grudge_is_named(five):
    with pytest.raises(HarnessError, match="'n9', which is no node"):
        five.network.cut("x", {"n1": frozenset({"n9"})})
    with pytest.raises(HarnessError, match="'controller', which is no node"):
        five.network.cut("x", {"n1": frozenset({"controller"})})
    assert tables(five, "n1") == ""


def test_a_cut_that_fails_half_way_is_mended(five, monkeypatch):
    real = five.host

    def host(node):
        if node == "n2":
            raise RemoteError("n2", ("cut",), reason="it is away")
        return real(node)

    monkeypatch.setattr(five.network, "_host", host)
    grudge = {"n1": frozenset({"n2"}), "n2": frozenset({"n1"})}
    with pytest.raises(RemoteError, match="n2: cut: it is away"):
        five.network.cut("half", grudge)
    assert "drop" in tables(five, "n1")
    with pytest.raises(RemoteError, match="it is away"):
        five.network.mend("half")
    monkeypatch.undo()
    five.network.mend("half")
    assert tables(five, "n1") == tables(five, "n2") == ""


def test_layers_may_have_any_name_and_many_addresses(five):
    layer = 'évil "name"; drop\n{}' * 10
    nodes = frozenset(five.topology.nodes)
    proof = five.network.cut(layer, {"n1": nodes})
    assert proof["n1"]["peers"] == ["n2", "n3", "n4", "n5"]
    five.network.mend(layer)
    assert tables(five, "n1") == ""


def test_intents_come_before_and_go_after(five):
    def intents():
        return five.host("n5").run(["ls", "/var/lib/splitbrain/intent"]).stdout

    assert intents() == b""
    five.network.cut("a", {"n5": frozenset({"n1"})})
    five.network.cut("b", {"n5": frozenset({"n2"})})
    assert intents() == b"network\n"
    five.network.mend("a")
    assert intents() == b"network\n"
    five.network.mend("b")
    assert intents() == b""
    assert ask(five.host("n5"), "heal", {}) == {"undone": []}
