"""One client's way through a script, without I/O: what it says is found in the script, what followed there is due here.

A message of the client is the first one of the script that has not been used yet, is of the same kind, and asks for the same:
every field but the id if there is such a one, else the same instrument, and what else `_SUBJECT` names. An id that the client
uses stands for the recorded one from then on, in both directions, and in the answers to a message for the one it was sent with:
a recorded client may have used a request id again for something else. permIds and execIds stay as recorded, as do times.
What is found nowhere is answered with an error and counted.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.protocol.requests import REQUESTS
from ibstream_gateway_emulator.recording import ids
from ibstream_gateway_emulator.recording.ids import Fields, Slot, Space
from ibstream_gateway_emulator.recording.payloads import framed
from ibstream_gateway_emulator.recording.script import Cue, Line, Script

_CONTRACT_AT = {1: 3, 3: 2, 9: 3, 10: 3, 20: 2, 50: 3, 87: 2, 88: 2, 96: 2, 97: 2}
"""Where a request's contract begins: conId, symbol, type, date, strike, right."""
_CONTRACT_FIELDS = 6
_SUBJECT = {
    1: (17,),  # whether it is a snapshot
    3: (16, 18),  # action and type of the order
    6: (2,),  # whether it begins or ends
    20: (16, 19),  # bar size and kind of bars
    50: (16,),  # kind of bars
    59: (2,),  # type of market data
    62: (4,),  # the values asked for
    78: (2,),  # symbol
    81: (2,),  # text
    87: (16,),  # kind of bars
    94: (4,),  # conId
    96: (18,),  # kind of ticks
    97: (14,),  # kind of ticks
}
"""What must be the same besides, by kind of message."""
_NOT_RECORDED = 322
_NO_VERSION_IN_ERROR_SINCE = 194


class Player:
    """Plays one script to one client. Times are seconds on any clock that never goes back."""

    def __init__(self, script: Script, client_id: int, *, speed: float, now_s: float) -> None:
        self._script = script
        self._pace = 1 / speed if speed else 0.0
        self._client_id = client_id
        self._unused = list(script.cues[1:])
        self._own: dict[tuple[Space, int], int] = {}
        self._recorded: dict[tuple[Space, int], int] = {}
        self._bound: dict[int, int] = {}
        self._due: list[tuple[float, int, Cue, Line]] = []
        self._busy_until_s: dict[tuple[Space, int], float] = {}
        self._last_cue_s = now_s
        self.strangers = 0
        """Messages of the client that were not recorded."""
        self._schedule(script.cues[0], now_s)

    def heard(self, fields: Fields, now_s: float) -> bytes:
        """Take a message of the client; an error to send at once if it was not recorded, else nothing."""
        slot = ids.asked(fields, self._script.server_version)
        cue = self._find(fields, slot)
        if cue is None:
            self.strangers += 1
            return self._stranger(fields, slot)
        self._unused.remove(cue)
        self._last_cue_s = now_s
        if slot is not None and cue.id is not None:
            self._bind(cue.number, slot.space, recorded=ids.value(cue.fields, cue.id), own=ids.value(fields, slot))
            if cue.kind in ids.STREAM_CANCELS:
                self._silence(cue)
        self._schedule(cue, now_s)
        return b""

    def take_due(self, now_s: float, lines_max: int) -> list[bytes]:
        """The messages whose time has come, at most `lines_max` of them."""
        out: list[bytes] = []
        while self._due and self._due[0][0] <= now_s and len(out) < lines_max:
            _, _, cue, line = heapq.heappop(self._due)
            out.append(self._render(cue, line))
        return out

    @property
    def next_due_s(self) -> float | None:
        """When there is something to send or to do; None while that depends on the client."""
        if self._due:
            return self._due[0][0]
        return self._closing_s

    def is_over(self, now_s: float) -> bool:
        """Whether the connection is to be ended, as it was by the recorded server."""
        return not self._due and self._closing_s is not None and self._closing_s <= now_s

    @property
    def unused(self) -> int:
        """Recorded messages of the client that have not come."""
        return len(self._unused)

    @property
    def _closing_s(self) -> float | None:
        if self._unused or self._script.closed_after_s is None:
            return None
        return self._last_cue_s + self._script.closed_after_s * self._pace

    def _find(self, fields: Fields, slot: Slot | None) -> Cue | None:
        kind = ids.kind_of(fields)
        candidates = [cue for cue in self._unused if cue.kind == kind]
        if slot is not None:
            candidates = self._with_id(candidates, slot.space, ids.value(fields, slot))
        for cue in candidates:
            if _without_id(cue.fields, cue.id) == _without_id(fields, slot):
                return cue
        return next((cue for cue in candidates if _same_subject(kind, cue.fields, fields)), None)

    def _with_id(self, candidates: list[Cue], space: Space, own: int) -> list[Cue]:
        """Those that the client's id stands for already, or those whose own ids stand for nothing yet."""
        recorded = self._recorded.get((space, own))
        known = [cue for cue in candidates if cue.id is not None and ids.value(cue.fields, cue.id) == recorded]
        if known:
            return known
        return [cue for cue in candidates if cue.id is None or self._is_free(cue.id.space, cue)]

    def _is_free(self, space: Space, cue: Cue) -> bool:
        # Request ids may be used again for something else; an order id names the same order for ever.
        return space != "order" or cue.id is None or (space, ids.value(cue.fields, cue.id)) not in self._own

    def _bind(self, cue: int, space: Space, *, recorded: int, own: int) -> None:
        self._bound[cue] = own
        self._own[space, recorded] = own
        self._recorded[space, own] = recorded

    def _schedule(self, cue: Cue, now_s: float) -> None:
        """What the cue caused follows at its pace, and never overtakes what is still due under the same id."""
        key = self._key(cue)
        not_before_s = self._busy_until_s.get(key, now_s) if key is not None else now_s
        for line in cue.lines:
            due_s = max(now_s + line.delay_s * self._pace, not_before_s)
            heapq.heappush(self._due, (due_s, line.number, cue, line))
            not_before_s = due_s
        if key is not None:
            self._busy_until_s[key] = not_before_s

    def _silence(self, cancel: Cue) -> None:
        """Nothing more of a stream that has been cancelled."""
        key = self._key(cancel)
        self._due = [entry for entry in self._due if self._key(entry[2]) != key]
        heapq.heapify(self._due)
        if key is not None:
            self._busy_until_s.pop(key, None)

    def _render(self, cue: Cue, line: Line) -> bytes:
        if line.fields is None:
            return framed(line.payload)
        fields = list(line.fields)
        for slot in self._slots(cue, line.fields):
            number = ids.value(line.fields, slot)
            fields[slot.at] = str(self._own_id(cue, slot.space, number))
        return frame(fields)

    def _own_id(self, cue: Cue, space: Space, recorded: int) -> int:
        """What the recorded id is called here, in an answer to `cue`."""
        if space == "client":
            return self._client_id if recorded == self._script.client_id else recorded
        if cue.id is not None and cue.id.space == space and ids.value(cue.fields, cue.id) == recorded:
            return self._bound.get(cue.number, recorded)
        return self._own.get((space, recorded), recorded)

    def _key(self, cue: Cue) -> tuple[Space, int] | None:
        """Under which id of the client the cue's answers come."""
        if cue.id is None:
            return None
        return cue.id.space, self._bound.get(cue.number, ids.value(cue.fields, cue.id))

    def _slots(self, cue: Cue, fields: Fields) -> Iterable[Slot]:
        """The ids to be renamed: an order of another client keeps its own, unless this client asked by it."""
        slots = ids.told(fields, self._script.server_version)
        if len({slot.at for slot in slots}) < len(slots):
            # An error, whose one field is an order's id or a request's.
            spaces = {cue.id.space} if cue.id is not None else set()
            return [slot for slot in slots if slot.space in spaces] or slots[:1]
        client = next((slot for slot in slots if slot.space == "client"), None)
        is_own = client is None or ids.value(fields, client) == self._script.client_id
        if is_own or cue.kind in (ids.PLACE_ORDER, ids.CANCEL_ORDER):
            return slots
        return [slot for slot in slots if slot.space == "request"]

    def _stranger(self, fields: Fields, slot: Slot | None) -> bytes:
        req_id = str(ids.value(fields, slot)) if slot is not None else "-1"
        text = f"Error processing request.-'em' : cause - {_describe(fields)} was not recorded, or not at this point"
        if self._script.server_version >= _NO_VERSION_IN_ERROR_SINCE:
            return frame(("4", req_id, str(_NOT_RECORDED), text, "", "0"))
        return frame(("4", "2", req_id, str(_NOT_RECORDED), text, ""))


