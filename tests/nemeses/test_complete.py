from __future__ import annotations

import pytest

from splitbrain.core.cluster import Bed
from splitbrain.core.errors import ContractError
from splitbrain.core.fault import At, Fault, Injection, KnowsParams, Resolved, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.nemeses.complete import complete
from splitbrain.nemeses.draw import draw_schedule
from splitbrain.nemeses.partition import Partition

NODES = ("n1", "n2", "n3")
BED = Bed(nodes=NODES, host=lambda node: None, daemons=None)


class Dns:
    """All that a nemesis of a few lines has."""

    def __init__(self):
        self.broken = []

    def inject(self, bed, resolved):
        self.broken.extend(resolved.nodes)
        return {"broken": list(resolved.nodes)}

    def heal(self, bed, injection):
        self.broken.clear()


def test_a_whole_nemesis_is_left_alone():
    nemesis = Partition()
    assert complete(nemesis, "partition") is nemesis


@pytest.mark.parametrize("thing", [Dns, Dns()])
def test_a_simple_one_gets_all_it_lacks(thing):
    nemesis = complete(thing, "plugins/dns.py:Dns")
    assert nemesis.kind == "Dns"
    assert not isinstance(nemesis, KnowsParams)
    assert nemesis.unavailable(BED) is None
    schedule = draw_schedule([nemesis], 7, Shape(nodes=NODES, time_limit_s=30.0))
    assert schedule.kinds == ("Dns",)
    first = schedule.faults[0]
    resolved = nemesis.resolve(first, View(nodes=NODES, primaries=(), rng=Keyed.of(1)))
    assert len(resolved.nodes) == 1
    injection = nemesis.inject(BED, resolved)
    assert injection == Injection(resolved=resolved, proof={"broken": list(resolved.nodes)})
    nemesis.heal(BED, injection)
    nemesis.heal(BED, injection)


def test_what_it_has_is_used():
    class Fancy(Dns):
        kind = "fancy"
        params = frozenset({"zone"})

        def unavailable(self, bed):
            return "not today"

        def draw(self, rng, shape):
            return [Fault(id="fancy-1", kind="fancy", start=At(1.0))]

        def resolve(self, fault, view):
            return Resolved(fault=fault, nodes=("n2",), detail="mine")

        def inject(self, bed, resolved):
            return Injection(resolved=resolved, proof=1, undo="secret")

    fancy = Fancy()
    nemesis = complete(fancy, "x:Fancy")
    assert nemesis is fancy
    del Fancy.draw
    nemesis = complete(fancy, "x:Fancy")
    assert nemesis.kind == "fancy"
    assert nemesis.params == {"zone"}
    assert nemesis.unavailable(BED) == "not today"
    fault = nemesis.draw(Keyed.of(1), Shape(nodes=NODES, time_limit_s=30.0))[0]
    resolved = nemesis.resolve(fault, View(nodes=NODES, primaries=(), rng=Keyed.of(1)))
    assert resolved.detail == "mine"
    assert nemesis.inject(BED, resolved).undo == "secret"


def test_a_broken_contract_is_named():
    class NoHeal:
        def inject(self, bed, resolved): ...

    class Narrow(Dns):
        def inject(self, bed): ...

    class Needy(Dns):
        def __init__(self, address):
            self.address = address

    class Numbered(Dns):
        kind = 7

    with pytest.raises(ContractError, match="x is no nemesis: it lacks heal"):
        complete(NoHeal, "x")
    with pytest.raises(ContractError, match="lacks inject and heal"):
        complete(42, "x")
    with pytest.raises(ContractError, match="x: inject must take 2 arguments"):
        complete(Narrow, "x")
    with pytest.raises(ContractError, match=r"without arguments.*address"):
        complete(Needy, "x")
    with pytest.raises(ContractError, match="kind of a nemesis is a name"):
        complete(Numbered, "x")


def test_a_proof_that_is_no_json_is_refused():
    class Odd(Dns):
        def inject(self, bed, resolved):
            return object()

    nemesis = complete(Odd, "odd")
    resolved = Resolved(fault=Fault(id="odd-1", kind="odd", start=At(1.0)), nodes=("n1",))
    with pytest.raises(ContractError, match="proof in JSON"):
        nemesis.inject(BED, resolved)
