"""Bytes in, frames out, without I/O: split and glued segments are none of the caller's business.

A client begins with the four bytes `API\\0` and one frame that names the protocol versions it speaks. Everything after, both
ways, is frames: a big-endian unsigned 32-bit length, then that many bytes, which are fields each ended by a NUL.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

import msgspec

from ibstream_gateway_emulator.protocol.errors import ProtocolError

FRAME_BYTES_MAX = 0xFFFFFF
"""The longest frame a client may send; the official client libraries hold to the same limit."""

_PREFIX = b"API\0"
_LENGTH = struct.Struct(">I")
_HELLO = re.compile(r"v(\d{1,9})(?:\.\.(\d{1,9}))?(?: (.*))?")


class Hello(msgspec.Struct, frozen=True):
    """How a client introduces itself."""

    version_min: int
    version_max: int
    options: str
    """What the client asked for at connecting, as it stands; `+PACEAPI` in practice."""


class Frame(msgspec.Struct, frozen=True):
    """One message as its fields, the message id first."""

    fields: tuple[str, ...]


Inbound = Hello | Frame


class FrameReader:
    """Eats the bytes of one client and returns what they mean.

    Raises `ProtocolError` when the bytes are no such stream; the reader must not be fed again after that.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._began = False
        self._greeted = False

    def feed(self, data: bytes) -> Iterator[Inbound]:
        """The messages that `data` completes, oldest first."""
        self._buffer += data
        if not self._began:
            self._begin()
        while self._began and (payload := self._next_payload()) is not None:
            if self._greeted:
                yield Frame(_fields(payload))
            else:
                self._greeted = True
                yield _hello(payload)

    def _begin(self) -> None:
        head = bytes(self._buffer[: len(_PREFIX)])
        if not _PREFIX.startswith(head):
            raise ProtocolError(f"a client begins with {_PREFIX!r}, not with {head!r}")
        if head == _PREFIX:
            del self._buffer[: len(_PREFIX)]
            self._began = True

    def _next_payload(self) -> bytes | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if not 0 < length <= FRAME_BYTES_MAX:
            raise ProtocolError(f"a frame of {length} bytes; allowed are 1 to {FRAME_BYTES_MAX}")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return payload


def frame(fields: Iterable[str]) -> bytes:
    """The bytes of one message."""
    payload = ("\0".join(fields) + "\0").encode()
    return _LENGTH.pack(len(payload)) + payload


def _fields(payload: bytes) -> tuple[str, ...]:
    text = _decode(payload)
    if not text.endswith("\0"):
        raise ProtocolError("a frame whose last field is not ended by a NUL")
    return tuple(text[:-1].split("\0"))


def _hello(payload: bytes) -> Hello:
    text = _decode(payload).rstrip("\0")
    found = _HELLO.fullmatch(text)
    if found is None:
        raise ProtocolError(f"{text[:64]!r} names no protocol versions; expected something like 'v100..178'")
    lowest, highest, options = found.groups()
    return Hello(int(lowest), int(highest or lowest), options or "")


def _decode(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"a frame that is not UTF-8: {error.reason} at byte {error.start}") from error
