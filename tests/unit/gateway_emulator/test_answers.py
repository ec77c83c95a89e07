"""Whatever fields a client sends, it gets an answer: never silence where one is due, never a defect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibstream.runtime.clock import ManualClock
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.portfolio import ACCOUNT_REFRESH_NS
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.handlers import HANDLERS, answer
from ibstream_gateway_emulator.protocol import requests
from ibstream_gateway_emulator.protocol.messages import (
    AccountUpdateTime,
    AccountValue,
    Error,
    Message,
    PortfolioValue,
    PositionData,
    encode,
)
from ibstream_gateway_emulator.protocol.requests import REQUESTS
from ibstream_gateway_emulator.settings import EmulatorSettings

MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
AAPL = ("265598", "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
SNAPSHOT = ("1", "11", "7", *AAPL, "0", "", "1", "0", "")
STREAM = ("1", "11", "7", *AAPL, "0", "", "0", "0", "")
PLACE_HEAD = ("3", "7", *AAPL, "", "", "BUY", "10", "MKT", "", "", "DAY", "", "", "", "0", "", "1")
MARKET_ORDER = PLACE_HEAD + tuple(
    # parentId to deltaNeutralAuxPrice
    "0 0 0 0 0 0 0 _ 0.0 _ _ _ _ _ _ 0 _ -1 0 _ _ 0 _ _ 0 0 _ 0 _ _ _ _ _ 0 _ _ _ _"
    # continuousUpdate to autoCancelParent, advancedErrorOverride, manualOrderTime
    " 0 _ _ _ _ _ _ _ _ _ _ 0 _ _ 0 0 _ _ 0 _ 0 0 0 0 _ _ _ _ _ _ 0 _ _ _ _ _ _ _ _ 0 0 0 _ _ 0 0 _ _".replace(
        "_", "-empty-"
    ).split()
)


class Recorder:
    """Stands where a connection stands and keeps what is sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.is_congested = False
        self.closed = ""

    def send(self, messages: Iterable[Message]) -> None:
        self.messages += messages

    def send_frames(self, frames: bytes) -> None:
        raise AssertionError(f"{len(frames)} bytes of ticks, which no test here asks for")

    def abort(self) -> None:
        raise AssertionError("the client is cut off")

    def send_apart(self, work: Callable[[], Message], wanted: Callable[[], bool]) -> None:
        message = work()
        if wanted():
            self.messages.append(message)

    def close(self, reason: str) -> None:
        self.closed = reason


def gateway_with_client() -> tuple[Gateway, Client, Recorder, ManualClock]:
    clock = ManualClock(MONDAY)
    gateway = Gateway(EmulatorSettings(symbols=("AAPL", "MSFT")), clock)
    recorder = Recorder()
    client = Client(1, recorder)
    assert gateway.join(client) is None
    return gateway, client, recorder, clock


def ask(gateway: Gateway, client: Client, *fields: str) -> list[Message]:
    return list(answer(gateway, client, fields, 178))


texts = st.one_of(
    st.sampled_from(
        ["", "0", "1", "2", "7", "-1", "1 D", "1 day", "TRADES", "AAPL", "STK", "SMART", "USD", "BAG", "265598"]
    ),
    st.sampled_from(["LMT", "MKT", "BUY", "1.5", "NaN", "1E999", "99999999999", "DAY", "true", "20261123-15:00:00"]),
    st.text(max_size=6).filter(lambda text: "\0" not in text),
)


@settings(max_examples=400, deadline=None)
@given(st.integers(-1, 120), st.lists(texts, max_size=130))
def test_any_fields_are_answered_and_the_answer_can_be_sent(kind: int, fields: list[str]) -> None:
    gateway, client, recorder, _ = gateway_with_client()
    messages = [*ask(gateway, client, str(kind), *fields), *recorder.messages]
    assert all(encode(message, 178) for message in messages)
    if kind not in REQUESTS:
        [error] = messages
        assert isinstance(error, Error)
        assert error.code == 322


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([SNAPSHOT, STREAM]), st.data())
def test_one_spoilt_field_is_an_answer_too(fields: tuple[str, ...], data: st.DataObject) -> None:
    gateway, client, _, _ = gateway_with_client()
    place = data.draw(st.integers(1, len(fields) - 1))
    spoilt = (*fields[:place], data.draw(texts), *fields[place + 1 :])
    assert ask(gateway, client, *spoilt)


def test_every_request_that_is_read_is_handled() -> None:
    """Only startApi has no handler: it is over by then."""
    assert set(HANDLERS) == set(REQUESTS.values()) - {requests.StartApi}


@pytest.mark.parametrize(
    ("fields", "req_id", "code"),
    [
        (("86", "55", "265598", "BRFG", "", "", "10", ""), 55, 322),
        (("52", "2", "56", "265598"), 56, 322),
        (("55", "3", "57", *AAPL, "0.2", "100", "0", ""), 57, 321),
        (("18", "1", "1"), -1, 322),
        (("4711", "1", "2"), -1, 322),
        (("1", "11", "58", "not a number"), 58, 320),
        (("20", "59"), 59, 320),
        (("nonsense",), -1, 320),
        (("71", "2", "1", ""), -1, 322),
        (("59", "1", "9"), -1, 321),
    ],
)
def test_an_error_carries_the_id_of_its_request(fields: tuple[str, ...], req_id: int, code: int) -> None:
    gateway, client, _, _ = gateway_with_client()
    [error] = ask(gateway, client, *fields)
    assert isinstance(error, Error)
    assert (error.req_id, error.code) == (req_id, code)


def test_followers_hear_of_a_trade_and_later_of_the_market() -> None:
    gateway, client, recorder, clock = gateway_with_client()
    ask(gateway, client, "61", "1")
    ask(gateway, client, "6", "2", "1", "")
    order = tuple("" if field == "-empty-" else field for field in MARKET_ORDER)
    assert ask(gateway, client, *order) == []
    told = [type(message) for message in recorder.messages]
    for kind in (PositionData, PortfolioValue, AccountValue, AccountUpdateTime):
        assert kind in told
    recorder.messages.clear()
    clock.advance(1)
    gateway.step()
    assert recorder.messages == []
    clock.advance(ACCOUNT_REFRESH_NS / 1e9)
    gateway.step()
    told = [type(message) for message in recorder.messages]
    assert AccountValue in told
    assert PortfolioValue in told
    assert PositionData not in told
