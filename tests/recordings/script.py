"""A recording as steps: who says what, in order, connection by connection.

handshake {"server_version": 200, "connection_time": "20260415 18:28:40 Central European Standard Time"}
client place_order {...}          server open_order {...}
raw client BASE64                 raw server BASE64
split server 3,4 open_order {...} the same as `server`: TCP cut the frame there
sleep 100ms                       disconnect
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.requests import Request, read_request
from recordings.hearing import Heard, hear
from recordings.moments import moment_of, seconds_of
from recordings.saying import VERSION
from recordings.words import MESSAGE_ALIASES, snake

_RECORDED_VERSION = 200
_CANCEL_ORDER = "4"


class UnreadableRecordingError(Exception):
    """A line that cannot be read; the text names it."""


@dataclass
class Turn:
    """What the client said, and all that the Gateway said until the client spoke again."""

    name: str
    """The client's message; `handshake` for the first turn of a connection."""
    fields: dict[str, Any]
    answers: list[Heard] = field(default_factory=list)
    lasted_s: float = 0.0
    """Pauses that are written down."""
    request: Request | None = None
    """The message itself, where the recording has its bytes."""


@dataclass
class Leg:
    """One connection."""

    began: datetime
    """The Gateway's time at the handshake, in UTC."""
    turns: list[Turn]
    client_id: int | None = None
    """The client's number, where the recording has it."""

    @property
    def answers(self) -> list[Heard]:
        """All that the Gateway said."""
        return [answer for turn in self.turns for answer in turn.answers]


@dataclass
class Conversation:
    """One recording."""

    name: str
    legs: list[Leg]

    @property
    def turns(self) -> list[Turn]:
        """All that the client said, connection by connection."""
        return [turn for leg in self.legs for turn in leg.turns]

    @property
    def answers(self) -> list[Heard]:
        """All that the Gateway said."""
        return [answer for leg in self.legs for answer in leg.answers]


def read_recording(path: Path) -> Conversation:
    """Read a file. Raises `UnreadableRecordingError` with the number of the line."""
    legs: list[Leg] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            _take(legs, text)
        except (ValueError, KeyError, IndexError, FieldError) as error:
            raise UnreadableRecordingError(f"{path.name}, line {number}: {error}") from error
    if not legs:
        raise UnreadableRecordingError(f"{path.name}: nobody connects")
    return Conversation(path.stem, legs)


def _take(legs: list[Leg], text: str) -> None:
    word, _, rest = text.partition(" ")
    if word == "handshake":
        said = json.loads(rest)
        legs.append(Leg(moment_of(said["connection_time"]), [Turn("handshake", {})], _number(said.get("client_id"))))
        return
    leg = legs[-1]
    if word == "split":
        word, _, rest = rest.partition(" ")
        rest = rest.partition(" ")[2]
    name, _, body = rest.partition(" ")
    if word == "client" and name == "start_api":
        leg.client_id = _number(json.loads(body or "{}").get("client_id"))
    elif word == "client":
        leg.turns.append(Turn(name, json.loads(body or "{}")))
    elif word == "server":
        leg.turns[-1].answers.append(Heard(MESSAGE_ALIASES.get(name, name), json.loads(body or "{}")))
    elif word == "raw":
        _take_raw(leg, name, base64.b64decode(body.strip(), validate=True))
    elif word == "sleep":
        leg.turns[-1].lasted_s += seconds_of(rest)
    elif word != "disconnect":
        raise ValueError(f"{word!r} is no step that is known")


def _take_raw(leg: Leg, side: str, data: bytes) -> None:
    while data:
        length = int.from_bytes(data[:4], "big")
        if length > len(data) - 4:
            raise ValueError(f"a frame of {len(data) - 4} bytes that says {length}")
        fields = tuple(data[4 : 3 + length].decode().split("\0"))
        data = data[4 + length :]
        if side == "server":
            leg.turns[-1].answers += hear(fields, _RECORDED_VERSION)
        else:
            leg.turns.append(_said(fields))


def _said(fields: tuple[str, ...]) -> Turn:
    """A client's message from its bytes. What version 200 has more than 178 stands at the end, and is not said."""
    if fields[0] == _CANCEL_ORDER:
        fields = (fields[0], "1", *fields[1:])
    request = read_request(fields, VERSION)
    if request is None:
        raise ValueError(f"client message {fields[0]} is not known")
    return Turn(snake(type(request).__name__), {}, request=request)


def _number(said: Any) -> int | None:
    """A client's id, where it is given and not left to the client as `$name`."""
    return int(said) if str(said or "").isdigit() else None
