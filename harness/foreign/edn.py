"""EDN values as JSON values, and the maps of a file with their lines.

Most maps of a history are plain: keywords with numbers, keywords, nil, texts and flat vectors. A
regular expression reads those; the library edn_format, which takes 0.4 ms a map, reads the rest.

Keywords become texts with their colon (":timed-out"), symbols and characters texts, sets sorted
lists, keys of maps texts. Decimals and ratios become texts, since no JSON number is exactly them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.quoted import quoted
from splitbrain.core.value import Value, canonical, require_value
from splitbrain.foreign.lines import DEPTH_LIMIT, lines, require_shallow

_REASON_SHOWN = 120
_END = r"(?=[\s,}\]]|$)"
# Possessive, since nothing that one of these gave back could make a match, and trying costs time.
# Groups are not: Python before 3.11.5 takes half of one for a whole one then (gh-106052).
_SCALAR = rf'(?:-?\d++N?+{_END}|:[\w./?!*+<>=-]++|"[^"\\]*+"|(?:nil|true|false){_END})'
_VECTOR = rf"\[[\s,]*+(?:{_SCALAR}[\s,]*+)*\]"
_PAIR = rf"(:[\w./?!*+<>=-]++)[\s,]++({_SCALAR}|{_VECTOR})"
plain_pattern = rf"{_SCALAR}|{_VECTOR}"
"""Matches what `plain` reads."""

_PLAIN = re.compile(rf"\{{[\s,]*+(?:{_PAIR}[\s,]*+)*\}}")
_PAIRS = re.compile(_PAIR)
_SCALARS = re.compile(_SCALAR)
_ALONE = re.compile(rf"{_SCALAR}|{_VECTOR}")
_WRAPPED_LINE = re.compile(r"^[\s,]*(\{[^;]*\})[\s,]*$")
_TOKENS = re.compile(r'"|;|\\.|[\[({]|[\])}]')
_STRING_END = re.compile(r'(?:[^"\\]|\\.)*"', re.DOTALL)
_OPERATION_TAG = re.compile(r"#[\w./-]*(?:history|core|knossos\.op)[\w./-]*\s*(?=\{)")
_TUPLE_TAGS = (
    "jepsen.independent/tuple",
    "independent/tuple",
    "jepsen.independent.Tuple",
    "clojure.lang.MapEntry",
)
"""Tags of a pair of key and value, which Jepsen mostly writes as a bare vector."""

_UNKNOWN_TAG = re.compile(r"Don't know how to handle tag ImmutableDict\((.*)\)$")
_CLOSING = {"[": "]", "(": ")"}
_CONSTANTS: Mapping[str, Value] = {"nil": None, "true": True, "false": False}


def edn_maps(path: Path) -> Iterator[tuple[int, dict[str, Value]]]:
    """Give each map of a file with the line where it begins; its keys without their colons.

    The file holds maps one after another, or one vector or list of maps.

    Raises: MalformedHistoryError naming the line.
    """
    splitter = Splitter(path)
    for number, text in lines(path):
        alone = _WRAPPED_LINE.match(text) if splitter.between else None
        plain = _plain_map(alone.group(1)) if alone else None
        if plain is not None:
            yield number, plain
            continue
        for line, form in splitter.feed(number, text):
            yield line, map_of(form, path, line)
    splitter.finish()


def edn_value(text: str, path: Path, line: int) -> Value:
    """Read one value.

    Raises: MalformedHistoryError naming the line.
    """
    if _ALONE.fullmatch(text):
        return plain(text)
    require_shallow(text, path, line)
    return _general(text, path, line)


def map_of(form: str, path: Path, line: int) -> dict[str, Value]:
    """Read one map.

    Raises: MalformedHistoryError naming the line.
    """
    form = _OPERATION_TAG.sub("", form, count=1)
    plain = _plain_map(form)
    if plain is not None:
        return plain
    _require_single(form, path, line)
    value = _general(form, path, line)
    if not isinstance(value, dict):
        message = f"an event is a map, not {quoted(form)}"
        raise MalformedHistoryError(message, path=path, line=line)
    return {name.removeprefix(":"): item for name, item in value.items()}


def pairs_of(form: str) -> list[str] | None:
    """Give the keys of a plain map in their order, with their colons; None when it is none."""
    if not _PLAIN.fullmatch(form):
        return None
    return [name for name, _ in _PAIRS.findall(form)]


def _plain_map(form: str) -> dict[str, Value] | None:
    if not _PLAIN.fullmatch(form):
        return None
    pairs = _PAIRS.findall(form)
    try:
        found = {name[1:]: plain(text) for name, text in pairs}
    except ValueError:
        # An integer of thousands of digits: the slow route names the line.
        return None
    return found if len(found) == len(pairs) else None


def _require_single(form: str, path: Path, line: int) -> None:
    """Refuse a plain map that says one thing twice: which of the two counts is anybody's guess."""
    names = [name for name, _ in _PAIRS.findall(form)] if _PLAIN.fullmatch(form) else []
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"the event has {quoted(twice)} twice"
        raise MalformedHistoryError(message, path=path, line=line)


def plain(text: str) -> Value:
    """Read a scalar, or a flat vector of scalars."""
    if text[0] == "[":
        return [plain(item) for item in _SCALARS.findall(text)]
    if text[0] == '"':
        return text[1:-1]
    if text[0] == ":":
        return text
    return _CONSTANTS[text] if text in _CONSTANTS else int(text.removesuffix("N"))


