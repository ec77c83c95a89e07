"""The commands that ask for something, against a broker that says what the test wants, over a real Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import pytest
from support import run

from ibstream.bus import Bus, Publisher, StreamReader
from ibstream.bus.reader import BEGINNING, LATEST
from ibstream.cli.trading import (
    BracketArguments,
    OrderArguments,
    accept_held,
    cancel_all_orders,
    cancel_order,
    change_order,
    halt_trading,
    resume_trading,
    send_bracket,
    send_order,
    settle,
    tell_what_if,
    traded,
)
from ibstream.client import (
    GroupUnresolvedError,
    InvalidRequestError,
    NoAnswerError,
    OrderUnresolvedError,
    RequestRefusedError,
    combo,
    leg,
)
from ibstream.contracts.base import Message, encode
from ibstream.contracts.orders import (
    OrderEvent,
    OrderStatus,
    OrderStatusChanged,
    Reason,
    RequestRefused,
    WhatIfAnswered,
)
from ibstream.contracts.registry import ORDER_EVENTS, ORDER_REQUESTS, SYSTEM_CONTROL, heartbeat_key
from ibstream.contracts.system import AcceptPositions, ConnectionState, Halt, Heartbeat, Resume, SettleOrder
from ibstream.runtime.clock import SYSTEM_CLOCK

NOW = SYSTEM_CLOCK.now()
ORDER = OrderArguments(instrument="AAPL", side="BUY", quantity="10", client_order_id="mine")
BRACKET = BracketArguments(
    instrument="AAPL", side="BUY", quantity="10", take_profit="300", stop_loss="200", group_id="g"
)

Play = Callable[..., int]


def status(client_order_id: str, status: OrderStatus, **more: Any) -> OrderStatusChanged:
    final = status in (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED)
    return OrderStatusChanged(client_order_id=client_order_id, seq=1, status=status, final=final, at=NOW, **more)


def refused(request: str, reason: Reason, **more: Any) -> RequestRefused:
    return RequestRefused(client_order_id="mine", request=request, reason=reason, at=NOW, **more)


@pytest.fixture
def play(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Runs a command while its first request is answered with `events`; returns its exit status."""
    monkeypatch.setenv("SA_REDIS__URL", redis_url)

    async def broker(bus: Bus, reader: StreamReader, events: tuple[OrderEvent, ...]) -> None:
        while not await reader.read():
            pass
        for event in events:
            await Publisher(bus).publish(ORDER_EVENTS, event)

    async def both(command: Coroutine[Any, Any, int], events: tuple[OrderEvent, ...], *, alive: bool) -> int:
        async with (
            Bus(redis_url, client_name="test") as bus,
            StreamReader(bus, {ORDER_REQUESTS: LATEST, SYSTEM_CONTROL: LATEST}) as reader,
        ):
            if alive:
                await bus.put(heartbeat_key("broker", "0"), encode(heartbeat()))
            await reader.start()
            answering = asyncio.create_task(broker(bus, reader, events))
            try:
                return await command
            finally:
                answering.cancel()

    def play(command: Coroutine[Any, Any, int], *events: OrderEvent, alive: bool = True) -> int:
        return run(both(command, events, alive=alive), timeout_s=20)

    return play


def heartbeat() -> Heartbeat:
    return Heartbeat(
        service="broker",
        instance="0",
        state=ConnectionState.READY,
        provider="stub",
        version="0",
        pid=1,
        started_at=NOW,
        at=NOW,
    )


def written(redis_url: str, stream: Any) -> list[Message]:
    async def read() -> list[Message]:
        async with Bus(redis_url, client_name="test") as bus, StreamReader(bus, {stream: BEGINNING}) as reader:
            return [entry.message for entry in await reader.read()]

    return run(read())


def test_words_and_legs_make_what_is_traded() -> None:
    """In any case; legs make a combo, each with its side and, where it is said, its ratio."""
    assert traded(["es", "202612", "@cme"], []) == "ES 202612 @CME"
    made = traded(["aapl"], ["buy 100 aapl", "Sell aapl 20261218 280 c"])
    assert made == combo("AAPL", [leg("BUY", "AAPL", 100), leg("SELL", "AAPL 20261218 280 C")])


@pytest.mark.parametrize(("text", "told"), [("", "no leg"), ("HOLD AAPL", "side"), ("BUY", "no leg"), ("BUY 2", None)])
def test_a_leg_that_is_none(text: str, told: str | None) -> None:
    """A side and an instrument; one number alone is a symbol, as on some exchanges."""
    if told is None:
        assert traded(["700"], [text, text]) == combo("700", [leg("BUY", "2"), leg("BUY", "2")])
        return
    with pytest.raises(InvalidRequestError, match=told):
        traded(["AAPL"], [text])


