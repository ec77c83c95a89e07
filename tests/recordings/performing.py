"""A recorded client talks to a stand-in, over TCP at server version 178, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream_gateway_emulator.domain.contract_data import BBO_EXCHANGE
from ibstream_gateway_emulator.faults import acts, verbs
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.requests import (
    ReqContractDetails,
    ReqUserInfo,
    StartApi,
    write_request,
)
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from recordings.asking import ask
from recordings.hearing import Heard, hear
from recordings.line import Line
from recordings.living import live_through
from recordings.manners import faults_of
from recordings.past import former_client
from recordings.saying import VERSION, StandInWords, flag
from recordings.script import Conversation, Turn
from recordings.staging import Stage, stage_of

_HELLO = b"API\0" + struct.pack(">I", 9) + b"v100..178"
_BARRIER = ReqUserInfo(2_000_000_077)
"""Asked for where all that was asked before must have been answered; the answer names the request."""
_BARRIER_ANSWER = ("107", str(_BARRIER.req_id))
_TICK_S = 0.25
_LINGERS_S = 1.0
"""So long the stand-in's clock runs on after the recorded answers, to see whether more comes than was recorded."""
_PATIENT_TICKS = 40
_STRIDE_S = 60.0
_STRIDES_MAX = 600
"""An order that waits for a price is given so many strides of the clock, ten hours, before its answers are missed."""
_REAL_WAIT_S = 0.002
_REAL_WAITS_MAX = 1_500


@contextlib.asynccontextmanager
async def performance(
    conversation: Conversation, seed: int, manner: dict[str, Any] | None = None
) -> AsyncIterator[Performance]:
    """The stand-in on the stage that the recording implies; `seed` makes its market, `manner` is how it tells."""
    stage = stage_of(conversation, seed, manner)
    begins = min([stage.began, *(past.placed for past in stage.past_orders)])
    clock = ManualClock(begins)
    async with running_gateway(stage.settings, clock=clock) as gateway:
        play = Performance(conversation, stage, gateway, clock)
        await play.prepare()
        yield play