def _without_id(fields: Fields, slot: Slot | None) -> Fields:
    return fields if slot is None else fields[: slot.at] + fields[slot.at + 1 :]


def _same_subject(kind: int, recorded: Fields, asked: Fields) -> bool:
    if len(recorded) != len(asked) and kind in _CONTRACT_AT and min(len(recorded), len(asked)) <= _CONTRACT_AT[kind]:
        return False
    for index in _SUBJECT.get(kind, ()):
        if recorded[index : index + 1] != asked[index : index + 1]:
            return False
    begin = _CONTRACT_AT.get(kind)
    return begin is None or _same_contract(recorded[begin:], asked[begin:])


def _same_contract(recorded: Fields, asked: Fields) -> bool:
    """The same conId where both give one, else the same symbol, type, date, strike and right."""
    if len(recorded) < _CONTRACT_FIELDS or len(asked) < _CONTRACT_FIELDS:
        return False
    unnamed = ("", "0")
    if recorded[0] not in unnamed and asked[0] not in unnamed:
        return recorded[0] == asked[0]
    return recorded[1:3] == asked[1:3] and all(
        one == other or {one, other} <= {"", "0", "0.0"}
        for one, other in zip(recorded[3:_CONTRACT_FIELDS], asked[3:_CONTRACT_FIELDS], strict=True)
    )


def _describe(fields: Fields) -> str:
    """A message as an error names it: by its name and id, and the instrument where it has one."""
    kind = ids.kind_of(fields)
    begin = _CONTRACT_AT.get(kind, len(fields))
    symbol = fields[begin + 1] if begin + 1 < len(fields) else ""
    name = REQUESTS[kind].__name__ if kind in REQUESTS else "message"
    return f"{name} ({fields[0][:16]}){f' about {symbol[:32]}' if symbol else ''}"
