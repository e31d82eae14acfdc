"""Histories that nobody here wrote get the verdicts that are known of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from splitbrain.checkers.linearizable import Linearizable
from splitbrain.core.evidence import from_history
from splitbrain.foreign import read_history

DATA = Path(os.environ.get("SPLITBRAIN_DATA") or Path(__file__).parents[3] / "shared" / "data")


def known() -> dict[str, bool]:
    """The verdict of each file by its path; empty without the data."""
    if not DATA.is_dir():
        return {}
    rows = re.findall(r"\| (jepsen/\S+) \| (true|false)", (DATA / "INDEX.md").read_text())
    table = {f"porcupine/{name}": verdict == "true" for name, verdict in rows}
    for path in DATA.glob("porcupine/kv/*.txt"):
        table[str(path.relative_to(DATA))] = path.stem.endswith("-ok")
    for path in DATA.glob("knossos/cas-register/*/*.edn"):
        table[str(path.relative_to(DATA))] = path.parent.name == "good"
    return dict(sorted(table.items()))


KNOWN = known()

needs_data = pytest.mark.skipif(
    not KNOWN, reason=f"the histories are not at {DATA}: set SPLITBRAIN_DATA to where they are"
)


@needs_data
def test_all_the_files_are_known():
    files = {
        str(path.relative_to(DATA))
        for pattern in ("porcupine/jepsen/*.log", "porcupine/kv/*.txt", "knossos/*/*/*.edn")
        for path in DATA.glob(pattern)
    }
    assert files == set(KNOWN)


@needs_data
@pytest.mark.parametrize("name", KNOWN)
def test_the_verdict_is_the_known_one(name):
    imported = read_history(DATA / name)
    verdict = Linearizable().check(from_history(imported.history, **imported.facts))
    assert verdict.valid is KNOWN[name], verdict.reasons
    assert verdict.status.value == ("valid" if KNOWN[name] else "invalid")
    for anomaly in verdict.anomalies:
        assert len(anomaly.operations) <= 12
        assert len(anomaly.explanation) < 1500
