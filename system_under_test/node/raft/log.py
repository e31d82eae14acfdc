"""The replicated log in memory, with a rolling hash that speaks for every prefix."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

NO_OP = "null"
"""The command of the entry with which a leader begins its term."""

_START = bytes(8)


class Entry(NamedTuple):
    """One entry. text: the command as canonical JSON."""

    term: int
    text: str


def next_hash(previous: bytes, entry: Entry) -> bytes:
    """Give the rolling hash after one more entry, 8 bytes."""
    content = previous + entry.term.to_bytes(8, "big") + entry.text.encode("ascii")
    return hashlib.blake2b(content, digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Base:
    """Where a log begins: behind this entry, which a snapshot covers as all before it.

    hash: the rolling hash up to it. The default stands before the first entry.
    """

    index: int = 0
    term: int = 0
    hash: bytes = _START


class Log:
    """Entries by index, behind a base; an unbroken log has its base at index 0, with term 0.

    Three lists instead of one of entries: strings and integers are no work for the garbage
    collector, however long the log grows. Place 0 of each stands for the base.

    base_index: of the base; entries up to it are not here any more. last_index: of the last entry,
    that of the base when there is none.
    """

    def __init__(self, entries: Iterable[Entry] = (), base: Base = Base()) -> None:
        self.base_index = self.last_index = base.index
        self._terms = [base.term]
        self._texts = [NO_OP]
        self._hashes = [base.hash]
        for entry in entries:
            self.append(entry)

    @property
    def last_term(self) -> int:
        """The term of the last entry, that of the base when there is none."""
        return self._terms[-1]

    def term_at(self, index: int) -> int:
        """Give the term of an entry or of the base. Raises: IndexError beyond both ends."""
        return self._terms[self._place(index)]

    def text_at(self, index: int) -> str:
        """Give the command of an entry. Raises: IndexError beyond both ends."""
        return self._texts[self._place(index)]

    def hash_at(self, index: int) -> str:
        """Give the hash of the log up to an entry, as 16 hex digits. Raises: IndexError."""
        return self._hashes[self._place(index)].hex()

    def base_at(self, index: int) -> Base:
        """Give an entry as a log's base. Raises: IndexError."""
        place = self._place(index)
        return Base(index, self._terms[place], self._hashes[place])

    def append(self, entry: Entry) -> None:
        """Add an entry at the end."""
        self._hashes.append(next_hash(self._hashes[-1], entry))
        self._terms.append(entry.term)
        self._texts.append(entry.text)
        self.last_index += 1

    def truncate(self, index: int) -> None:
        """Drop the entries from an index on. Raises: IndexError at or below the base."""
        place = self._place(index - 1) + 1
        del self._terms[place:], self._texts[place:], self._hashes[place:]
        self.last_index = index - 1

    def compact(self, index: int) -> None:
        """Drop the entries up to an index, which becomes the base. Raises: IndexError."""
        place = self._place(index)
        del self._terms[:place], self._texts[:place], self._hashes[:place]
        self.base_index = index

    def restart(self, base: Base) -> None:
        """Drop everything, and begin behind another base."""
        self.base_index = self.last_index = base.index
        self._terms, self._texts, self._hashes = [base.term], [NO_OP], [base.hash]

    def entries_from(self, first: int) -> list[Entry]:
        """Give the entries from an index on."""
        place = self._place(first - 1) + 1
        return [Entry(*item) for item in zip(self._terms[place:], self._texts[place:], strict=True)]

    def batch(self, first: int, max_count: int, max_bytes: int) -> tuple[Entry, ...]:
        """Give entries from an index on, within both limits but for the first of them."""
        entries: list[Entry] = []
        size = 0
        start = self._place(first - 1) + 1
        for place in range(start, min(start + max_count, len(self._terms))):
            size += len(self._texts[place])
            if entries and size > max_bytes:
                break
            entries.append(Entry(self._terms[place], self._texts[place]))
        return tuple(entries)

    def first_of_term(self, term: int) -> int:
        """Give the first index whose term is at least this one; terms never fall along a log."""
        return self.base_index + bisect_left(self._terms, term, lo=1)

    def last_of_term(self, term: int, below: int) -> int | None:
        """Give the last index under `below` that has exactly this term, None when there is none."""
        end = max(1, min(below - self.base_index, len(self._terms)))
        place = bisect_right(self._terms, term, lo=1, hi=end) - 1
        return self.base_index + place if place > 0 and self._terms[place] == term else None

    def is_no_newer_than(self, last_index: int, last_term: int) -> bool:
        """Tell whether a log that ends so is at least as up to date as this one (paper 5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def _place(self, index: int) -> int:
        place = index - self.base_index
        if place < 0 or place >= len(self._terms):
            message = f"the log holds {self.base_index} to {self.last_index}, not {index}"
            raise IndexError(message)
        return place
