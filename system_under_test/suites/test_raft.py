"""Raft under everything at once: pytest system_under_test/suites --cluster embedded."""

import pytest


@pytest.mark.embedded
def test_raft_stays_linearizable(splitbrain):
    run = splitbrain.run(system="raft", nemeses=["partition", "kill", "pause", "clock"])
    assert run.valid, run.explanation
