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

HELLO_BYTES_MAX = 4_096
"""The longest frame with which a client may introduce itself: who has not done so yet gets no megabytes."""
FIELDS_MAX = 100_000
"""The most fields of one frame of a client; an order with a thousand legs has a tenth of that."""

_PREFIX = b"API\0"
_LENGTH = struct.Struct(">I")
_HELLO = re.compile(r"v([0-9]{1,9})(?:\.\.([0-9]{1,9}))?(?: (.*))?")


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


class FrameSplitter:
    """Cuts a stream of bytes into the payloads of its frames, in time linear in the bytes however they were glued.

    Raises `ProtocolError` for a frame that is empty or longer than `bytes_max`; it must not be fed again after that.
    """

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        """The longest frame that is taken; may be changed between two frames."""
        self._buffer = bytearray()
        self._read = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payloads that `data` completes, oldest first. What is not taken from the iterator comes with the next."""
        self._buffer += data
        try:
            while (payload := self._next()) is not None:
                yield payload
        finally:
            # Once for all frames: cutting off each by itself would move the rest of the buffer every time.
            del self._buffer[: self._read]
            self._read = 0

    def _next(self) -> bytes | None:
        start = self._read + _LENGTH.size
        if len(self._buffer) < start:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, self._read)
        if not 0 < length <= self.bytes_max:
            raise ProtocolError(f"a frame of {length} bytes; allowed are 1 to {self.bytes_max}")
        end = start + length
        if len(self._buffer) < end:
            return None
        self._read = end
        return bytes(self._buffer[start:end])


class FrameReader:
    """Eats the bytes of one client and returns what they mean.

    Raises `ProtocolError` when the bytes are no such stream; the reader must not be fed again after that.
    """

    def __init__(self) -> None:
        self._head = b""
        self._frames = FrameSplitter(HELLO_BYTES_MAX)
        self._greeted = False

    def feed(self, data: bytes) -> Iterator[Inbound]:
        """The messages that `data` completes, oldest first."""
        for payload in self._frames.feed(self._behind_prefix(data)):
            if self._greeted:
                yield Frame(split_fields(payload, FIELDS_MAX))
            else:
                self._greeted = True
                self._frames.bytes_max = FRAME_BYTES_MAX
                yield _hello(payload)

    def _behind_prefix(self, data: bytes) -> bytes:
        missing = len(_PREFIX) - len(self._head)
        if not missing:
            return data
        self._head += data[:missing]
        if not _PREFIX.startswith(self._head):
            raise ProtocolError(f"a client begins with {_PREFIX!r}, not with {self._head!r}")
        return data[missing:]


def frame(fields: Iterable[str]) -> bytes:
    """The bytes of one message."""
    payload = ("\0".join(fields) + "\0").encode()
    return _LENGTH.pack(len(payload)) + payload


def frame_bytes(*fields: bytes) -> bytes:
    """The same of fields that are bytes already; none may hold a NUL. `frame_bytes(b"2", b"6", b"7", b"0", b"300")`."""
    payload = b"\0".join(fields) + b"\0"
    return _LENGTH.pack(len(payload)) + payload


def split_fields(payload: bytes, fields_max: int = FRAME_BYTES_MAX) -> tuple[str, ...]:
    """The fields in a frame's payload. Raises `ProtocolError` if the last is not ended, there are more than `fields_max`, or
    the bytes are not UTF-8.
    """
    if not payload.endswith(b"\0"):
        raise ProtocolError("a frame whose last field is not ended by a NUL")
    number = payload.count(b"\0")
    if number > fields_max:
        raise ProtocolError(f"a frame of {number} fields; allowed are {fields_max}")
    return tuple(_decode(payload[:-1]).split("\0"))


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
