"""What is wrong with a foreign history is said with its file and its line."""

from __future__ import annotations

import gzip

import pytest

from splitbrain.core.errors import MalformedHistoryError, UsageError
from splitbrain.foreign import lines as limits
from splitbrain.foreign import read_history

INVOKE = '{"process":0,"type":"invoke","f":"read"}\n'
OK = '{"process":0,"type":"ok","f":"read","value":1}\n'
EDN_INVOKE = "{:process 0, :type :invoke, :f :read, :value nil}\n"
LOG_INVOKE = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n"

CASES = {
    "unknown type": ("h.jsonl", INVOKE + INVOKE.replace("invoke", "begin"), 2, 'type "begin"'),
    "no invocation": ("h.jsonl", INVOKE + OK + OK, 3, "it has invoked nothing"),
    "still open": ("h.jsonl", INVOKE + INVOKE, 2, "its read of line 1 is still open"),
    "another f": ("h.jsonl", INVOKE + OK.replace("read", "write"), 2, "invoked read (line 1)"),
    "another key": (
        "h.jsonl",
        INVOKE.replace("}", ',"key":1}') + OK.replace("}", ',"key":true}'),
        2,
        "completes read of key true, but it has invoked that of key 1 (line 1)",
    ),
    "EDN another key": (
        "h.edn",
        EDN_INVOKE + "{:process 0, :type :ok, :f :read, :value 1, :key :x}",
        2,
        'completes read of key ":x", but it has invoked that of key null (line 1)',
    ),
    "torn": ("h.jsonl", INVOKE + OK[:20] + "\n", 2, "this is no JSON"),
    "not a number": ("h.jsonl", INVOKE + '{"process":NaN}\n', 2, "this is no JSON"),
    "overflow": ("h.jsonl", INVOKE + OK.replace("1", "1e999"), 2, "this is no JSON"),
    "a list": ("h.jsonl", INVOKE + "[1]\n", 2, "an event is a JSON object"),
    "no fields": ("h.jsonl", '{"process":1}\n', 1, "no type and no f"),
    "process a text": ("h.jsonl", INVOKE.replace("0", '"zero"'), 1, 'process is "zero"'),
    "process true": ("h.jsonl", INVOKE.replace("0", "true"), 1, "process is true"),
    "process too big": ("h.jsonl", INVOKE.replace("0", str(2**63)), 1, "at most 64 bits"),
    "time too big": ("h.jsonl", INVOKE.replace("}", f',"time":{2**70}}}'), 1, "time is"),
    "f a number": ("h.jsonl", INVOKE.replace('"read"', "7"), 1, "f is 7"),
    "applied a text": ("h.jsonl", INVOKE.replace("}", ',"applied":"no"}'), 1, 'applied is "no"'),
    "deep JSON": ("h.jsonl", INVOKE + "[" * 5000 + "]" * 5000, 2, "deeper than 64"),
    "an array": ("h.jsonl", "[" + INVOKE[:-1] + ",\n", 1, "an event is a JSON object, one a line"),
    "a header": ("h.jsonl", '{"splitbrain":99}\n', 1, "no header of version 1"),
    "gzip": ("h.edn", gzip.compress(EDN_INVOKE.encode()), 1, "it is compressed by gzip"),
    "UTF-16": ("h.edn", EDN_INVOKE.encode("utf-16"), 1, "it is text in UTF-16"),
    "Parquet": ("h", b"PAR1\x15\xff", 1, "it is Parquet"),
    "no UTF-8": ("h.jsonl", INVOKE.encode() + b'{"\xff":1}\n', 2, "byte 3 of the line"),
    "read of nothing": ("h.jsonl", INVOKE + OK.replace(',"value":1', ""), 2, "does not say what"),
    "write of nothing": (
        "h.jsonl",
        INVOKE.replace("read", "write") + OK.replace("read", "write").replace(',"value":1', ""),
        1,
        "does not say of what",
    ),
    "open write": ("h.jsonl", INVOKE.replace("read", "write"), 1, "does not say of what"),
    "twice": ("h.jsonl", INVOKE + OK.replace("}", ',"value":2}'), 2, '"value" stands there twice'),
    "escaped": ("h.jsonl", INVOKE + OK.replace("}", ',"v\\u0061lue":2}'), 2, "stands there twice"),
    "index": (
        "h.jsonl",
        INVOKE.replace("}", ',"index":4}') + OK.replace("}", ',"index":3}'),
        2,
        "behind 4",
    ),
    "EDN twice": ("h.edn", EDN_INVOKE.replace("}", ", :value 2}"), 1, ":value twice"),
    "EDN read of nothing": (
        "h.edn",
        EDN_INVOKE + "{:process 0 :type :ok :f :read}",
        2,
        "does not say what",
    ),
    "EDN index": (
        "h.edn",
        EDN_INVOKE.replace("}", ", :index 9}")
        + "{:process 0 :type :ok :f :read :value 1 :index 8}",
        2,
        "behind 9",
    ),
    "EDN type": ("h.edn", EDN_INVOKE.replace(":invoke", ":start"), 1, 'type "start"'),
    "EDN no process": ("h.edn", "\n{:type :ok :f :read}", 2, "no :process"),
    "EDN open map": ("h.edn", EDN_INVOKE + "{:process 1,\n:type", 2, "has no end"),
    "EDN bracket": ("h.edn", EDN_INVOKE + "]", 2, "a bracket that nothing opened"),
    "EDN junk": ("h.edn", EDN_INVOKE + "hello\n", 2, "an event is a map, not hello"),
    "EDN vector": ("h.edn", "[" + EDN_INVOKE + "[1 2]]", 2, "not a vector or a list"),
    "EDN odd map": ("h.edn", EDN_INVOKE + "{:process 0, :type}\n", 2, "no EDN that can be read"),
    "EDN tag": ("h.edn", "{:process 0, :value #my/what{:a 1}}", 1, "the tag #my/what means is not"),
    "EDN f": ("h.edn", EDN_INVOKE.replace(":f :read", ":f [:read]"), 1, ':f is [":read"]: it must'),
    "EDN open vector": (
        "h.edn",
        "\n[" + EDN_INVOKE,
        2,
        "vector or list that begins here has no end",
    ),
    "EDN vector again": ("h.edn", f"[{EDN_INVOKE}]\n]", 3, "a bracket that nothing opened"),
    "EDN other bracket": ("h.edn", f"[{EDN_INVOKE})", 2, "a bracket that nothing opened"),
    "EDN deep": ("h.edn", "\n{:v " + "[" * 99 + "]" * 99 + "}", 2, "deeper than 64"),
    "EDN huge number": ("h.edn", "{:process " + "9" * 5000 + "}", 1, "no EDN that can be read"),
    "EDN process": ("h.edn", EDN_INVOKE.replace("0", ":client"), 1, ':process is ":client"'),
    "log columns": ("h.log", LOG_INVOKE + "INFO  jepsen.util - 0 :ok\n", 2, "with tabs between"),
    "log type": ("h.log", LOG_INVOKE + LOG_INVOKE.replace(":invoke", ":hm"), 2, 'type "hm"'),
    "log value": ("h.log", LOG_INVOKE + LOG_INVOKE.replace("nil", "[1"), 2, "no EDN"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_place_and_the_reason_are_named(tmp_path, name):
    file, text, line, reason = CASES[name]
    path = tmp_path / file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MalformedHistoryError) as caught:
        read_history(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "text"), [("h.jsonl", ""), ("h.edn", "[]"), ("h.edn", "; no\n")])
def test_a_file_without_operations_is_no_history(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(MalformedHistoryError, match="no operations were found"):
        read_history(path)


def test_limits_hold_before_the_content_is_read(tmp_path, monkeypatch):
    path = tmp_path / "h.jsonl"
    path.write_text(INVOKE + "x" * 5000)
    monkeypatch.setattr(limits, "LINE_LIMIT_BYTES", 1024)
    with pytest.raises(MalformedHistoryError, match=r"h\.jsonl:2: a line of more than"):
        read_history(path)
    monkeypatch.setattr(limits, "FILE_LIMIT_BYTES", 4096)
    with pytest.raises(MalformedHistoryError, match="over the limit of 4096"):
        read_history(path)


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        read_history(tmp_path / "none.edn")
    with pytest.raises(UsageError, match="is no file"):
        read_history(tmp_path)
    parquet = tmp_path / "h.parquet"
    parquet.write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="no Parquet file that can be read"):
        read_history(parquet)
    prose = tmp_path / "letter.txt"
    prose.write_text("Dear reader,\n")
    with pytest.raises(UsageError, match="does not look like a history"):
        read_history(prose)
