"""The JSON of a result."""

from __future__ import annotations

import json
from dataclasses import fields

from splitbrain.core.operation import Operation
from splitbrain.report.machine import result_as_json


def test_the_shape_that_programs_rely_on(samples):
    value = json.loads(json.dumps(result_as_json(samples.found_invalid())))
    assert set(value) == {"path", "seed", "verdict", "checkers"}
    assert value["path"] == "store/raft-register/20261123T190812-42"
    assert value["verdict"] == "invalid"
    linearizable = value["checkers"]["linearizable"]
    assert linearizable["verdict"] == "invalid"
    assert linearizable["stats"] == {"route": "porcupine", "keys": 31}
    assert len(linearizable["anomalies"]) == 3
    anomaly = linearizable["anomalies"][0]
    assert anomaly["name"] == "stale-read"
    assert anomaly["explanation"] == samples.EXPLANATION
    operations = anomaly["operations"]
    assert [(o["f"], o["key"], o["argument"], o["result"]) for o in operations] == [
        ("write", 7, 4, None),
        ("write", 7, 5, None),
        ("read", 7, None, 5),
        ("read", 7, None, 4),
    ]
    assert set(operations[0]) == {item.name for item in fields(Operation)}
    assert operations[0]["outcome"] == "ok"


def test_statistics_proof_and_reasons_are_there(samples):
    checkers = result_as_json(samples.found_invalid())["checkers"]
    assert checkers["stats"]["judges"] is False
    assert checkers["raft"]["anomalies"][0]["evidence"] == list(samples.TRACES)
    checkers = result_as_json(samples.found_unknown())["checkers"]
    assert checkers["linearizable"]["reasons"] == ["key 17: out of its budget of 60 s"]


def test_failure_and_interruption_are_named_only_when_they_were(samples):
    failed = result_as_json(samples.failed())
    assert failed["failure"].startswith("n3 died")
    assert failed["verdict"] == "unknown"
    assert "interrupted" not in failed
    assert result_as_json(samples.found_unknown())["interrupted"] is True
    assert "failure" not in result_as_json(samples.found_valid())
