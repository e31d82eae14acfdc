"""Randomness keyed by identity: a seed, a path and a number, never a shared stream.

Removing one fault or one operation leaves the draws of all others as they were, which is what lets
schedules and histories shrink. The mixer is SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import msgspec

T = TypeVar("T")

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mix(state: int) -> int:
    """Give 64 well mixed bits of a 64-bit state."""
    z = (state + _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


@cache
def _label(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class Keyed(msgspec.Struct, frozen=True, gc=False):
    """A point in the tree of random numbers; equal points give equal numbers."""

    state: int

    @classmethod
    def of(cls, seed: int, *path: str | int) -> Keyed:
        """Give the point of this seed and path."""
        return cls(mix(seed & _MASK)).child(*path)

    def child(self, *path: str | int) -> Keyed:
        """Give a point below this one."""
        state = self.state
        for part in path:
            state = mix(state ^ (_label(part) if isinstance(part, str) else mix(part & _MASK)))
        return Keyed(state)

    def bits(self, number: int = 0) -> int:
        """Give 64 random bits; another number, other bits."""
        return mix((self.state + number * _GOLDEN) & _MASK)

    def uniform(self, low: float, high: float, number: int = 0) -> float:
        """Give a number of [low, high)."""
        return low + (high - low) * (self.bits(number) >> 11) / (1 << 53)

    def integer(self, below: int, number: int = 0) -> int:
        """Give an integer of [0, below)."""
        return (self.bits(number) * below) >> 64

    def choice(self, items: Sequence[T], number: int = 0) -> T:
        """Give one of the items."""
        return items[self.integer(len(items), number)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Give the items in random order."""
        result = list(items)
        for i in range(len(result) - 1, 0, -1):
            j = self.integer(i + 1, i)
            result[i], result[j] = result[j], result[i]
        return result

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Give `count` different items, in random order."""
        return self.shuffled(items)[:count]
