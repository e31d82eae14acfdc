"""What watchdogs on the nodes undid because the controller's lease ran out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from splitbrain.cluster.agent import Conversing, ask
from splitbrain.cluster.parallel import on_nodes
from splitbrain.core.errors import RemoteError
from splitbrain.core.value import Value

logger = logging.getLogger(__name__)


def expired_leases(nodes: Iterable[str], host: Callable[[str], Conversing]) -> Mapping[str, Value]:
    """Give what each node's watchdog undid; nodes where nothing ran out are left out.

    So are nodes that cannot be reached, which is logged.
    """

    def events(node: str) -> Value:
        try:
            return ask(host(node), "expired", {}).get("events")
        except RemoteError as error:
            logger.warning("cannot tell whether the lease of %s ran out: %s", node, error)
            return []

    return {node: undone for node, undone in on_nodes(nodes, events).items() if undone}
