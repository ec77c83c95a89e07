"""Which protocol version is spoken, and what the server says first."""

from __future__ import annotations

from datetime import datetime

from ibstream_gateway_emulator.protocol.errors import ProtocolError
from ibstream_gateway_emulator.protocol.framing import Hello, frame

SERVER_VERSION_MAX = 178
"""The newest version without protobuf that ib_async and the official clients both speak."""
SERVER_VERSION_MIN = 176
"""Older clients expect other message layouts, which are not implemented."""


class VersionError(ProtocolError):
    """The client speaks none of the versions spoken here. It is cut off without a word.

    Some clients would show an error that comes before the version; the official Python ones up to 9.81 fail over it with a
    `TypeError`, and @stoqey/ib takes it for the version. All of them take the end of the connection for what it is.
    """


def negotiate(hello: Hello) -> int:
    """The newest version that both sides speak. Raises `VersionError` if there is none."""
    version = min(SERVER_VERSION_MAX, hello.version_max)
    if version < max(SERVER_VERSION_MIN, hello.version_min):
        raise VersionError(
            f"the client speaks versions {hello.version_min} to {hello.version_max}, "
            f"this gateway {SERVER_VERSION_MIN} to {SERVER_VERSION_MAX}"
        )
    return version


def greeting(version: int, local_time: datetime) -> bytes:
    """The first bytes to the client: the version spoken from now on, and the gateway's time in its own time zone."""
    return frame((str(version), local_time.strftime("%Y%m%d %H:%M:%S %Z")))