def test_an_order_is_told_to_its_end(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each step on standard output; its id on standard error."""
    events = status("mine", OrderStatus.SUBMITTED), status("mine", OrderStatus.FILLED)
    assert play(send_order(ORDER, wait_s=10, as_json=False), *events) == 0
    out, err = capsys.readouterr()
    assert (out.splitlines(), err) == (["submitted", "filled"], "order mine\n")


def test_an_order_that_still_works_when_the_wait_is_over_is_no_failure(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so; an order of which nobody knows where it stands is one."""
    assert play(send_order(ORDER, wait_s=0.5, as_json=True), status("mine", OrderStatus.SUBMITTED)) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "submitted"
    assert "still being worked" in err
    with pytest.raises(OrderUnresolvedError, match="unknown"):
        play(send_order(ORDER, wait_s=0.5, as_json=True), status("mine", OrderStatus.UNKNOWN))


def test_a_rejected_order_is_a_failure(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """With its reason."""
    rejected = status("mine", OrderStatus.REJECTED, reason=Reason.RISK_NOTIONAL, text="too much")
    assert play(send_order(ORDER, wait_s=10, as_json=False), rejected) == 1
    assert "rejected: risk_notional (too much)" in capsys.readouterr().out


def test_a_what_if_tells_margin_and_commission(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """In lines or as the message itself."""
    answer = WhatIfAnswered(client_order_id="mine", commission=Decimal("1.5"), commission_currency="USD", at=NOW)
    assert play(tell_what_if(ORDER, wait_s=10, as_json=False), answer) == 0
    assert capsys.readouterr().out.split() == ["commission", "1.50", "USD"]
    assert play(tell_what_if(ORDER, wait_s=10, as_json=True), answer) == 0
    assert json.loads(capsys.readouterr().out)["commission"] == "1.5"


def test_a_bracket_is_told_order_by_order(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line names its order; the exit that another one ended is no failure."""
    events = (
        status("g:entry", OrderStatus.FILLED),
        status("g:profit", OrderStatus.FILLED),
        status("g:stop", OrderStatus.CANCELLED),
    )
    assert play(send_bracket(BRACKET, wait_s=10, as_json=False), *events) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == ["g:entry filled", "g:profit filled", "g:stop cancelled"]
    assert err == "group g: g:entry, g:profit, g:stop\n"


def test_a_bracket_whose_exits_work_is_no_failure(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """That is what they are for; the JSON has each order in its place."""
    events = (
        status("g:entry", OrderStatus.FILLED),
        status("g:profit", OrderStatus.SUBMITTED),
        status("g:stop", OrderStatus.SUBMITTED),
    )
    assert play(send_bracket(BRACKET, wait_s=0.5, as_json=True), *events) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["group_id"], [one["status"] for one in told["orders"]]) == ("g", ["filled", "submitted", "submitted"])
    assert "still being worked" in err


@pytest.mark.parametrize(
    "last",
    [
        (status("g:stop", OrderStatus.REJECTED),),
        (status("g:stop", OrderStatus.REJECTED), status("g:profit", OrderStatus.CANCELLED)),
    ],
)
def test_a_bracket_without_its_exits_is_a_failure(play: Play, last: tuple[OrderEvent, ...]) -> None:
    """A position may be open without them: either the status says so, or the error which order did not answer."""
    events = status("g:entry", OrderStatus.FILLED), *last
    if len(last) == 1:
        with pytest.raises(GroupUnresolvedError, match="g:profit not answered"):
            play(send_bracket(BRACKET, wait_s=0.5, as_json=True), *events)
    else:
        assert play(send_bracket(BRACKET, wait_s=10, as_json=True), *events) == 1


def test_a_bracket_that_was_refused_is_a_failure(play: Play) -> None:
    """All its orders are rejected."""
    events = [status(f"g:{name}", OrderStatus.REJECTED) for name in ("entry", "profit", "stop")]
    assert play(send_bracket(BRACKET, wait_s=10, as_json=True), *events) == 1


def test_a_change_that_is_refused_says_why(play: Play) -> None:
    """The refusal of another request is not its own."""
    events = (
        refused("orders.cancel.v1", Reason.UNKNOWN_ORDER),
        refused("orders.modify.v1", Reason.ORDER_IS_FINAL, status=OrderStatus.FILLED),
    )
    with pytest.raises(RequestRefusedError, match="order_is_final"):
        play(change_order("mine", {"limit_price": "1"}, wait_s=10), *events)


def test_a_change_is_told(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """With the order's next status; or with silence, which is no refusal as long as a broker is there to refuse."""
    assert play(change_order("mine", {"quantity": "5"}, wait_s=10), status("mine", OrderStatus.SUBMITTED)) == 0
    assert capsys.readouterr().out == "submitted\n"
    assert play(change_order("mine", {"quantity": "5"}, wait_s=0.3)) == 0
    assert "not refused within 0.3 s" in capsys.readouterr().err
    with pytest.raises(InvalidRequestError, match="nothing to change"):
        play(change_order("mine", {}, wait_s=10))


def test_a_change_that_nobody_takes_is_a_failure(play: Play) -> None:
    """Without a broker, silence means nothing."""
    with pytest.raises(NoAnswerError, match="no broker is alive"):
        play(change_order("mine", {"quantity": "5"}, wait_s=0.3), alive=False)


@pytest.mark.parametrize(
    ("ending", "code"), [(OrderStatus.CANCELLED, 0), (OrderStatus.FILLED, 1)], ids=["cancelled", "filled first"]
)
def test_a_cancel_is_told_to_its_end(
    play: Play, capsys: pytest.CaptureFixture[str], ending: OrderStatus, code: int
) -> None:
    """Success is a cancelled order; one that filled first is told as such."""
    events = status("mine", OrderStatus.PENDING_CANCEL), status("mine", ending)
    assert play(cancel_order("mine", wait_s=10), *events) == code
    assert capsys.readouterr().out.splitlines() == ["pending cancel", ending.value]


def test_a_cancel_of_no_order_says_so(play: Play) -> None:
    """The broker's reason is the command's."""
    with pytest.raises(RequestRefusedError, match="unknown_order"):
        play(cancel_order("mine", wait_s=10), refused("orders.cancel.v1", Reason.UNKNOWN_ORDER))


def test_operators_words_are_written(play: Play, redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With who says so: the name that was given, or the user's. A broker that is not there is mentioned."""
    assert play(halt_trading("news", who="ops", cancel_orders=True)) == 0
    assert play(resume_trading("", who="")) == 0
    assert play(accept_held("moved in", who="ops", account="DU1", con_id=7)) == 0
    assert "no broker" not in capsys.readouterr().err
    halt, resume, accept = written(redis_url, SYSTEM_CONTROL)
    assert isinstance(halt, Halt)
    assert (halt.who, halt.why, halt.cancel_orders) == ("ops", "news", True)
    assert isinstance(resume, Resume)
    assert resume.who
    assert isinstance(accept, AcceptPositions)
    assert (accept.who, accept.account, accept.con_id) == ("ops", "DU1", 7)


def test_settling_an_order_tells_its_outcome(play: Play, redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its exit status says whether it has one now."""
    assert play(settle("mine", "filled", "seen", who="ops", wait_s=10), status("mine", OrderStatus.FILLED)) == 0
    assert capsys.readouterr().out.splitlines() == ["filled"]
    (word,) = written(redis_url, SYSTEM_CONTROL)
    assert isinstance(word, SettleOrder)
    assert (word.client_order_id, word.status, word.who, word.why) == ("mine", "filled", "ops", "seen")
    assert play(settle("mine", "filled", "seen", who="ops", wait_s=0)) == 0
    assert "asked to settle mine" in capsys.readouterr().err


def test_an_order_that_is_not_settled_is_said_to_be_so(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """It was not unknown."""
    assert play(settle("mine", "cancelled", "seen", who="", wait_s=0.2)) == 1
    assert "only an order that is unknown" in capsys.readouterr().err


def test_an_order_that_nobody_is_there_to_settle(play: Play) -> None:
    """The word lies in the stream, and whoever wrote it is told."""
    with pytest.raises(NoAnswerError, match="no broker is alive"):
        play(settle("mine", "cancelled", "seen", who="", wait_s=0.2), alive=False)


def test_a_halt_without_a_broker_stands_all_the_same(
    play: Play, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lies in the stream for the broker that starts next, and whoever wrote it is told."""
    assert play(halt_trading("news", who="ops", cancel_orders=False), alive=False) == 0
    assert "no broker is alive" in capsys.readouterr().err
    assert len(written(redis_url, SYSTEM_CONTROL)) == 1


def test_cancel_all_is_written_with_its_filters(play: Play, redis_url: str) -> None:
    """Instruments in words, as everywhere."""
    told = cancel_all_orders(strategy="pairs", symbol="", instrument="ES 202612 @CME", account="DU1")
    assert play(told) == 0
    (request,) = written(redis_url, ORDER_REQUESTS)
    assert (request.strategy, request.instrument.security_type, request.account) == ("pairs", "FUT", "DU1")  # type: ignore[attr-defined]
