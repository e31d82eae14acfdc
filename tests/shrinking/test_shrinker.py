"""The shrinker against trials that fail by a rule: it leaves what the rule needs, and no more."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence, from_journal
from splitbrain.core.fault import After, At, Condition, Fault, Resolved, Schedule, When
from splitbrain.core.generator import Context, Invocation, Pending
from splitbrain.core.journal import Complete, FaultEvent, Invoke, Phase
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.planned import PlannedOperation, planned_of
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Anomaly, Status, invalid, unknown, valid
from splitbrain.generators.replay import replay
from splitbrain.shrink import kept_anomaly
from splitbrain.shrinking.shrinker import Shrinker
from splitbrain.shrinking.target import Target, target_of
from splitbrain.shrinking.timed import timed

TARGET = Target(checker="c", anomaly="lost")
READ = Operation(
    process=0, session=0, f="read", node="n1", invoke_index=0, complete_index=1, start_ns=0,
    end_ns=1, outcome=Outcome.OK,
)  # fmt: skip


def result(plan=None, verdicts=None):
    verdicts = verdicts or {"c": invalid([Anomaly(name="lost", explanation="it is gone")])}
    return RunResult(
        label="a", path=Path("run"), status=Status.INVALID, verdicts=verdicts,
        evidence=Evidence(), plan=plan,
    )  # fmt: skip


class Rule:
    """A trial that fails by a rule over plans."""

    def __init__(self, rule, limit=10_000):
        self.rule, self.limit, self.runs = rule, limit, 0

    def may_go_on(self):
        return self.runs < self.limit

    def fails(self, plan):
        self.runs += 1
        return result(plan) if self.rule(plan) else None


def planned(number, *, phase="main", worker=0, key=0):
    return PlannedOperation(
        phase=phase, worker=worker, at_ns=number * 10**8, f="write", key=key, argument=number
    )


def shrunk(plan, rule, limit=10_000, thresholds=None, defaults=None):
    trial = Rule(rule, limit)
    shrinker = Shrinker(plan, result(plan), TARGET, trial, thresholds or {}, defaults or {})
    shrinker.shrink()
    return shrinker.plan


PLAN = Plan(
    system="raft",
    workload="register",
    node_count=5,
    time_limit_s=20.0,
    options={"nodes": {"n1": {"a": 1}, "n5": {"a": 2}}, "bugs": ["b"]},
    operations=tuple(planned(n, worker=n % 10, key=n % 4) for n in range(100)),
    schedule=Schedule(
        tuple(
            Fault(id=f"f{n}", kind="kill", start=At(1.237 + n), duration_s=3.3) for n in range(10)
        )
    ),
)


def test_what_the_rule_needs_is_left_and_all_else_goes():
    def rule(plan):
        arguments = {item.argument for item in plan.operations}
        return {7, 42} <= arguments and "f3" in {fault.id for fault in plan.schedule}

    plan = shrunk(PLAN, rule)
    assert [item.argument for item in plan.operations] == [7, 42]
    [fault] = plan.schedule
    assert (fault.id, fault.start, fault.duration_s) == ("f3", At(4.0), 1.0)
    assert plan.node_count == 3
    assert plan.options == {"nodes": {"n1": {"a": 1}}, "bugs": ["b"]}
    assert plan.time_limit_s == 4.3  # the last of them begins at 4.2
    assert plan.concurrency == 1 + max(item.worker for item in plan.operations)


def test_a_plan_that_needs_everything_stays():
    plan = shrunk(PLAN, PLAN.__eq__)
    assert plan == PLAN


def test_a_fault_that_another_one_follows_stays_with_it():
    faults = (
        Fault(id="first", kind="kill", start=At(1.0), duration_s=2.0),
        Fault(id="second", kind="kill", start=After("first"), duration_s=1.0),
        Fault(id="third", kind="kill", start=At(9.0), duration_s=1.0),
    )

    def rule(plan):
        there = {fault.id for fault in plan.schedule}
        return "second" in there and "first" in there

    plan = shrunk(Plan(system="s", workload="w", operations=(), schedule=Schedule(faults)), rule)
    assert [fault.id for fault in plan.schedule] == ["first", "second"]


def test_what_faults_hit_stays_and_their_times_change_with_them():
    fault = Fault(id="f", kind="kill", start=At(1.237), duration_s=3.3)
    gone = replace(fault, id="gone")
    pinned = tuple(Resolved(fault=item, nodes=("n2",)) for item in (fault, gone))
    plan = Plan(
        system="s", workload="w", operations=(), resolved=pinned, schedule=Schedule((fault, gone))
    )
    trial = Rule(lambda plan: "f" in {item.fault.id for item in plan.resolved})
    shrinker = Shrinker(plan, result(plan), TARGET, trial)
    shrinker.drop_faults_alone()
    round_one = replace(fault, start=At(1.0), duration_s=1.0)
    assert shrinker.plan.schedule == Schedule((round_one,))
    assert shrinker.plan.resolved == (Resolved(fault=round_one, nodes=("n2",)),)


def test_operations_stay_with_their_nodes_where_these_stay():
    def rule(plan):
        nodes = {item.argument: item.worker % plan.node_count for item in plan.operations}
        return nodes.get(11) == 1 and nodes.get(26) == 1  # both at n2 of five: workers 1 and 6

    plan = shrunk(PLAN, rule)
    assert plan.node_count == 3
    assert [item.argument for item in plan.operations] == [11, 26]


def test_when_runs_are_used_up_what_there_is_fails_still():
    def rule(plan):
        return 42 in {item.argument for item in plan.operations}

    plan = shrunk(PLAN, rule, limit=5)
    assert rule(plan)


def test_what_was_tried_in_vain_is_not_tried_again():
    tried = []

    def rule(plan):
        tried.append(repr(plan))
        return {7, 42} <= {item.argument for item in plan.operations}

    shrunk(PLAN, rule)
    assert len(tried) == len(set(tried))


def test_thresholds_are_lowered_as_far_as_it_fails():
    plan = replace(PLAN, options={"often": 100, "seldom": 3, "other": 50, "some": True})
    thresholds = {"often": 2, "seldom": 3, "absent": 1, "some": 0}

    def rule(plan):
        return plan.options["often"] >= 5 and len(plan.operations) >= plan.options["often"] // 4

    least = shrunk(plan, rule, thresholds=thresholds)
    assert least.options == {"often": 8, "seldom": 3, "other": 50, "some": True}
    assert len(least.operations) == 2


@pytest.mark.parametrize("defaults", [{"often": 100}, {"often": None}, {}])
def test_a_threshold_that_nobody_gave_is_lowered_from_its_default(defaults):
    def rule(plan):
        often = plan.options.get("often", 100)
        return often >= 5 and len(plan.operations) >= often // 4

    least = shrunk(PLAN, rule, thresholds={"often": 2}, defaults=defaults)
    assert least.options["often"] == 8
    assert len(least.operations) == 2


def test_a_default_is_no_reason_to_raise_a_threshold():
    tried = []

    def rule(plan):
        tried.append(plan.options.get("often"))
        return plan == PLAN

    shrunk(PLAN, rule, thresholds={"often": 2}, defaults={"often": 10})
    assert {item for item in tried if item is not None} == {2, 4, 8}


@pytest.mark.parametrize("options", [{}, {"often": 100}])
def test_a_threshold_whose_lowering_helped_nothing_is_what_it_was(options):
    def rule(plan):
        return {7, 42} <= {item.argument for item in plan.operations}

    plan = replace(PLAN, options=options)
    least = shrunk(plan, rule, thresholds={"often": 0}, defaults={"often": 100})
    assert least.options == options


def test_operations_that_stay_for_the_luck_of_others_go_with_another_seed():
    def rule(plan):
        numbers = {item.argument for item in plan.operations}
        lucky = numbers >= set(range(80, 95)) or plan.seed == 5
        return lucky and {93, 94} <= numbers

    plan = shrunk(PLAN, rule)
    assert ([item.argument for item in plan.operations], plan.seed) == ([93, 94], 5)


def test_many_that_stay_for_the_luck_of_the_last_go_with_another_seed():
    def rule(plan):
        numbers = {item.argument for item in plan.operations}
        return len(numbers) == 100 or (plan.seed == 3 and {75, 99} <= numbers)

    plan = shrunk(PLAN, rule)
    assert ([item.argument for item in plan.operations], plan.seed) == ([75, 99], 3)


def test_what_happens_every_so_often_needs_a_certain_number_of_operations():
    def rule(plan):
        count = len(plan.operations)
        return count == 100 or (count > 1 and count % 4 == 1 and plan.operations[-1].argument == 99)

    assert [item.argument for item in shrunk(PLAN, rule).operations] == [95, 96, 97, 98, 99]


def test_a_default_is_lowered_before_its_many_operations_are_left_out_one_by_one():
    def rule(plan):
        numbers = {item.argument for item in plan.operations}
        return len(numbers) == 100 or (plan.options.get("often") == 2 and {7, 42} <= numbers)

    least = shrunk(PLAN, rule, limit=150, thresholds={"often": 2}, defaults={"often": 40})
    assert [item.argument for item in least.operations] == [7, 42]


def test_single_operations_go_by_luck_while_there_are_many():
    needed, others = set(range(1, 8)), {50, 60, 70}
    enough = {0: 0, 3: 1, 5: 2, 9: 3}

    def rule(plan):
        numbers = {item.argument for item in plan.operations}
        return needed <= numbers and len(others - numbers) <= enough.get(plan.seed, -1)

    plan = shrunk(PLAN, rule)
    assert ({item.argument for item in plan.operations}, plan.seed) == (needed, 9)


class Rotating(Rule):
    """A trial whose clients go to the next node with each operation; each lasts 10 ms."""

    def fails(self, plan):
        self.runs += 1
        records, ends = [Phase(name="main", time_ns=0)], Counter()
        turns, served = Counter(), []
        for item in sorted(plan.operations, key=lambda item: item.at_ns):
            node = f"n{(item.worker + turns[item.worker]) % plan.node_count + 1}"
            start_ns = max(item.at_ns, ends[item.worker])
            turns[item.worker] += 1
            ends[item.worker] = start_ns + 10**7
            served.append((item.worker, node))
            records += [
                Invoke(
                    process=item.worker, session=item.worker, f=item.f, time_ns=start_ns,
                    node=node, key=item.key, argument=item.argument,
                ),
                Complete(invoke=len(records), outcome="ok", time_ns=ends[item.worker]),
            ]  # fmt: skip
        if not self.rule(plan, served):
            return None
        return replace(result(plan), evidence=from_journal(records))


def rotating(rule):
    """Shrink operations of one worker on four nodes, of which the last waits for the one before."""
    operations = tuple(planned(n) for n in range(5))
    late = replace(operations[-1], at_ns=operations[-2].at_ns + 1)
    plan = Plan(system="s", workload="w", node_count=4, operations=(*operations[:-1], late))
    trial = Rotating(rule)
    shrinker = Shrinker(plan, trial.fails(plan), TARGET, trial)
    shrinker.shrink()
    return shrinker.plan


def test_operations_that_only_bring_a_later_one_to_its_node_go():
    def rule(plan, served):
        return plan.node_count == 4 and "n4" in [node for _, node in served]

    plan = rotating(rule)
    assert [(item.argument, item.worker) for item in plan.operations] == [(3, 3)]


def test_operations_that_wait_for_each_other_stay_with_one_worker():
    def rule(plan, served):
        pairs = itertools.pairwise(served)
        return plan.node_count == 4 and any(
            one[1] == "n4" and two == (one[0], "n1") for one, two in pairs
        )

    plan = rotating(rule)
    assert [(item.argument, item.worker) for item in plan.operations] == [(3, 3), (4, 3)]


def test_what_the_checker_shows_is_tried_apart_with_many_seeds():
    def rule(plan, served):
        alone = [node for _, node in served] == ["n4"]
        return len(served) == 5 or (alone and plan.seed == 30)

    operations = tuple(planned(n) for n in range(5))
    plan = Plan(system="s", workload="w", node_count=4, operations=operations)
    trial = Rotating(rule)
    first = trial.fails(plan)
    shown = [item for item in first.evidence.history if item.argument == 3]
    found = {"c": invalid([Anomaly(name="lost", explanation="e", operations=shown)])}
    shrinker = Shrinker(plan, replace(first, verdicts=found), TARGET, trial)
    assert not shrinker.to_witness()
    assert shrinker.to_witness_apart()
    least = shrinker.plan
    assert [(item.argument, item.worker) for item in least.operations] == [(3, 3)]
    assert (least.seed, least.time_limit_s, least.concurrency) == (30, 0.4, 4)


def test_nodes_go_where_another_seed_does_with_fewer():
    def rule(plan):
        return plan.node_count == 5 or (plan.node_count == 4 and plan.seed == 3)

    plan = shrunk(PLAN, rule)
    assert (plan.node_count, plan.seed, plan.operations) == (4, 3, ())


def late(rule):
    """Shrink three operations of which two follow a fault, long after the beginning."""
    faults = (Fault(id="f", kind="kill", start=At(26.1), duration_s=1.0),)
    operations = (planned(2, phase="final"), planned(267), planned(269))
    plan = replace(PLAN, operations=operations, schedule=Schedule(faults), time_limit_s=30.0)

    def follows(plan):
        starts = [fault.start.s for fault in plan.schedule]
        times_s = [(item.phase, item.at_ns / 1e9) for item in plan.operations]
        return (
            len(times_s) == 3
            and times_s[0] == ("final", 0.2)
            and starts == [pytest.approx(times_s[1][1] - 0.6)]
            and times_s[2][1] - times_s[1][1] == pytest.approx(0.2)
            and rule(plan, starts[0])
        )

    return shrunk(plan, follows)


def test_what_happens_late_happens_early_with_the_same_distances():
    plan = late(lambda plan, start_s: True)
    [fault] = plan.schedule
    assert fault.start == At(1.1)
    assert [item.at_ns for item in plan.operations] == [2 * 10**8, 17 * 10**8, 19 * 10**8]
    assert 1.9 < plan.time_limit_s <= 2.0


def test_what_happens_early_by_luck_alone_has_another_seed():
    plan = late(lambda plan, start_s: start_s > 26 or plan.seed == 3)
    assert (plan.seed, plan.schedule.faults[0].start) == (3, At(1.1))


def test_what_needs_some_time_before_it_keeps_that():
    plan = late(lambda plan, start_s: start_s > 5)
    assert plan.schedule.faults[0].start == At(5.1)


def roomy(rule, limit_s=5.0):
    """Give room to a partition, a clock that jumps while it lasts, and three operations."""
    faults = (
        Fault(id="cut", kind="partition", start=At(1.5), duration_s=2.0),
        Fault(id="jump", kind="clock", start=At(3.0), duration_s=None),
    )
    operations = (planned(1, phase="final"), planned(15), planned(31), planned(50))
    plan = replace(PLAN, operations=operations, schedule=Schedule(faults), time_limit_s=limit_s)
    shrinker = Shrinker(plan, result(plan), TARGET, Rule(rule), {}, {})
    shrinker.give_room()
    faults = {fault.id: (fault.start.s, fault.duration_s) for fault in shrinker.plan.schedule}
    times_s = [item.at_ns / 1e9 for item in shrinker.plan.operations]
    return faults, times_s, shrinker.plan.time_limit_s


def test_what_follows_a_fault_comes_later_where_it_fails_so_too():
    # From 1.5 two seconds to the next operation, from the jump at 5 two more, and again from the
    # end of the cut, which comes later by all that it waited for.
    faults, times_s, limit_s = roomy(lambda plan: True)
    assert faults == {"cut": (1.5, 6.0), "jump": (5.0, None)}
    assert times_s == [0.1, 3.5, 7.1, 11.0]
    assert limit_s == 11.0


def test_less_room_is_given_where_more_is_too_much_and_none_where_none_can_be():
    faults, times_s, limit_s = roomy(lambda plan: plan.time_limit_s <= 5.5)
    assert faults == {"cut": (1.5, 2.5), "jump": (3.5, None)}
    assert times_s == [0.1, 2.0, 3.6, 5.5]
    assert limit_s == 5.5
    assert roomy(lambda plan: False) == (
        {"cut": (1.5, 2.0), "jump": (3.0, None)}, [0.1, 1.5, 3.1, 5.0], 5.0
    )  # fmt: skip


def test_room_and_an_early_beginning_reach_faults_whose_victims_are_pinned():
    fault = Fault(id="f", kind="kill", start=At(4.5), duration_s=1.0, target="one")
    plan = replace(
        PLAN, operations=(planned(47),), schedule=Schedule((fault,)), time_limit_s=6.0,
        resolved=(Resolved(fault=fault, nodes=("n2",)),),
    )  # fmt: skip
    shrinker = Shrinker(plan, result(plan), TARGET, Rule(lambda plan: True), {}, {})
    shrinker.give_room()
    [roomy] = shrinker.plan.schedule
    assert (roomy.start, roomy.duration_s) == (At(4.5), 3.0)
    assert shrinker.plan.resolved == (Resolved(fault=roomy, nodes=("n2",)),)


def test_a_stretch_goes_at_once_where_no_part_of_it_can():
    def rule(plan):
        numbers = {item.argument for item in plan.operations}
        return numbers >= {90, 99} and len(numbers & set(range(91, 96))) in (0, 5)

    plan = shrunk(PLAN, rule)
    assert [item.argument for item in plan.operations] == [90, 99]


def test_nothing_is_tried_first_and_then_what_the_checker_shows():
    history = from_journal(
        [
            Phase(name="main", time_ns=0),
            Invoke(process=0, session=0, f="write", time_ns=10, node="n1", key=1, argument=2),
            Complete(invoke=1, outcome="ok", time_ns=20),
            Invoke(process=1, session=1, f="read", time_ns=30, node="n2", key=1),
            Complete(invoke=3, outcome="ok", time_ns=40),
        ]
    )
    planned = planned_of(history, 10)
    shown = [item for item in history.history if item.f == "read"]
    found = {"c": invalid([Anomaly(name="lost", explanation="e", operations=shown)])}
    plan = replace(PLAN, operations=planned)
    trial = Rule(lambda plan: [item.f for item in plan.operations] == ["read"])
    shrinker = Shrinker(plan, replace(result(plan, found), evidence=history), TARGET, trial)
    assert not shrinker.to_nothing()
    assert shrinker.to_witness()
    assert [item.f for item in shrinker.plan.operations] == ["read"]
    assert trial.runs == 2


def test_faults_begin_when_they_came_and_those_that_never_came_go():
    faults = (
        Fault(id="waits", kind="kill", start=When(Condition("trace", {"a": 1}), 8.0)),
        Fault(id="follows", kind="kill", start=After("waits", 1.0), duration_s=2.0),
        Fault(id="never", kind="kill", start=At(90.0)),
    )
    events = [
        FaultEvent(fault=name, kind="kill", state=state, time_ns=time_ns)
        for name, state, time_ns in (
            ("waits", "planned", 10**9),
            ("waits", "injecting", 25 * 10**8),
            ("waits", "active", 26 * 10**8),
            ("follows", "injecting", 36 * 10**8),
            ("never", "missed", 90 * 10**8),
        )
    ]
    evidence = from_journal([Phase(name="main", time_ns=10**9), *events])
    assert timed(Schedule(faults), evidence) == Schedule(
        (replace(faults[0], start=At(1.5)), replace(faults[1], start=At(2.6)))
    )
    assert timed(Schedule(faults), Evidence()) == Schedule(faults)


def test_the_operations_of_a_run_become_a_plan():
    evidence = from_journal(
        [
            Phase(name="main", time_ns=1_000),
            Invoke(process=3, session=3, f="write", time_ns=1_500, node="n1", key=1, argument=2),
            Complete(invoke=1, outcome="info", time_ns=1_700),
            Invoke(process=13, session=13, f="read", time_ns=1_800, node="n1", key=1),
            Phase(name="heal", time_ns=1_900),
            Complete(invoke=3, outcome="ok", time_ns=1_950),
            Phase(name="final", time_ns=3_000),
            Invoke(process=0, session=0, f="read", time_ns=3_000, node="n1", key=1),
        ]
    )
    found = planned_of(evidence, 10)
    assert [(item.phase, item.worker, item.at_ns, item.f) for item in found] == [
        ("main", 3, 500, "write"),
        ("main", 3, 800, "read"),
        ("final", 0, 0, "read"),
    ]
    assert tuple(PlannedOperation.from_value(item.to_value()) for item in found) == found


@pytest.mark.parametrize(
    "value", [None, [], {"phase": "main"}, {"phase": "x", "worker": 0, "at_ns": 0, "f": "read"}]
)
def test_what_is_no_planned_operation_is_refused(value):
    with pytest.raises(UsageError, match="planned operation"):
        PlannedOperation.from_value(value)


def test_each_worker_does_its_own_at_its_times():
    generator = replay([planned(2, worker=1), planned(1, worker=0), planned(3, worker=1)])

    def step(generator, worker):
        return generator.step(Context(0, worker, worker, 2, 0))

    one, generator = step(generator, 1)
    assert one == Invocation("write", 0, 2, 2 * 10**8)
    two, generator = step(generator, 0)
    assert two.argument == 1
    waits, generator = step(generator, 0)
    assert isinstance(waits, Pending)
    three, generator = step(generator, 1)
    assert three.argument == 3
    assert step(generator, 0)[0] is None


def test_one_that_lasts_waits_for_its_time_limit():
    assert isinstance(replay([], lasting=True).step(Context(0, 0, 0, 1, 0))[0], Pending)


def test_the_target_is_what_was_found_first_or_what_was_asked_for():
    lost = invalid([Anomaly(name="lost", explanation="e")])
    both = invalid([Anomaly(name="stale", explanation="e"), Anomaly(name="lost", explanation="e")])
    run = result(verdicts={"a": valid(), "b": both, "c": lost})
    assert target_of(run, None) == Target(checker="b", anomaly="stale")
    assert target_of(run, None, "lost") == Target(checker="b", anomaly="lost")
    assert target_of(run, None, "other") == Target(checker="b", anomaly="stale")
    assert target_of(run, "c") == TARGET


def test_what_a_diagram_shows_is_what_shrinking_keeps_whatever_proves_it():
    traced, read = (
        Anomaly(name=name, explanation="e", operations=operations)
        for name, operations in (("two-leaders", ()), ("stale-read", (READ,)))
    )
    found = {"raft": invalid([traced]), "linearizable": invalid([read])}
    assert kept_anomaly(result(verdicts=found)) is traced
    plan = Plan(system="raft", workload="register", bug="stale-read", cluster="sim")
    assert kept_anomaly(result(plan, found)) is read
    assert kept_anomaly(result(verdicts={"a": valid()})) is None


@pytest.mark.parametrize(
    ("verdicts", "checker", "said"),
    [
        ({"a": valid()}, None, "no checker found anything"),
        ({"a": unknown("why")}, "a", "'a' did not find anything"),
        ({"a": valid()}, "z", "not judged by 'z', but by a"),
    ],
)
def test_a_run_without_a_failure_has_nothing_to_shrink(verdicts, checker, said):
    with pytest.raises(UsageError, match=said):
        target_of(result(verdicts=verdicts), checker)
