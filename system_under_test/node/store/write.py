"""One write at CAUSAL, as nodes keep it and send it on."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from dataclasses import dataclass

from ..canonical import Json
from .cell import Version, version_from
from .clocks import is_natural


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalWrite:
    """A version and its key. previous: the number of the origin's write before it, 0 for none."""

    key: str
    previous: int
    version: Version

    @property
    def origin(self) -> str:
        """The node that made it."""
        return self.version.dot[0]

    @property
    def number(self) -> int:
        """Its number along the origin's writes."""
        return self.version.dot[1]

    def to_json(self) -> Json:
        """Give it as it goes over the wire and onto the disk."""
        v = self.version
        version: Json = [*v.dot, v.stamp, v.context.to_json(), v.text, v.deleted]
        return [self.key, self.previous, version]

    @classmethod
    def from_json(cls, value: Json) -> CausalWrite:
        """Read it. Raises: ValueError when it is something else."""
        match value:
            case [str(key), int(previous), version] if is_natural(previous):
                return cls(key=key, previous=previous, version=version_from(version))
            case _:
                message = "a write is a list of key, number before and version"
                raise ValueError(message)
