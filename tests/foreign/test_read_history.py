"""Importing small foreign histories: formats, assumptions, outcomes."""

from __future__ import annotations

import pytest

from splitbrain.core.errors import MalformedHistoryError, UsageError
from splitbrain.core.operation import Outcome
from splitbrain.foreign import read_history


@pytest.fixture
def file(tmp_path):
    def write(name: str, text: str):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def told(imported):
    return [
        (o.process, o.f, o.outcome.value, o.argument, o.result, o.applied) for o in imported.history
    ]


def test_json_lines(file):
    imported = read_history(
        file(
            "h.jsonl",
            '{"process":0,"type":"invoke","f":"write","key":"a","value":1,"time":5}\n'
            "\n"
            '{"process":1,"type":"invoke","f":"read","key":"a","value":null,"time":6}\n'
            '{"process":0,"type":"ok","f":"write","key":"a","value":1,"time":9}\n'
            '{"process":1,"type":"ok","f":"read","key":"a","value":[1,"x"],"time":11,"node":"n1",'
            '"version":7}\n'
            '{"process":2,"type":"invoke","f":"cas","key":"a","value":[1,2]}\n',
        )
    )
    assert imported.format == "jsonl"
    write, read, cas = imported.history
    assert (write.start_ns, write.end_ns, write.invoke_index, write.complete_index) == (5, 9, 1, 3)
    assert (read.node, read.version, read.result, read.key) == ("n1", 7, [1, "x"], "a")
    assert (cas.outcome, cas.complete_index, cas.argument) == (Outcome.INFO, None, [1, 2])
    assert imported.facts == {"initial": None, "minimum_ok": 0}
    assert "1 operation without an end: of unknown outcome" in imported.assumptions


EDN = """{:process 0, :type :invoke, :f :cas, :value [1 2]}
{:process 0, :type :fail, :f :cas, :value [1 2]}
{:process 1 :type :invoke :f :read :value nil :time 12}
{:process :nemesis, :type :info, :f :kill, :value nil}
{:process 1 :type :ok :f :read :value 1 :time 13}
"""


@pytest.mark.parametrize(
    "text",
    [
        EDN,
        f"[{EDN}]",
        f"({EDN})",
        f"; a comment with a brace {{\n[{EDN.replace(chr(10), ' ')}]",
        EDN.replace("{", "#jepsen.history.Op{"),
        EDN.replace("{", "#knossos.op.Op {"),
        EDN.replace("{", '{:index 0, :extra {:a #{1 2} :b ("}" \\} x/y)}, '),
        EDN.replace(", ", "\n"),
    ],
    ids=["lines", "vector", "list", "one line", "tagged", "of Knossos", "general", "many lines"],
)
def test_edn_in_all_its_shapes(file, text):
    imported = read_history(file("h.edn", text))
    assert imported.format == "jepsen-edn"
    assert told(imported) == [
        (0, "cas", "fail", [1, 2], None, True),
        (1, "read", "ok", None, 1, True),
    ]
    assert imported.history[1].end_ns == 13
    assert "1 event of the nemesis left out" in imported.assumptions
    assert "1 failed compare-and-set: left out, as if never made" in imported.assumptions


@pytest.mark.parametrize(
    ("edn", "value"),
    [
        ("nil", None),
        ("true", True),
        ("-7", -7),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("9223372036854775808N", 2**63),
        ("1.5", 1.5),
        ("1.50M", "1.50M"),
        (":timed-out", ":timed-out"),
        ("sym", "sym"),
        ('"a\\"b"', 'a"b'),
        ('"a; {b"', "a; {b"),
        ("[1 nil :a]", [1, None, ":a"]),
        ("(1 [2])", [1, [2]]),
        ("#{2 1}", [1, 2]),
        ('{:a 1, "b" {3 nil}}', {":a": 1, "b": {"3": None}}),
    ],
)
def test_values_of_every_kind_are_kept(file, edn, value):
    text = (
        "{:process 0, :type :invoke, :f :write, :value " + edn + "}\n"
        "{:process 0, :type :ok, :f :write, :value " + edn + "}\n"
    )
    found = read_history(file("h.edn", text)).history[0].argument
    assert found == value
    assert type(found) is type(value)


