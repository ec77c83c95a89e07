"""Frames out of the bytes of either side of a conversation, without I/O and without a look inside."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from ibstream_gateway_emulator.protocol.errors import ProtocolError
from ibstream_gateway_emulator.protocol.framing import FrameSplitter

CLIENT_PREFIX = b"API\0"
"""What a client begins with; a server begins with a frame."""
HELLO_BYTES_MAX = 65_536
"""A client that has not ended its hello by then is left alone."""
_LENGTH = struct.Struct(">I")
_VERSIONS = re.compile(rb"v(\d{1,9})(?:\.\.(\d{1,9}))?")


class PayloadReader:
    """Eats the bytes of one side and returns the payloads of whole frames. Raises `ProtocolError` where they are none."""

    def __init__(self, prefix: bytes = b"") -> None:
        self._prefix = prefix
        self._head = b""
        self._frames = FrameSplitter()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payloads that `data` completes, oldest first."""
        missing = len(self._prefix) - len(self._head)
        if missing:
            self._head += data[:missing]
            if not self._prefix.startswith(self._head):
                raise ProtocolError(f"it does not begin with {self._prefix!r}")
        return self._frames.feed(data[missing:])


def framed(payload: bytes) -> bytes:
    """A payload as it travels."""
    return _LENGTH.pack(len(payload)) + payload


class HelloClamp:
    """Rewrites a client's hello so that no version above a limit is spoken, and leaves all else as it is."""

    def __init__(self, version_max: int) -> None:
        self._version_max = version_max
        self._held: bytearray | None = bytearray()

    def feed(self, data: bytes) -> bytes:
        """What goes on to the server in the place of `data`; nothing until the hello is whole."""
        if self._held is None:
            return data
        self._held += data
        whole = bytes(self._held)
        reader = PayloadReader(CLIENT_PREFIX)
        try:
            hello = next(reader.feed(whole), None)
        except ProtocolError:
            hello = b""
        if hello is None and len(whole) <= HELLO_BYTES_MAX:
            return b""
        self._held = None
        if not hello:
            return whole
        rest = whole[len(CLIENT_PREFIX) + _LENGTH.size + len(hello) :]
        return CLIENT_PREFIX + framed(clamped(hello, self._version_max)) + rest


def clamped(hello: bytes, version_max: int) -> bytes:
    """The hello with `version_max` as the highest version; unchanged where the client speaks only higher ones."""
    found = _VERSIONS.match(hello)
    if found is None:
        return hello
    lowest, highest = int(found[1]), int(found[2] or found[1])
    if not lowest <= version_max < highest:
        return hello
    return b"v%d..%d" % (lowest, version_max) + hello[found.end() :]
