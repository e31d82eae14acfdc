"""Acts on several nodes at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
logger = logging.getLogger(__name__)
WIDTH = 16


def on_nodes(nodes: Iterable[str], act: Callable[[str], T]) -> dict[str, T]:
    """Call `act` for every node, side by side; give the results by node.

    All calls are made and awaited even when some fail. Raises: the first error, in the order of the
    nodes; the others are logged.
    """
    names = list(nodes)
    if len(names) <= 1:
        return {name: act(name) for name in names}
    with ThreadPoolExecutor(min(WIDTH, len(names)), thread_name_prefix="nodes") as pool:
        futures = {name: pool.submit(act, name) for name in names}
    errors = [error for item in futures.values() if (error := item.exception()) is not None]
    for error in errors[1:]:
        logger.warning("also failed: %s", error)
    if errors:
        raise errors[0]
    return {name: item.result() for name, item in futures.items()}
