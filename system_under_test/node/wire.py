"""Frames on the wire: four bytes of length, big-endian, then that many bytes of JSON in UTF-8."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from .canonical import Json, compact_bytes, parse

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""The longest frame that is sent or taken."""

_LENGTH = struct.Struct(">I")


class WireError(Exception):
    """What came over a connection is not of this protocol; the connection is of no more use."""


def encode_frame(value: Mapping[str, Json]) -> bytes:
    """Give the bytes of one frame.

    Raises: WireError when it is longer than the limit.
    """
    body = compact_bytes(value)
    if len(body) > MAX_FRAME_BYTES:
        message = f"a frame of {len(body)} bytes is longer than {MAX_FRAME_BYTES}"
        raise WireError(message)
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Mapping[str, Json]]:
        """Give the frames that are complete by now; the rest waits for more bytes.

        Raises: WireError for a frame that is too long, no JSON, or no object.
        """
        self._buffer += data
        place = 0
        try:
            while len(self._buffer) - place >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, place)
                if length > MAX_FRAME_BYTES:
                    message = f"a frame of {length} bytes is longer than {MAX_FRAME_BYTES}"
                    raise WireError(message)
                end = place + _LENGTH.size + length
                if len(self._buffer) < end:
                    return
                body = bytes(self._buffer[place + _LENGTH.size : end])
                place = end
                yield _decode_object(body)
        finally:
            del self._buffer[:place]


def _decode_object(body: bytes) -> Mapping[str, Json]:
    try:
        value = parse(body)
    except ValueError as error:
        message = f"a frame is not JSON: {error}"
        raise WireError(message) from error
    if not isinstance(value, dict):
        message = "a frame is no JSON object"
        raise WireError(message)
    return value
