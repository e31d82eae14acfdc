"""Whatever a file holds, it is read or refused in one line: nothing else escapes."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from splitbrain.core.errors import UsageError
from splitbrain.foreign import read_history

SOUND = {
    "h.jsonl": (
        b'{"process":0,"type":"invoke","f":"cas","key":"a","value":[1,2],"time":5}\n'
        b'{"process":1,"type":"invoke","f":"read","key":"a","value":null,"time":6}\n'
        b'{"process":0,"type":"ok","f":"cas","key":"a","value":[1,2],"time":9,"applied":false}\n'
        b'{"process":1,"type":"ok","f":"read","key":"a","value":[1,"x\\u00e9"],"time":11}\n'
    ),
    "h.edn": (
        b"[{:process 0, :type :invoke, :f :cas, :value [1 2]} ; first\n"
        b" {:process :nemesis, :type :info, :f :kill, :value #{:n1}}\n"
        b' #jepsen.history.Op{:process 0 :type :fail :f :cas :value [1 2] :error "a\\"b"}\n'
        b" {:process 1, :type :invoke, :f :read, :value nil, :time 12}]\n"
    ),
    "h.log": (
        b"INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\n"
        b"INFO  jepsen.util - 0\t:info\t:cas\t:timed-out\n"
        b"INFO  jepsen.util - 1\t:invoke\t:read\tnil\n"
    ),
}

edits = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, 12),
        st.one_of(
            st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b"\n", b"#", b";", b"#_", b":"]),
            st.binary(max_size=4),
        ),
    ),
    max_size=4,
)


@pytest.mark.parametrize("name", SOUND)
def test_damage_is_read_or_refused_in_one_line(name, tmp_path):
    path = tmp_path / name

    @given(edits)
    @example([])
    @example([(0, 400, b"")])
    @example([(121, 0, b";"), (201, 0, b"\n")])  # a map that is none, over two lines
    def survives(changes):
        data = SOUND[name]
        for place, length, replacement in changes:
            data = data[:place] + replacement + data[place + length :]
        path.write_bytes(data)
        refusal = str(path)
        try:
            read_history(path).history.validate()
        except UsageError as error:
            refusal = str(error)
        assert str(path) in refusal
        assert refusal.isprintable()

    survives()


UNPRINTABLE = "a\x1b[2J\u202e\x85b"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.jsonl", '{"process":0,"type":"ok","f":TEXT}'),
        ("f.jsonl", '{"process":0,"type":"invoke","f":TEXT}\n' * 2),
        ("f.jsonl", '{"process":0,"type":"invoke","f":"read"}\n{"process":0,"type":"ok","f":TEXT}'),
        ("f.jsonl", '{"process":0,"type":TEXT,"f":"read"}'),
        ("f.jsonl", '{"process":TEXT,"type":"ok","f":"read"}'),
        ("f.jsonl", '{"process":0,"type":"ok","f":[TEXT]}'),
        ("f.jsonl", '{"process":0,"type":"ok","f":"read","applied":TEXT}'),
        ("f.jsonl", '{"process":0,"type":"ok","f":"read",TEXT:1,TEXT:2}'),
        ("f.jsonl", '{"process":0,"type":"ok","f":"read" TEXT'),
        ("f.edn", "RAW"),
        ("f.edn", '{:process "RAW" :type :ok :f :read}'),
        ("f.edn", '{:process 0 :type :ok :f "RAW"}'),
        ("f.edn", "#{RAW}"),
        ("f.edn", "{:process 0 :type :ok :f (RAW #x[])}"),
        ("f.log", "INFO  jepsen.util - 0\t:ok\tRAW\tnil"),
        ("f.log", "INFO  jepsen.util - RAW\t:ok\t:read\tnil"),
        ("f.log", "INFO  jepsen.util - 0\tRAW\t:read\tnil"),
    ],
)
def test_what_is_quoted_of_a_file_is_printable(name, text, tmp_path):
    path = tmp_path / name
    written = text.replace("TEXT", json.dumps(UNPRINTABLE)).replace("RAW", UNPRINTABLE)
    path.write_bytes(written.encode())
    with pytest.raises(UsageError) as refused:
        read_history(path)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < len(str(path)) + 250


def test_sound_histories_are_read(tmp_path):
    for name, data in SOUND.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert len(read_history(path).history) == 2