def test_big_integers_of_json_are_exact(file):
    text = (
        '{"process":0,"type":"invoke","f":"read"}\n'
        '{"process":0,"type":"ok","f":"read","value":123456789012345678901234567890}\n'
    )
    assert read_history(file("h.jsonl", text)).history[0].result == 123456789012345678901234567890


LOG = (
    "INFO  jepsen.core - set up\n"
    "INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\n"
    "INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n"
    "INFO  jepsen.util - 0\t:fail\t:cas\t[1 2]\n"
    "INFO  jepsen.util - 1\t:invoke\t:read\tnil\n"
    "INFO  jepsen.util - 1\t:fail\t:read\t:timed-out\n"
    "INFO  jepsen.util - 2\t:invoke\t:write\t4\n"
    "INFO  jepsen.util - 2\t:info\t:write\t:timed-out\n"
)


def test_the_log_of_jepsen(file):
    imported = read_history(file("x.log", LOG))
    assert imported.format == "jepsen-log"
    assert told(imported) == [
        (0, "cas", "ok", [1, 2], None, False),
        (1, "read", "fail", None, None, True),
        (2, "write", "info", 4, None, True),
    ]
    assert imported.history[2].error == ":timed-out"
    assert (
        "1 failed compare-and-set: counted as an observation that the value was another"
        in imported.assumptions
    )


def test_what_a_failed_compare_and_set_means_can_be_told(file):
    log, edn = file("x.log", LOG), file("x.edn", EDN)
    assert read_history(log, failed_cas="dropped").history[0].outcome is Outcome.FAIL
    observed = read_history(edn, failed_cas="observed").history[0]
    assert (observed.outcome, observed.applied) == (Outcome.OK, False)
    with pytest.raises(UsageError, match="observed or dropped, not 'maybe'"):
        read_history(log, failed_cas="maybe")


def test_a_compare_and_set_that_failed_with_an_error_saw_nothing(file):
    text = EDN.replace(":fail, :f :cas, :value [1 2]", ":fail, :f :cas, :error :no-leader")
    found = read_history(file("x.edn", text), failed_cas="observed").history[0]
    assert (found.outcome, found.error) == (Outcome.FAIL, "no-leader")


def test_key_value_histories_of_porcupine(file):
    imported = read_history(
        file(
            "c.txt",
            '{:process 0, :type :invoke, :f :append, :key "0", :value "x"}\n'
            '{:process 0, :type :ok, :f :append, :key "0", :value "x"}\n'
            '{:process 0, :type :invoke, :f :get, :key "0", :value nil}\n'
            '{:process 0, :type :ok, :f :get, :key "0", :value "x"}\n'
            '{:process 0, :type :invoke, :f :put, :key "0", :value "y"}\n',
        )
    )
    assert imported.format == "porcupine-kv"
    assert imported.facts["initial"] == ""
    assert [o.f for o in imported.history] == ["append", "read", "write"]
    assert imported.history[1].key == "0"


def test_a_process_that_goes_on_after_an_unknown_outcome_counts_as_another(file):
    lines = []
    for _ in range(3):
        lines.append('{"process":4,"type":"invoke","f":"write","value":1}')
        lines.append('{"process":4,"type":"info","f":"write","value":1}')
    lines.append('{"process":7,"type":"invoke","f":"read"}')
    lines.append('{"process":7,"type":"ok","f":"read","value":1}')
    imported = read_history(file("h.jsonl", "\n".join(lines)))
    assert imported.history.process.tolist() == [4, 8, 9, 7]
    assert imported.history.session.tolist() == [4, 4, 4, 7]
    assert any("counts as another: 2 times" in line for line in imported.assumptions)


