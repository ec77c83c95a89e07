"""The file of a recording: JSON lines, one header and then one event a line, those of a connection in their order.

    {"format":"ibstream-gateway-recording","version":1,"recorded_at":"2026-11-23T15:00:00.1Z","server_version":178}
    {"t":0.0,"connection":1,"by":"client","kind":"hello","fields":["v157..178"]}
    {"t":0.0021,"connection":1,"by":"server","kind":"greeting","fields":["178","20261123 10:00:00 EST"]}
    {"t":0.0034,"connection":1,"by":"client","kind":"frame","fields":["71","2","1",""]}
    {"t":0.0051,"connection":1,"by":"server","kind":"frame","fields":["15","1","DU0000001"]}
    {"t":9.2,"connection":1,"by":"client","kind":"closed"}

`t` is seconds since the recording began, on a clock that never goes back; `connection` counts from 1. Kinds:

    hello       the client's first frame, the versions it speaks
    greeting    the server's first frame, the version chosen and its local time
    frame       every other frame as its fields, the message id first; no field ever holds a NUL
    closed      `by` ended the connection, with `note` where there was more to it
    unreadable  what `by` sent from here on is no stream of frames and was not written; `note` says why

A frame that is not UTF-8 carries `raw`, its bytes in base64, in the place of `fields`; one that could not be masked carries
`withheld`, the number of its bytes, and neither. Account numbers are masked (see `masking`); no host name is written.

Later versions of the program may add keys and kinds: a reader skips what it does not know. A change that an old reader would
misread raises `version`, and readers refuse a version above their own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from ibstream.runtime.errors import FatalError

FORMAT = "ibstream-gateway-recording"
VERSION = 1
HELLO, GREETING, FRAME, CLOSED, UNREADABLE = "hello", "greeting", "frame", "closed", "unreadable"
KINDS = frozenset({HELLO, GREETING, FRAME, CLOSED, UNREADABLE})
LINE_BYTES_MAX = 64 * 1024 * 1024
"""The longest line that is read; four times the longest frame of a client."""

Party = Literal["client", "server"]


class RecordingError(FatalError):
    """A recording that cannot be read, written or served. The message names the file, the line and what is wrong."""

    exit_status = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    format: str = ""
    version: int
    recorded_at: str
    """UTC, ISO 8601."""
    server_version: int | None
    """As chosen on the first connection; None if none got so far."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Every other line."""

    t: float
    connection: int
    by: Party
    kind: str
    fields: tuple[str, ...] | None = None
    raw: str | None = None
    withheld: int | None = None
    note: str = ""

    @property
    def payload(self) -> bytes:
        """The bytes of the frame behind its length. Raises `ValueError` for a withheld one."""
        if self.fields is not None:
            return ("\0".join(self.fields) + "\0").encode()
        if self.raw is not None:
            return base64.b64decode(self.raw, validate=True)
        raise ValueError(f"a {self.kind} without fields")


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file."""

    header: Header
    events: tuple[Event, ...]
    skipped: int
    """Lines of kinds that this version does not know."""


_encode = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(Header).decode
_decode_event = msgspec.json.Decoder(Event).decode


def to_line(item: Header | Event) -> bytes:
    """The line, ended by a newline."""
    return _encode(item) + b"\n"


def load(path: Path) -> Recording:
    """Read a file. Raises `RecordingError` with the number of the first line that is wrong."""
    try:
        with path.open("rb") as file:
            return parse(iter(lambda: file.readline(LINE_BYTES_MAX), b""), str(path))
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error


def parse(lines: Iterable[bytes], name: str) -> Recording:
    """Read the lines of the file called `name`. Raises `RecordingError` with the number of the first line that is wrong."""
    numbered = enumerate(lines, start=1)
    header = _header(next(numbered, (1, b""))[1], name)
    events = []
    skipped = 0
    for number, line in numbered:
        event = _event(line, f"{name}, line {number}")
        if event.kind in KINDS:
            events.append(event)
        else:
            skipped += 1
    return Recording(header=header, events=tuple(events), skipped=skipped)


def _header(line: bytes, name: str) -> Header:
    try:
        header = _decode_header(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RecordingError(f"{name}, line 1: this is no recording of a Gateway: {error}") from error
    if header.format != FORMAT:
        raise RecordingError(f"{name}, line 1: the format is {header.format[:64]!r}, not {FORMAT!r}")
    if header.version > VERSION:
        raise RecordingError(
            f"{name}, line 1: written in version {header.version} of the format; this program reads up to {VERSION}"
        )
    return header


def _event(line: bytes, where: str) -> Event:
    if not line.endswith(b"\n"):
        raise RecordingError(f"{where}: the line has no end; remove it to use what is before it")
    try:
        event = _decode_event(line)
        if event.kind in (HELLO, GREETING, FRAME) and event.withheld is None:
            _check_payload(event)
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise RecordingError(f"{where}: {error}") from error
    return event


def _check_payload(event: Event) -> None:
    if not event.payload:
        raise ValueError("an empty frame")
    if event.fields is not None and any("\0" in field for field in event.fields):
        raise ValueError("a field with a NUL in it")
