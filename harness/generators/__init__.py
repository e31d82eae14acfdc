"""Generators: values that say which operation comes next, and how they are put together.

`from_function` makes one of a function; `once`, `repeat`, `mix`, `sequence`, `phases`, `limit`,
`time_limit`, `rate` and the others combine them; `simulate` shows what one does without a cluster.
"""

from splitbrain.core.generator import (
    NEMESIS,
    PENDING,
    Context,
    Event,
    Generator,
    Invocation,
    Pending,
)
from splitbrain.generators.choice import mix, soonest
from splitbrain.generators.function import from_function
from splitbrain.generators.keys import independent_keys
from splitbrain.generators.limits import limit, time_limit, until_ok
from splitbrain.generators.sequence import DONE, once, phases, repeat, sequence
from splitbrain.generators.simulate import (
    Ending,
    Simulated,
    all_unknown,
    mixed,
    perfect,
    quick,
    simulate,
)
from splitbrain.generators.timing import delay, rate, sleep, stagger
from splitbrain.generators.transform import accepted, changed
from splitbrain.generators.workers import clients, each_process, each_worker, nemesis, reserve

__all__ = [
    "DONE",
    "NEMESIS",
    "PENDING",
    "Context",
    "Ending",
    "Event",
    "Generator",
    "Invocation",
    "Pending",
    "Simulated",
    "accepted",
    "all_unknown",
    "changed",
    "clients",
    "delay",
    "each_process",
    "each_worker",
    "from_function",
    "independent_keys",
    "limit",
    "mix",
    "mixed",
    "nemesis",
    "once",
    "perfect",
    "phases",
    "quick",
    "rate",
    "repeat",
    "reserve",
    "sequence",
    "simulate",
    "sleep",
    "soonest",
    "stagger",
    "time_limit",
    "until_ok",
]
