"""The parameters of a workload: numbers and choices by name, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitbrain.core.errors import UsageError
from splitbrain.core.known_names import instead
from splitbrain.core.workload import Load


class Parameters:
    """The parameters of one load. workload: whose they are. numbers: the least and the default."""

    def __init__(
        self,
        workload: str,
        load: Load,
        *,
        numbers: Mapping[str, tuple[int, int]],
        choices: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Read them; of choices the first is the default.

        Raises: UsageError naming the parameter that cannot be used.
        """
        choices = choices or {}
        self._numbers = {name: default for name, (_, default) in numbers.items()}
        self._choices = {name: known[0] for name, known in choices.items()}
        for name, value in load.params.items():
            if name in numbers:
                least = numbers[name][0]
                if type(value) is not int or value < least:
                    message = (
                        f"parameter {name} must be a whole number from {least} on, not {value!r}"
                    )
                    raise UsageError(message)
                self._numbers[name] = value
            elif name in choices:
                if not isinstance(value, str) or value not in choices[name]:
                    known = ", ".join(choices[name])
                    message = f"parameter {name} is one of {known}, not {value!r}"
                    raise UsageError(message)
                self._choices[name] = value
            else:
                listed = instead(name, sorted({*numbers, *choices}))
                message = f"the workload {workload} has no parameter {name!r}; {listed}"
                raise UsageError(message)

    def number(self, name: str) -> int:
        """Give a number."""
        return self._numbers[name]

    def choice(self, name: str) -> str:
        """Give a choice."""
        return self._choices[name]