class Performance:
    """One conversation in progress."""

    def __init__(self, conversation: Conversation, stage: Stage, gateway: GatewayServer, clock: ManualClock) -> None:
        self.conversation = conversation
        self.stage = stage
        self._gateway = gateway
        self._clock = clock
        self._req_ids: dict[str, int] = {}
        self._con_ids: dict[str, int] = {}
        self._smart_books: dict[int, bool] = {}
        self._words = StandInWords(self._con_id, lambda _: BBO_EXCHANGE, self._smart_books)

    async def prepare(self) -> None:
        """Let happen what had happened before the recording."""
        state = self._gateway.state
        live_through(state, self._clock, self.stage.past_orders)
        for client_id, order_id in self.stage.order_ids.items():
            state.orders.start_ids_at(client_id, order_id)
        await self._find_con_ids()

    async def perform(self) -> list[list[list[Heard]]]:
        """What the stand-in answered: for each connection, for each turn."""
        return [await self._leg(number) for number in range(len(self.conversation.legs))]

    async def _leg(self, number: int) -> list[list[Heard]]:
        leg = self.conversation.legs[number]
        self._clock.advance(max((leg.began - self._clock.now()).total_seconds(), 0))
        line = await self._connect(self.stage.client_ids[number], greets=False)
        try:
            return [await self._turn(line, turn, self.stage.client_ids[number]) for turn in leg.turns]
        finally:
            await line.close()
            await self._settle(lambda: self.stage.client_ids[number] not in self._gateway.state.clients)

    async def _turn(self, line: Line, turn: Turn, client_id: int) -> list[Heard]:
        state = self._gateway.state
        for fault in faults_of(turn):
            acts.command(state, fault)
        begin = len(line.heard)
        if turn.name != "handshake":
            line.send(self._said(turn))
        frames = await self._answers(line, begin, turn)
        if self._misses_fill(turn, frames):
            frames = await self._filled(line, begin, turn, client_id)
        for fault in faults_of(turn):
            # One answer without its end, one refused order: they say nothing of the next.
            if not isinstance(fault, verbs.MarketDataPermission | verbs.CompetingSession):
                acts.command(state, verbs.Clear(fault=fault.name))
        return [message for fields in frames for message in hear(fields, VERSION)]

    def _said(self, turn: Turn) -> bytes:
        if turn.request is not None:
            return write_request(turn.request, VERSION)
        fields = self._bound(turn.fields)
        if "is_smart_depth" in fields and "req_id" in fields:
            self._smart_books[int(fields["req_id"])] = flag(fields["is_smart_depth"])
        return ask(turn.name, fields, self._words)

    async def _answers(self, line: Line, begin: int, turn: Turn) -> list[tuple[str, ...]]:
        """The frames that answer a turn, and whatever else comes until the clock has gone on a little."""
        strides = 0
        while self._heard_since(line, begin) < len(turn.answers) and strides < _STRIDES_MAX:
            # Only an order that fills waits for the market; everything else is answered at once or not at all.
            if strides >= _PATIENT_TICKS and not self._misses_fill(turn, line.heard[begin:]):
                break
            await self._tick(_TICK_S if strides < _PATIENT_TICKS else _STRIDE_S)
            strides += 1
        for _ in range(int(max(turn.lasted_s, _LINGERS_S) / _TICK_S)):
            await self._tick(_TICK_S)
        return await self._until_answered(line, begin)

    @staticmethod
    def _misses_fill(turn: Turn, frames: list[tuple[str, ...]]) -> bool:
        """Whether an order should have filled, and has not: the simulated market did not come to it yet."""
        should = turn.name == "place_order" and any(one.name == "execution_detail" for one in turn.answers)
        return should and not any(one.name == "execution_detail" for fields in frames for one in hear(fields, VERSION))

    async def _filled(self, line: Line, begin: int, turn: Turn, client_id: int) -> list[tuple[str, ...]]:
        """Let the market come to an order: that a price is reached is nothing that a Gateway decides."""
        order_id = turn.fields.get("order_id")
        with contextlib.suppress(acts.CommandError):
            acts.command(self._gateway.state, verbs.Fill(client_id=client_id, order_id=int(order_id or 0)))
        return await self._until_answered(line, begin)

    @staticmethod
    def _heard_since(line: Line, begin: int) -> int:
        return sum(len(hear(fields, VERSION)) for fields in line.heard[begin:])

    async def _tick(self, seconds: float) -> None:
        self._clock.advance(seconds)
        await SYSTEM_CLOCK.sleep(_REAL_WAIT_S)

    async def _until_answered(self, line: Line, begin: int = 0) -> list[tuple[str, ...]]:
        """Ask for something harmless and wait for its answer; what was heard before it, from `begin` on."""
        line.send(write_request(_BARRIER, VERSION))

        def barrier() -> int | None:
            answers = enumerate(line.heard)
            return next((place for place, one in answers if place >= begin and _is_barrier(one)), None)

        await self._settle(lambda: barrier() is not None)
        place = barrier()
        assert place is not None
        frames = line.heard[begin:place]
        del line.heard[place]
        return frames

    async def _settle(self, state: Callable[[], Any]) -> None:
        for _ in range(_REAL_WAITS_MAX):
            if state():
                return
            await SYSTEM_CLOCK.sleep(_REAL_WAIT_S)
        raise AssertionError("the stand-in does not answer")

    async def _connect(self, client_id: int, *, greets: bool = True) -> Line:
        """A client that has named itself; with `greets`, what it is told at that is dropped."""
        line = Line(*await asyncio.open_connection("127.0.0.1", self._gateway.port))
        line.send(_HELLO)
        await self._settle(lambda: line.heard)
        del line.heard[0]
        line.send(write_request(StartApi(client_id, ""), VERSION))
        if greets:
            await self._until_answered(line)
            line.heard.clear()
        return line

    def _bound(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields with a request id for each `$name`."""
        name = fields.get("req_id")
        if not isinstance(name, str) or not name.startswith("$"):
            return fields
        return {**fields, "req_id": self._req_ids.setdefault(name, 9_000 + len(self._req_ids))}

    async def _find_con_ids(self) -> None:
        """Ask the stand-in for its ids of the contracts that the recording names by the real ones."""
        line = await self._connect(former_client())
        for con_id, named in self._named_contracts().items():
            begin = len(line.heard)
            line.send(write_request(_details_of(named), VERSION))
            answers = [one for fields in await self._until_answered(line, begin) for one in hear(fields, VERSION)]
            details = [one for one in answers if one.name == "contract_details"]
            if details:
                self._con_ids[con_id] = int(details[0].fields["contract"]["con_id"])
        await line.close()
        await self._settle(lambda: former_client() not in self._gateway.state.clients)

    def _named_contracts(self) -> dict[str, dict[str, Any]]:
        """The contracts of the recording by their real ids, as fully as anybody names them."""
        said = [turn.fields.get("contract") for turn in self.conversation.turns]
        told = [one.fields.get("contract") for one in self.conversation.answers]
        return {str(one["con_id"]): one for one in (*said, *told) if one and one.get("con_id") and one.get("symbol")}

    def _con_id(self, real: str) -> int:
        return self._con_ids.get(real, int(real))


def _is_barrier(fields: tuple[str, ...]) -> bool:
    return fields[:2] == _BARRIER_ANSWER


def _details_of(named: dict[str, Any]) -> ReqContractDetails:
    return ReqContractDetails(
        req_id=1,
        contract=Contract(
            symbol=named["symbol"],
            security_type=named.get("sec_type", ""),
            last_trade_date=named.get("expiry", ""),
            strike=str(named.get("strike", "")),
            right=named.get("right", ""),
            exchange=named.get("exchange", "") or "SMART",
            currency=named.get("currency", ""),
            local_symbol=named.get("local_symbol", ""),
        ),
        include_expired=False,
    )
