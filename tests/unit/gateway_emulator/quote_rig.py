"""A Gateway without a server and clients without sockets, for quotes: requests in, messages out, at times that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from ibstream.runtime.clock import ManualClock
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.handlers import answer
from ibstream_gateway_emulator.protocol.framing import Frame, FrameReader, Hello
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.table import decode_message
from ibstream_gateway_emulator.settings import EmulatorSettings

MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
VERSION = 178
SYMBOLS = ("AAPL", "MSFT", "F")
T = TypeVar("T", bound=Message)


class Recorder:
    """Stands where a connection stands and keeps what is sent, ticks decoded again."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.chunks: list[int] = []
        self.is_congested = False
        self.is_aborted = False

    def send(self, messages: Iterable[Message]) -> None:
        self.messages += messages

    def send_frames(self, frames: bytes) -> None:
        self.chunks.append(len(frames))
        self.messages += decoded(frames)

    def send_apart(self, work: Callable[[], Message], wanted: Callable[[], bool]) -> None:
        if wanted():
            self.messages.append(work())

    def close(self, reason: str) -> None:
        raise AssertionError(f"the client is sent away: {reason}")

    def abort(self) -> None:
        self.is_aborted = True


def decoded(frames: bytes) -> list[Message]:
    """The messages in a stretch of frames."""
    reader = FrameReader()
    greeted = list(reader.feed(b"API\0\0\0\0\x09v100..178"))
    assert isinstance(greeted[0], Hello)
    found = [decode_message(one.fields, VERSION) for one in reader.feed(frames) if isinstance(one, Frame)]
    messages = [message for message in found if message is not None]
    assert len(messages) == len(found)
    return messages


class Floor:
    """One Gateway and its clients."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock(MONDAY)
        self.gateway = Gateway(EmulatorSettings(symbols=SYMBOLS, **settings), self.clock)
        self.clients: dict[int, tuple[Client, Recorder]] = {}

    @property
    def now_ns(self) -> int:
        return self.clock.time_ns()

    def recorder(self, client_id: int = 1) -> Recorder:
        """A client, let in when it is first asked for."""
        if client_id not in self.clients:
            recorder = Recorder()
            client = Client(client_id, recorder)
            assert self.gateway.join(client) is None
            self.clients[client_id] = (client, recorder)
        return self.clients[client_id][1]

    def ask(self, *fields: object, client_id: int = 1) -> list[Message]:
        """What is answered at once."""
        self.recorder(client_id)
        client = self.clients[client_id][0]
        return list(answer(self.gateway, client, tuple(str(field) for field in fields), VERSION))

    def subscribe(
        self,
        req_id: int = 7,
        contract: tuple[str, ...] = (),
        *,
        generic: str = "",
        snapshot: bool = False,
        client_id: int = 1,
    ) -> list[Message]:
        """Ask for quotes."""
        named = contract or stock("AAPL")
        return self.ask(1, 11, req_id, *named, 0, generic, int(snapshot), 0, "", client_id=client_id)

    def step(self, seconds: float = 0.25, *, client_id: int = 1) -> list[Message]:
        """What a client is told when time has gone on."""
        recorder = self.recorder(client_id)
        before = len(recorder.messages)
        self.clock.advance(seconds)
        self.gateway.step()
        return recorder.messages[before:]


def stock(symbol: str) -> tuple[str, ...]:
    """Twelve fields of a contract."""
    return named("STK", symbol, "SMART", "USD")


def named(kind: str, symbol: str, exchange: str, currency: str = "USD", local_symbol: str = "") -> tuple[str, ...]:
    """The same of another type."""
    return ("0", symbol, kind, "", "0.0", "", "", exchange, "", currency, local_symbol, "")


def of(messages: Iterable[Message], kind: type[T]) -> list[T]:
    """Those of one type."""
    return [message for message in messages if isinstance(message, kind)]