def test_the_format_is_found_by_content_where_the_name_does_not_tell(file):
    line = '{"process":0,"type":"invoke","f":"read"}\n'
    assert read_history(file("history", line)).format == "jsonl"
    assert read_history(file("history.txt", EDN)).format == "jepsen-edn"


def test_windows_line_ends_and_byte_order_marks_do_no_harm(tmp_path):
    path = tmp_path / "h.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"process":0,"type":"invoke","f":"read"}\r\n')
    assert len(read_history(path).history) == 1


INDEPENDENT = """{:process 0, :type :invoke, :f :write, :value [7 1]}
{:process 1, :type :invoke, :f :read, :value [8 nil]}
{:process 0, :type :ok, :f :write, :value [7 1]}
{:process 1, :type :ok, :f :read, :value [8 nil]}
{:process 2, :type :invoke, :f :cas, :value [7 [1 2]]}
{:process 3, :type :invoke, :f :read, :value [7 nil]}
{:process 3, :type :info, :f :read, :value [7 nil], :error :timeout}
{:process 2, :type :fail, :f :cas, :value [7 [1 2]]}
{:process 0, :type :invoke, :f :read, :value [7 nil]}
{:process :nemesis, :type :info, :f :kill, :value [1 2 3]}
{:process 0, :type :ok, :f :read, :value [7 1]}
"""


def test_keys_are_taken_out_of_the_values_of_independent_keys(file):
    imported = read_history(file("h.edn", INDEPENDENT))
    rows = [(o.f, o.key, o.argument, o.result) for o in imported.history]
    assert rows == [
        ("write", 7, 1, None),
        ("read", 8, None, None),
        ("cas", 7, [1, 2], None),
        ("read", 7, None, None),
        ("read", 7, None, 1),
    ]
    assert "values are [key value], as of independent keys: 2 keys" in imported.assumptions


def test_a_register_that_holds_pairs_has_no_keys(file):
    text = INDEPENDENT.replace("[8 nil]", "nil").replace(":read, :value [7 nil]", ":read")
    found = read_history(
        file("h.edn", text.replace(":ok, :f :read, :value nil", ":fail, :f :read"))
    )
    assert {o.key for o in found.history} == {None}
    assert found.history[0].argument == [7, 1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (":write, :value [7 1]", ":write, :value 1"),
        (":cas, :value [7 [1 2]]", ":cas, :value nil"),
        (":type :ok, :f :read, :value [8 nil]", ":type :ok, :f :read, :value [9 nil]"),
        (":type :ok, :f :read, :value [8 nil]", ":type :ok, :f :read, :value 5"),
        (":invoke, :f :read, :value [8 nil]", ":invoke, :f :read, :value nil"),
    ],
)
def test_an_operation_without_a_key_among_independent_keys_is_named(file, old, new):
    with pytest.raises(MalformedHistoryError, match="as where keys are independent, but process"):
        read_history(file("h.edn", INDEPENDENT.replace(old, new)))


def test_what_the_client_chose_is_told_at_the_end(file):
    text = (
        "{:process 0, :type :invoke, :f :write, :value nil}\n"
        "{:process 0, :type :ok, :f :write, :value 5}\n"
        "{:process 0, :type :invoke, :f :write, :value 6}\n"
        "{:process 0, :type :ok, :f :write, :value 7}\n"
    )
    imported = read_history(file("h.edn", text))
    assert [o.argument for o in imported.history] == [5, 6]
    assert (
        "1 operation ended with another value than given: what was given counts"
        in imported.assumptions
    )


def test_processes_of_any_number_can_go_on_as_others(file):
    big = 2**63 - 1
    lines = [
        f'{{"process":{number},"type":"{kind}","f":"write","value":1}}'
        for number in (big, 0, big)
        for kind in ("invoke", "info")
    ]
    imported = read_history(file("h.jsonl", "\n".join(lines)))
    assert imported.history.process.tolist() == [big, 0, 1]


