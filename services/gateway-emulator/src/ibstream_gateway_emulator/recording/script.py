"""A recorded connection as a script: what the client asked, and with each question what the Gateway said because of it.

Which question a message of the server belongs to is decided so, the first rule that fits:

1. an id: the latest question before it with that request or order id (an error's may be either); a commission belongs where
   the execution with its execId does
2. an answer without an id: the latest question of the kind that it answers, as long as its end has not come
   (positions 61/62, account values 6/7/8/54, open orders 5/3/53, completed orders 101/102, times 49, ids 9, accounts 15 ...)
3. time: the latest question before it, whatever it was

An open order or its state (5/3) is told for either reason, so the later of the two questions counts: a list of all that was
asked for after the order was placed and has not ended, or the order itself. Orders of other clients belong to the list only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ibstream_gateway_emulator.protocol.fields import id_of
from ibstream_gateway_emulator.recording import ids
from ibstream_gateway_emulator.recording.format import CLOSED, FRAME, GREETING, Event, Recording, RecordingError
from ibstream_gateway_emulator.recording.ids import Fields, Slot, Space

_COMMISSION, _COMMISSION_EXEC_ID = 59, 2
_EXECUTION, _EXECUTION_ORDER_ID, _EXECUTION_EXEC_ID = 11, 2, 14
_OPEN_ORDER_PARTS = frozenset({3, 5})
_ERROR = 4
_CLIENT_ID = 2


@dataclass(frozen=True, slots=True)
class Line:
    """One message of the server."""

    number: int
    """Its place among all lines of the connection."""
    delay_s: float
    """How long after the question it came."""
    payload: bytes
    fields: Fields | None
    """None where the message is no text."""


@dataclass(slots=True)
class Cue:
    """One message of the client, and what it caused."""

    number: int
    t: float
    fields: Fields
    id: Slot | None
    lines: list[Line] = field(default_factory=list)

    @property
    def kind(self) -> int:
        """Its message id."""
        return ids.kind_of(self.fields)


@dataclass(slots=True)
class Script:
    """One recorded connection."""

    connection: int
    server_version: int
    greeting: bytes
    client_id: int
    """With which the client named itself."""
    cues: list[Cue]
    """The first one is startApi."""
    closed_after_s: float | None
    """When the server ended the connection, after the last cue; None where the client did."""


def scripts_of(recording: Recording, name: str) -> list[Script]:
    """The connections in which somebody logged in. Raises `RecordingError` where nothing can be served."""
    by_connection: dict[int, list[Event]] = {}
    for event in recording.events:
        by_connection.setdefault(event.connection, []).append(event)
    scripts = [script for events in by_connection.values() if (script := _script(events, name)) is not None]
    if not scripts:
        raise RecordingError(f"{name}: nobody logged in while this was recorded; there is nothing to serve")
    return scripts


def _script(events: list[Event], name: str) -> Script | None:
    where = f"{name}, connection {events[0].connection}"
    if any(event.withheld is not None for event in events):
        raise RecordingError(
            f"{where}: binary messages were left out, so it cannot be served; record with --max-version 178"
        )
    greeting = next((event for event in events if event.kind == GREETING), None)
    version = id_of(greeting.fields[0]) if greeting is not None and greeting.fields else None
    if greeting is None or version is None:
        return None
    cues = _cues(events, version)
    if not cues:
        return None
    if cues[0].kind != ids.START_API:
        raise RecordingError(f"{where}: its first message is {cues[0].fields[0]!r}, not startApi (71)")
    client_id = _client_id(cues[0].fields, where)
    _attribute(events, cues, _Causes(version, client_id, _orders_by_exec_id(events)))
    return Script(
        connection=events[0].connection,
        server_version=version,
        greeting=greeting.payload,
        client_id=client_id,
        cues=cues,
        closed_after_s=_closing(events, cues),
    )


def _cues(events: list[Event], version: int) -> list[Cue]:
    return [
        Cue(number, event.t, event.fields, ids.asked(event.fields, version))
        for number, event in enumerate(events)
        if event.by == "client" and event.kind == FRAME and event.fields
    ]


def _client_id(fields: Fields, where: str) -> int:
    client_id = id_of(fields[_CLIENT_ID]) if len(fields) > _CLIENT_ID else None
    if client_id is None:
        raise RecordingError(f"{where}: its startApi names no client id")
    return client_id


def _closing(events: list[Event], cues: list[Cue]) -> float | None:
    end = next((event for event in events if event.kind == CLOSED), None)
    return max(end.t - cues[-1].t, 0.0) if end is not None and end.by == "server" else None


def _attribute(events: list[Event], cues: list[Cue], causes: _Causes) -> None:
    """Give every message of the server to the cue that caused it."""
    coming = iter(cues)
    following = next(coming, None)
    orphans: list[Line] = []
    for number, event in enumerate(events):
        if following is not None and number == following.number:
            causes.heard(following)
            following = next(coming, None)
        elif event.by == "server" and event.kind == FRAME:
            cause = causes.of(event)
            line = Line(number, max(event.t - (cause or cues[0]).t, 0.0), event.payload, event.fields)
            (cause.lines if cause is not None else orphans).append(line)
    # What came before the client had named itself is told as soon as it does.
    cues[0].lines[:0] = orphans


def _orders_by_exec_id(events: list[Event]) -> dict[str, int]:
    """The order of each execution told; a commission may come before its execution."""
    return {
        event.fields[_EXECUTION_EXEC_ID]: order_id
        for event in events
        if event.by == "server"
        and event.fields is not None
        and ids.kind_of(event.fields) == _EXECUTION
        and len(event.fields) > _EXECUTION_EXEC_ID
        and (order_id := id_of(event.fields[_EXECUTION_ORDER_ID])) is not None
    }


class _Causes:
    """What has been asked so far, by everything an answer may be recognized by."""

    def __init__(self, version: int, client_id: int, orders: dict[str, int]) -> None:
        self._version = version
        self._client_id = client_id
        self._orders = orders
        self._latest: Cue | None = None
        self._by_id: dict[tuple[Space, int], Cue] = {}
        self._by_kind: dict[int, Cue] = {}
        self._by_exec_id: dict[str, Cue] = {}

    def heard(self, cue: Cue) -> None:
        """The client asks."""
        self._latest = self._by_kind[cue.kind] = cue
        if cue.id is not None:
            self._by_id[cue.id.space, ids.value(cue.fields, cue.id)] = cue

    def of(self, event: Event) -> Cue | None:
        """Whose answer this is."""
        fields = event.fields
        if fields is None:
            return self._latest
        kind = ids.kind_of(fields)
        cue = self._find(kind, fields) or self._latest
        if kind == _EXECUTION and cue is not None and len(fields) > _EXECUTION_EXEC_ID:
            self._by_exec_id[fields[_EXECUTION_EXEC_ID]] = cue
        for ended in ids.ENDS.get(kind, ()):
            self._by_kind.pop(ended, None)
        return cue

    def _find(self, kind: int, fields: Fields) -> Cue | None:
        if kind == _COMMISSION and len(fields) > _COMMISSION_EXEC_ID:
            return self._of_execution(fields[_COMMISSION_EXEC_ID])
        if kind in _OPEN_ORDER_PARTS:
            return self._of_order(fields)
        by_id = self._newest(self._by_id.get(key) for key in self._keys(fields))
        return by_id or self._newest(self._by_kind.get(one) for one in ids.ANSWERS.get(kind, ()))

    def _of_order(self, fields: Fields) -> Cue | None:
        """Who placed or cancelled the order, or who asked for all since; an order of somebody else has its id by chance."""
        asked_for = self._newest(self._by_kind.get(one) for one in (ids.OPEN_ORDERS, ids.ALL_OPEN_ORDERS))
        by_id = self._newest(self._by_id.get(key) for key in self._keys(fields))
        if asked_for is not None and not ids.is_of_client(fields, self._version, self._client_id):
            return asked_for
        return self._newest((asked_for, by_id)) or self._by_kind.get(ids.AUTO_OPEN_ORDERS)

    def _keys(self, fields: Fields) -> Iterator[tuple[Space, int]]:
        """By what the question is found: one id, but an error's may be an order's or a request's."""
        slots = [slot for slot in ids.told(fields, self._version) if slot.space != "client"]
        for slot in slots if ids.kind_of(fields) == _ERROR else slots[:1]:
            yield slot.space, ids.value(fields, slot)

    def _of_execution(self, exec_id: str) -> Cue | None:
        """Who asked for the execution, or for its order where the execution is yet to come."""
        if exec_id in self._by_exec_id:
            return self._by_exec_id[exec_id]
        order_id = self._orders.get(exec_id)
        return self._by_id.get(("order", order_id)) if order_id is not None else None

    @staticmethod
    def _newest(cues: Iterable[Cue | None]) -> Cue | None:
        return max((cue for cue in cues if cue is not None), key=lambda cue: cue.number, default=None)
