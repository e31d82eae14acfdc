"""Which nemeses can work on a cluster, and what is said of those that cannot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from splitbrain.core.cluster import Bed
from splitbrain.core.errors import UsageError
from splitbrain.runtime.bed import left_out

NOWHERE: Any = None
BED = Bed(nodes=("n1", "n2"), host=NOWHERE, daemons=NOWHERE)
CLUSTER: Any = SimpleNamespace(network_reason="no root")


def nemeses(**reasons: str | None) -> Any:
    return {
        kind: SimpleNamespace(kind=kind, unavailable=lambda _, reason=reason: reason)
        for kind, reason in reasons.items()
    }


def test_what_is_optional_is_left_out_with_its_reason() -> None:
    asked = nemeses(kill=None, disk="no disks")
    assert left_out(asked, {"disk"}, BED, CLUSTER) == {"disk": "no disks"}
    assert left_out({}, (), BED, CLUSTER) == {}


def test_what_was_asked_for_by_name_is_refused_with_what_the_cluster_knows_of_it() -> None:
    with pytest.raises(UsageError, match=r"'cut' cannot work here: no network \(no root\)$"):
        left_out(nemeses(kill=None, cut="no network"), (), BED, CLUSTER)


def test_one_of_them_must_work() -> None:
    with pytest.raises(UsageError, match="none of the nemeses can work here: no disks"):
        left_out(nemeses(disk="no disks"), {"disk"}, BED, CLUSTER)
