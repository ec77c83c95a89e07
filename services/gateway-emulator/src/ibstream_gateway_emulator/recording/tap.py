"""What is written of one connection: frames out of its bytes, accounts masked, binary ones withheld. No I/O."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec

from ibstream_gateway_emulator.protocol.errors import ProtocolError
from ibstream_gateway_emulator.protocol.fields import id_of
from ibstream_gateway_emulator.protocol.framing import split_fields
from ibstream_gateway_emulator.recording.format import CLOSED, FRAME, GREETING, HELLO, UNREADABLE, Event, Party
from ibstream_gateway_emulator.recording.masking import AccountMask
from ibstream_gateway_emulator.recording.payloads import CLIENT_PREFIX, PayloadReader

TEXT_VERSION_MAX = 200
"""From the next version on a Gateway writes protobuf, in which accounts cannot be found with certainty."""
HELD_EVENTS_MAX = 1_000
"""So many events wait for the Gateway to name its accounts; those it does not name are then masked by their looks alone."""
HELD_BYTES_MAX = 1024 * 1024
"""And so many bytes of frames; before its accounts a Gateway says a few hundred."""
_MANAGED_ACCOUNTS, _ACCOUNTS_FIELD = "15", 2


class Tap:
    """Hears one connection from its first byte to its end and emits its events, each as soon as it can be masked."""

    def __init__(self, connection: int, mask: AccountMask, emit: Callable[[Event], None]) -> None:
        self._connection = connection
        self._mask = mask
        self._emit = emit
        self._readers: dict[Party, PayloadReader | None] = {
            "client": PayloadReader(CLIENT_PREFIX),
            "server": PayloadReader(),
        }
        self._opened: set[Party] = set()
        self._held: list[Event] | None = []
        self._held_bytes = 0
        self._is_text = True
        self._is_closed = False

    def heard(self, by: Party, data: bytes, t: float) -> None:
        """Bytes of one side, `t` seconds into the recording."""
        reader = self._readers[by]
        if reader is None:
            return
        try:
            for payload in reader.feed(data):
                self._take(by, payload, t)
        except ProtocolError as error:
            self._readers[by] = None
            self._put(Event(t=t, connection=self._connection, by=by, kind=UNREADABLE, note=str(error)))

    def closed(self, by: Party, t: float, note: str = "") -> None:
        """The connection has ended; only the first end counts."""
        if not self._is_closed:
            self._is_closed = True
            self._put(Event(t=t, connection=self._connection, by=by, kind=CLOSED, note=note))
            self._release()

    def _take(self, by: Party, payload: bytes, t: float) -> None:
        kind = FRAME if by in self._opened else (HELLO if by == "client" else GREETING)
        self._opened.add(by)
        self._held_bytes += len(payload)
        if kind == FRAME and not self._is_text:
            self._put(Event(t=t, connection=self._connection, by=by, kind=kind, withheld=len(payload)))
            return
        fields = _fields(payload + b"\0" if kind == HELLO else payload)
        if fields is None:
            raw = base64.b64encode(payload).decode()
            self._put(Event(t=t, connection=self._connection, by=by, kind=kind, raw=raw))
            return
        if kind == GREETING:
            self._is_text = (id_of(fields[0]) or 0) <= TEXT_VERSION_MAX
        names_accounts = by == "server" and fields[0] == _MANAGED_ACCOUNTS and len(fields) > _ACCOUNTS_FIELD
        if names_accounts:
            # Before the frame itself is put: it may have been too long in coming to be held.
            self._mask.learn(fields[_ACCOUNTS_FIELD])
        self._put(Event(t=t, connection=self._connection, by=by, kind=kind, fields=fields))
        if names_accounts:
            self._release()

    def _put(self, event: Event) -> None:
        if self._held is None:
            self._emit(self._masked(event))
            return
        self._held.append(event)
        if len(self._held) > HELD_EVENTS_MAX or self._held_bytes > HELD_BYTES_MAX or not self._is_text:
            self._release()

    def _release(self) -> None:
        """From now on events go out at once, and first those that waited."""
        held, self._held = self._held or [], None
        for event in held:
            self._emit(self._masked(event))

    def _masked(self, event: Event) -> Event:
        if event.fields is not None:
            # One search over the whole frame: no account reaches over a NUL.
            fields = self._mask.text("\0".join(event.fields)).split("\0")
            return msgspec.structs.replace(event, fields=tuple(fields))
        if event.raw is not None:
            raw = self._mask.raw(base64.b64decode(event.raw))
            return msgspec.structs.replace(event, raw=base64.b64encode(raw).decode())
        return event


def _fields(payload: bytes) -> tuple[str, ...] | None:
    """The fields of a frame; None if it is no text of ended fields."""
    try:
        return split_fields(payload)
    except ProtocolError:
        return None