def test_edn_with_windows_line_ends_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "h.edn"
    path.write_bytes(b"\xef\xbb\xbf" + EDN.replace("\n", "\r\n").encode())
    assert len(read_history(path).history) == 2


def test_sets_are_in_one_order_whatever_theirs(file):
    text = "{:process 0, :type :invoke, :f :write, :value #{30 1000 20 10}}\n"
    assert read_history(file("h.edn", text)).history[0].argument == [10, 1000, 20, 30]


def test_a_compare_and_set_that_failed_by_a_time_out_saw_nothing(file):
    text = (
        "INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\n"
        "INFO  jepsen.util - 0\t:fail\t:cas\t:timed-out\n"
    )
    found = read_history(file("x.log", text)).history[0]
    assert (found.outcome, found.error) == (Outcome.FAIL, ":timed-out")


@pytest.mark.parametrize(
    "tag",
    [
        "#jepsen.independent/tuple ",
        "#independent/tuple ",
        "#jepsen.independent.Tuple",
        "#clojure.lang.MapEntry ",
    ],
)
def test_tuples_of_key_and_value_may_carry_their_tag(file, tag):
    imported = read_history(
        file(
            "h.edn",
            f"{{:process 0, :type :invoke, :f :write, :value {tag}[:x 1]}}\n"
            f"{{:process 0, :type :ok, :f :write, :value {tag}[:x 1]}}\n"
            f"{{:process 1, :type :invoke, :f :read, :value {tag}[:x nil]}}\n"
            f"{{:process 1, :type :ok, :f :read, :value {tag}[:x [1 2]]}}\n",
        )
    )
    write, read = imported.history
    assert (write.key, write.argument) == (":x", 1)
    assert (read.key, read.argument, read.result) == (":x", None, [1, 2])


def test_a_tagged_tuple_is_a_pair(file):
    path = file("h.edn", "{:process 0, :type :invoke, :f :read, :value #independent/tuple [1]}")
    with pytest.raises(MalformedHistoryError, match=r"h\.edn:1: .*is a vector of two"):
        read_history(path)


LOGGED = [
    "0\t:invoke\t:write\t1",
    "0\t:ok\t:write\t1",
    ":nemesis\t:info\t:start\tnil",
    "1\t:invoke\t:read\tnil",
    "1\t:info\t:read\t:timed-out",
    "2\t:invoke\t:read\tnil",
    "2\t:ok\t:read\t1",
]


@pytest.mark.parametrize(
    "prefix",
    [
        "INFO  jepsen.util - ",
        "2015-01-05 12:00:00 INFO  jepsen.util - ",
        "2024-01-05 12:00:00,123{GMT}\tINFO\t[jepsen worker 0] jepsen.util: ",
        "INFO\t[jepsen worker 0] jepsen.util: ",
        "",
    ],
    ids=["old", "old with time", "later", "console", "history.txt"],
)
@pytest.mark.parametrize("name", ["h.log", "history.txt"])
def test_operations_in_the_logs_of_all_versions(file, name, prefix):
    other = "2024-01-05 12:00:00,1{GMT}\tINFO\t[main] jepsen.util: reconnecting\n" if prefix else ""
    imported = read_history(file(name, other + "".join(f"{prefix}{line}\n" for line in LOGGED)))
    assert imported.format == "jepsen-log"
    assert told(imported) == [
        (0, "write", "ok", 1, None, True),
        (1, "read", "info", None, None, True),
        (2, "read", "ok", None, 1, True),
    ]
    assert "1 event of the nemesis left out" in imported.assumptions


def test_a_torn_line_of_a_log_is_named(file):
    path = file("history.txt", "\n".join(LOGGED)[:-3])
    with pytest.raises(MalformedHistoryError, match=r"history\.txt:7: .*with tabs between them"):
        read_history(path)
