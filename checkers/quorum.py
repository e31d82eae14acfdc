"""A write is sent to all N replicas of its key, and acknowledged when W have made it durable.

DeCandia et al., "Dynamo", SOSP 2007, section 4.5; Gifford 1979. The proof is causal: the reply
names the replicas that acknowledged, each did so after it wrote its own record, and the
coordinator's own record stands before the acknowledgement in one trace. No two nodes' clocks are
compared.

Whether reads are regular, as R+W>N promises, is for `regular` to say, and whether they are atomic
for `linearizable`: a quorum without write-back is regular and not atomic.
"""

from __future__ import annotations

from collections.abc import Mapping

from splitbrain.checkers.replicas.findings import Findings, listed, shown_write
from splitbrain.checkers.replicas.left import Left
from splitbrain.checkers.replicas.trace import Acked
from splitbrain.checkers.replicas.version import named
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value
from splitbrain.core.verdict import Verdict


class Quorum:
    """Checks who had made each acknowledged write durable when it was acknowledged."""

    name = "quorum"
    needs = frozenset({Need.TRACES, Need.DUMPS})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Count the durable replicas of each acknowledged write."""
        left = Left.of(evidence)
        traces = left.traces
        findings = Findings(reasons=[*left.missing])
        for write in traces.acked:
            _judge(write, left, evidence.facts, findings)
        return findings.verdict(
            len(traces.acked),
            "no write was acknowledged: there was no quorum to look at",
            acknowledged=len(traces.acked),
            promise=_promise(evidence.facts),
        )


def _judge(write: Acked, left: Left, facts: Mapping[str, Value], findings: Findings) -> None:
    dumps, traces = left.dumps, left.traces
    replicas = dumps.replicas(write.place)
    keeps_one = dumps.keeps_one(write.place)
    what = f"{write.node} acknowledged the write {named(write.dot)} to key {write.place[1]}"
    sloppy = facts.get("sloppy") is True and write.place[0] == "eventual"
    counted = _counted(write, replicas, sloppy=sloppy)
    asked = _write_quorum(facts, len(left.nodes))
    if write.place[0] != "causal" and asked is not None and write.needed < asked:
        findings.add(
            "quorum-too-small",
            f"{what} by {write.needed}, although W is {asked}",
            (shown_write(write),),
        )
    left_out = sorted(set(replicas) - set(write.asked))
    if left_out:
        findings.add(
            "replicas-left-out",
            f"{what}, and never sent it to {listed(left_out)}: a write goes to all of "
            f"{listed(replicas)}, so that any W of them may answer and N hold it in the end",
            (shown_write(write),),
        )
    strangers = sorted(set(write.acks) - set(replicas)) if replicas else []
    if strangers:
        findings.add(
            "acknowledged-by-strangers",
            f"{what} by {listed(strangers)}, whom the key does not lie on: its replicas are "
            f"{listed(replicas)}",
            (shown_write(write),),
        )
    if len(counted) < write.needed:
        findings.add(
            "too-few-acknowledgements",
            f"{what} by {listed(sorted(counted))}: {write.needed} distinct replicas are needed",
            (shown_write(write),),
        )
    proved, doubtful = 0, []
    unproved = []
    for node, owner in counted.items():
        if traces.durable(node, write, keeps_one=keeps_one, hint_for=owner):
            proved += 1
        elif node not in left.whole:
            doubtful.append(node)
        else:
            unproved.append(node)
    if proved + len(doubtful) < write.needed <= len(counted):
        findings.add(
            "acknowledged-before-durable",
            f"{what} by {listed(sorted(counted))}, and the trace of {listed(unproved)} does not "
            f"show that it was durable there by then: {write.needed} are needed",
            (shown_write(write),),
        )
    elif proved < write.needed <= len(counted):
        findings.reasons.append(
            f"whether the traces of {listed(doubtful)} would show acknowledged writes cannot be "
            "known: they are missing or have gaps"
        )


def _write_quorum(facts: Mapping[str, Value], nodes: int) -> int | None:
    """Give W as far as there are so many nodes; None where nobody promised one."""
    n, w = facts.get("n"), facts.get("w")
    if not isinstance(w, int):
        return None
    replicas = min(n, nodes) if isinstance(n, int) else nodes
    if facts.get("write_availability") == "majority":
        return replicas // 2 + 1
    return min(w, replicas)


def _counted(write: Acked, replicas: tuple[str, ...], *, sloppy: bool) -> dict[str, str | None]:
    """Give who counts for a quorum, each with the node that it stands in for."""
    counted: dict[str, str | None] = {
        node: None for node in write.acks if not replicas or node in replicas
    }
    if sloppy:
        owners = set(counted)
        for node, owner in sorted(write.hints.items()):
            if node not in counted and owner not in owners:
                counted[node] = owner
                owners.add(owner)
    return counted


def _promise(facts: Mapping[str, Value]) -> str:
    n, r, w = facts.get("n"), facts.get("r"), facts.get("w")
    if not (isinstance(n, int) and isinstance(r, int) and isinstance(w, int)):
        return "not declared"
    if facts.get("sloppy") is True:
        return "sloppy: quorums need not meet, and reads may be stale"
    if r + w <= n:
        return f"R+W={r + w} and N={n}: quorums need not meet, and reads may be stale"
    return f"R+W={r + w} and N={n}: quorums meet, and reads are regular"
