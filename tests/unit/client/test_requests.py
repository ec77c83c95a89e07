"""Requests as callers say them and as readers read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ibstream.client import InvalidRequestError
from ibstream.client.requests import algo_of, modify_request, order_request
from ibstream.contracts.orders import Algo, AlgoName, OrderType, Side, SubmitOrder, TimeInForce

NOW = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)


def order(**details: Any) -> SubmitOrder:
    return order_request("AAPL", "BUY", 10, details, strategy="test", now=NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("details", "order_type"),
    [
        ({}, OrderType.MARKET),
        ({"limit_price": "1"}, OrderType.LIMIT),
        ({"limit_price": None, "stop_price": None}, OrderType.MARKET),
        ({"order_type": "LOC", "limit_price": "1"}, OrderType.LIMIT_ON_CLOSE),
        ({"order_type": OrderType.STOP, "stop_price": "1"}, OrderType.STOP),
        ({"order_type": "STP LMT", "stop_price": "1", "limit_price": "1"}, OrderType.STOP_LIMIT),
        ({"order_type": "TRAIL", "trailing_percent": "1.5"}, OrderType.TRAIL),
    ],
)
def test_the_order_type_is_said_or_follows_from_the_limit(details: dict[str, Any], order_type: OrderType) -> None:
    """A limit price alone makes a limit order and no price a market order; everything else is said."""
    assert order(**details).order_type is order_type


@pytest.mark.parametrize("name", ["stop_price", "trailing_amount", "trailing_percent", "limit_offset", "peg_offset"])
def test_other_prices_want_the_type_said(name: str) -> None:
    """A stop price can mean four order types, so none is guessed."""
    with pytest.raises(InvalidRequestError, match=f"{name}.*order_type.*STP LMT"):
        order(**{name: "1"})
    with pytest.raises(InvalidRequestError, match="order_type"):
        order(**{name: "1", "limit_price": "1"})


def test_every_detail_reaches_the_request() -> None:
    """What is said is what is asked for: exact numbers, aware times, the contract's own types."""
    details: dict[str, Any] = {
        "order_type": "TRAIL LIMIT",
        "stop_price": "268.90",
        "trailing_amount": Decimal("2.5"),
        "limit_offset": "0.10",
        "good_till": NOW + timedelta(days=3),
        "good_after": NOW + timedelta(hours=1),
        "client_order_id": "mine-1",
        "account": "DU1",
        "outside_regular_hours": True,
        "valid_until": NOW + timedelta(seconds=5),
    }
    made = order(**details)
    assert {name: getattr(made, name) for name in details} == {
        **details,
        "stop_price": Decimal("268.90"),
        "limit_offset": Decimal("0.10"),
    }
    assert (made.strategy, made.requested_at, made.side) == ("test", NOW, Side.BUY)
    assert made.time_in_force is TimeInForce.GTD


def test_a_time_in_force_that_is_said_stands() -> None:
    """`good_till` implies GTD where nothing is said, and contradicts nobody: the broker says what does not go together."""
    assert order(good_till=NOW, time_in_force="DAY").time_in_force is TimeInForce.DAY
    assert order().time_in_force is TimeInForce.DAY


@pytest.mark.parametrize("name", ["good_till", "good_after", "valid_until"])
def test_times_without_a_zone_are_refused(name: str) -> None:
    """Nobody has to guess whose nine o'clock is meant."""
    with pytest.raises(InvalidRequestError, match=f"timezone.*{name}"):
        order(**{name: NOW.replace(tzinfo=None)})


def test_ids_are_random_unless_given() -> None:
    """Two orders are two orders."""
    assert order().client_order_id != order().client_order_id
    assert order(client_order_id="mine").client_order_id == "mine"


def test_a_detail_nobody_knows_is_an_error() -> None:
    """A misspelt price must not be dropped silently."""
    with pytest.raises(TypeError, match="limt_price"):
        order(limt_price="1")


@pytest.mark.parametrize(
    ("words", "algo"),
    [
        (None, None),
        ("Adaptive", Algo(name=AlgoName.ADAPTIVE)),
        (
            "Vwap:maxPctVol=0.1,startTime=20261123-15:00:00",
            Algo(name=AlgoName.VWAP, parameters={"maxPctVol": "0.1", "startTime": "20261123-15:00:00"}),
        ),
        (Algo(name=AlgoName.TWAP), Algo(name=AlgoName.TWAP)),
    ],
)
def test_an_algo_in_words(words: Algo | str | None, algo: Algo | None) -> None:
    """Name, colon, parameters with commas between; a time in them keeps its colons."""
    assert algo_of(words) == algo
    assert order(algo=words).algo == algo


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("adaptive", "Adaptive, Twap, Vwap"),
        ("", "no algorithm"),
        ("Vwap:", None),
        ("Vwap:maxPctVol", "KEY=VALUE"),
        ("Vwap:=1", "KEY=VALUE"),
        ("Vwap:a=1,", "KEY=VALUE"),
    ],
)
def test_an_algo_that_is_none(words: str, told: str | None) -> None:
    """The error names what there is; a colon with nothing behind it says nothing."""
    if told is None:
        assert algo_of(words) == Algo(name=AlgoName.VWAP)
        return
    with pytest.raises(InvalidRequestError, match=told):
        algo_of(words)


def test_a_modify_says_what_changes() -> None:
    """What is left out stays None, which means as it is."""
    made = modify_request("mine", {"stop_price": "262.5", "time_in_force": "IOC"}, now=NOW)
    assert (made.stop_price, made.time_in_force) == (Decimal("262.5"), TimeInForce.IOC)
    assert (made.quantity, made.limit_price, made.trailing_amount, made.trailing_percent) == (None, None, None, None)
    assert modify_request("mine", {"trailing_percent": 2, "quantity": "5"}, now=NOW).trailing_percent == 2


@pytest.mark.parametrize("changes", [{}, {"quantity": None}, {"valid_until": NOW}])
def test_a_modify_of_nothing_is_refused(changes: Any) -> None:
    """It would cost a message and change nothing."""
    with pytest.raises(InvalidRequestError, match="nothing to change"):
        modify_request("mine", changes, now=NOW)
