"""Causal consistency: whoever sees an effect sees its causes.

Three models, each with the bad patterns that characterise it for unique values (Bouajjani, Enea,
Guerraoui and Hamza, "On verifying causal consistency", POPL 2017): plain causal consistency (CC),
with one order of conflicting writes for everybody (CCv), and causal memory (CM).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from splitbrain.checkers.causality import CAUSAL_MODELS
from splitbrain.checkers.causality.happened_before import causal_memory
from splitbrain.checkers.causality.patterns import (
    add_overwritten,
    conflicting_orders,
    cyclic_order,
)
from splitbrain.checkers.order.case import Case, Found, add_thin_air, conclude, prepare
from splitbrain.checkers.order.clocks import ClocksTooLarge
from splitbrain.checkers.order.overwritten import overwriters
from splitbrain.checkers.order.past import Past
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value
from splitbrain.core.verdict import Verdict


class Causal:
    """Judges registers by session.

    model: cc, plain causal consistency; ccv, in which replicas also converge; cm, causal memory.
    """

    name = "causal"
    needs = frozenset({Need.HISTORY})

    def __init__(self, model: str = "ccv") -> None:
        if model not in CAUSAL_MODELS:
            message = f"causal knows the models {', '.join(CAUSAL_MODELS)}, not {model!r}"
            raise UsageError(message)
        self._model = model

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters."""
        return {"model": self._model}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge the history of this evidence."""
        case = prepare(evidence)
        if isinstance(case, Verdict):
            return case
        found, reasons = Found(), []
        add_thin_air(case, found)
        try:
            self._judge(case, found)
        except ClocksTooLarge as limit:
            reasons.append(str(limit))
        return conclude(case, found, reasons=reasons, model=self._model)

    def _judge(self, case: Case, found: Found) -> None:
        past = Past(case.accesses)
        if len(past.clocks.stuck):
            found.add(cyclic_order(case, past))
            return
        seen = overwriters(case.accesses, past.clocks, np.flatnonzero(case.accesses.reads))
        if len(seen.stale):
            add_overwritten(case, past, seen, found)
            return
        if self._model == "ccv":
            found.add(conflicting_orders(case, past, seen))
        elif self._model == "cm":
            for anomalies in causal_memory(case, past, seen):
                found.add(anomalies)