def _general(text: str, path: Path, line: int) -> Value:
    import edn_format  # noqa: PLC0415 - slow to import, and plain histories do not need it

    for tag in _TUPLE_TAGS:
        edn_format.add_tag(tag, _pair)
    try:
        return _as_value(edn_format.loads(text))
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        # The parser raises whatever its tables lead to: syntax errors, unknown tags, big numbers.
        unknown = _UNKNOWN_TAG.match(str(error))
        reason = quoted(str(error), _REASON_SHOWN) or type(error).__name__
        message = f"this is no EDN that can be read: {reason}"
        if unknown:
            message = f"what the tag #{quoted(unknown[1])} means is not known"
        raise MalformedHistoryError(message, path=path, line=line) from error


def _pair(item: Any) -> Any:  # noqa: ANN401 - the library has no types
    """Take a pair of key and value as the bare vector that it is."""
    if not isinstance(item, Sequence) or len(item) != 2:
        message = "a tuple of key and value is a vector of two"
        raise ValueError(message)
    return item


def _as_value(item: Any) -> Value:  # noqa: ANN401 - the library has no types
    for name, convert in _CONVERTERS.items():
        if any(name == base.__name__ for base in type(item).__mro__):
            return convert(item)
    return require_value(item)


def _as_object(item: Mapping[Any, Any]) -> dict[str, Value]:
    result: dict[str, Value] = {}
    for key, value in item.items():
        name = _as_value(key)
        text = name if isinstance(name, str) else canonical(name)
        if text in result:
            message = f"two keys of a map are both {text} as text"
            raise ValueError(message)
        result[text] = _as_value(value)
    return result


def _as_list(item: Any) -> list[Value]:  # noqa: ANN401
    return [_as_value(one) for one in item]


def _as_sorted(item: Any) -> list[Value]:  # noqa: ANN401
    return sorted(_as_list(item), key=canonical)


_CONVERTERS: Mapping[str, Callable[[Any], Value]] = {
    "Mapping": _as_object,
    "ImmutableDict": _as_object,
    "dict": _as_object,
    "frozenset": _as_sorted,
    "set": _as_sorted,
    "Keyword": lambda item: f":{item.name}",
    "Symbol": lambda item: str(item.name),
    "str": str,
    "Decimal": lambda item: f"{item}M",
    "Fraction": str,
    "UUID": str,
    "date": lambda item: str(item.isoformat()),
    "ImmutableList": _as_list,
    "list": _as_list,
    "tuple": _as_list,
}
"""How to convert what edn_format gives, by the name of a class; the first that fits counts."""


class Splitter:
    """Cuts a file into its outermost maps."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wrapper: str | None = None
        self._wrapper_line = 0
        self._is_closed = False
        self._depth = 0
        self._parts: list[str] = []
        self._began = 0
        self._in_string = False
        self._tag = ""

    @property
    def between(self) -> bool:
        """Whether no map is open."""
        return self._depth == 0 and not self._in_string

    def feed(self, number: int, text: str) -> Iterator[tuple[int, str]]:
        """Take a line; give the maps that end on it, each with the line where it began."""
        start = place = 0
        if self._in_string:
            place = self._string_end(text, 0)
        while match := None if self._in_string else _TOKENS.search(text, place):
            token, place = match.group(), match.end()
            if token == ";":
                text = text[: match.start()]
                break
            if token == '"':
                place = self._string_end(text, place)
            elif token in "[({":
                if self._depth == 0:
                    start = self._open(token, text, start, match.start(), number)
                else:
                    self._depth += 1
                    self._require_shallow(number)
            elif token in "])}" and self._close(token, number):
                self._parts.append(text[start:place])
                start = place
                yield self._began, self._take()
        if self._depth > 0:
            self._parts.append(text[start:] + "\n")
        else:
            self._between(text[start:], number)

    def finish(self) -> None:
        """Check that nothing is left open.

        Raises: MalformedHistoryError.
        """
        if self._depth > 0:
            self._refuse("a map that begins here has no end", self._began)
        if self._wrapper is not None and not self._is_closed:
            self._refuse("the vector or list that begins here has no end", self._wrapper_line)

    def _string_end(self, text: str, place: int) -> int:
        match = _STRING_END.match(text, place)
        self._in_string = match is None
        return len(text) if match is None else match.end()

    def _open(self, token: str, text: str, start: int, at: int, number: int) -> int:
        """Enter a map, or the one vector or list that holds all of them."""
        self._between(text[start:at], number)
        if token == "{":
            self._depth, self._began = 1, number
            return at
        if self._wrapper is not None:
            self._refuse("an event is a map, not a vector or a list", number)
        self._wrapper, self._wrapper_line = token, number
        return at + 1

    def _close(self, token: str, number: int) -> bool:
        """Leave a bracket; tell whether that ends an outermost map."""
        if self._depth == 0:
            if self._is_closed or token != _CLOSING.get(self._wrapper or ""):
                self._refuse("a bracket that nothing opened", number)
            self._is_closed = True
            return False
        self._depth -= 1
        return self._depth == 0

    def _take(self) -> str:
        form = self._tag + "".join(self._parts)
        self._parts, self._tag = [], ""
        return form

    def _between(self, text: str, number: int) -> None:
        """Allow blanks, commas, brackets and the tag of an operation between maps."""
        rest = text.strip(" \t,\f])")
        if rest.startswith("#") and rest != "#_":
            self._tag = rest
        elif rest:
            self._refuse(f"an event is a map, not {quoted(rest)}", number)

    def _require_shallow(self, number: int) -> None:
        if self._depth > DEPTH_LIMIT:
            self._refuse(f"values are nested deeper than {DEPTH_LIMIT}", number)

    def _refuse(self, message: str, number: int) -> NoReturn:
        raise MalformedHistoryError(message, path=self._path, line=number)
