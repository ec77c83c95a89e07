"""Instruments in words and by kind: what each becomes, and what nobody could trade."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

import ibstream
from ibstream.client import InvalidRequestError, combo, future, fx, leg, option, stock
from ibstream.client.instruments import SYNTAX, instrument_of
from ibstream.contracts.instrument import Instrument, label
from ibstream.contracts.orders import Side


@pytest.mark.parametrize(
    ("words", "instrument"),
    [
        ("AAPL", Instrument(symbol="AAPL")),
        ("BRK.B", Instrument(symbol="BRK.B")),
        ("BAC.PRK", Instrument(symbol="BAC.PRK")),
        ("SPY @ARCA", Instrument(symbol="SPY", exchange="ARCA")),
        ("EUR.USD", Instrument(symbol="EUR", currency="USD", security_type="CASH", exchange="IDEALPRO")),
        ("ES 202612 @CME", Instrument(symbol="ES", security_type="FUT", expiry="202612", exchange="CME")),
        ("ES  20261218  @CME", Instrument(symbol="ES", security_type="FUT", expiry="20261218", exchange="CME")),
        (
            "AAPL 20261218 252.5 P",
            Instrument(symbol="AAPL", security_type="OPT", expiry="20261218", strike=Decimal("252.5"), right="P"),
        ),
        (
            "AAPL 20261218 250 C @CBOE",
            Instrument(
                symbol="AAPL", security_type="OPT", expiry="20261218", strike=Decimal(250), right="C", exchange="CBOE"
            ),
        ),
    ],
)
def test_words_name_an_instrument(words: str, instrument: Instrument) -> None:
    """A stock with a dot is no pair, and a preferred share is none either; spaces may be many."""
    assert instrument_of(words) == instrument
    assert instrument_of(instrument) is instrument


@pytest.mark.parametrize("instrument", [stock("BRK.B"), fx("EUR", "USD"), option("AAPL", "20261218", "250", "C")])
def test_what_is_shown_can_be_said(instrument: Instrument) -> None:
    """The short name under which an instrument is shown names it again, where it needs no exchange."""
    assert instrument_of(label(instrument)) == instrument


def test_every_example_of_the_syntax_can_be_said() -> None:
    """What an error recommends works."""
    assert [instrument_of(words).security_type for words in SYNTAX.split(", ")] == ["STK", "CASH", "FUT", "OPT"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("aapl", "symbol"),
        ("", "symbol"),
        ("@CME", "names no instrument"),
        ("AAPL 250 C", "names no instrument"),
        ("AAPL 250", "names no instrument"),
        ("ES 202612", "ES 202612 @CME"),
        ("AAPL 20261218 high C", "strike"),
        ("AAPL 20261218 NaN C", "strike"),
        ("AAPL 20261218 250 CALL", "right"),
        ("AAPL 20261218 250 C C", "names no instrument"),
        ("BRK B", "names no instrument"),
    ],
)
def test_what_names_nothing_is_said(words: str, told: str) -> None:
    """The error names the part that is wrong, or shows what could be said instead."""
    with pytest.raises(InvalidRequestError, match=told):
        instrument_of(words)


def test_each_kind_by_what_it_needs() -> None:
    """Constructors fill in what the kind of instrument is and leave the rest to be said where it is needed."""
    assert stock("SAP", currency="EUR", primary_exchange="IBIS").primary_exchange == "IBIS"
    silver = future("SI", "202612", exchange="COMEX", multiplier="5000", trading_class="SI")
    assert (silver.security_type, silver.multiplier, silver.trading_class) == ("FUT", "5000", "SI")
    index = option("SPX", "20261218", 6900, "P", trading_class="SPXW")
    assert (index.strike, index.trading_class, index.exchange) == (Decimal(6900), "SPXW", "SMART")


def test_a_combo_of_legs_in_words() -> None:
    """Legs say what a BUY of the combo does to them, and in which ratio."""
    covered = combo("AAPL", [leg("BUY", "AAPL", 100), leg(Side.SELL, "AAPL 20261218 280 C")])
    assert covered.security_type == "BAG"
    assert [(one.side, one.ratio, one.instrument.security_type) for one in covered.legs] == [
        (Side.BUY, 100, "STK"),
        (Side.SELL, 1, "OPT"),
    ]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: leg("HOLD", "AAPL"), "side"),
        (lambda: leg("BUY", "AAPL", 0), "ratio"),
        (lambda: leg("BUY", combo("AAPL", [leg("BUY", "AAPL"), leg("SELL", "MSFT")])), "legs itself"),
        (lambda: combo("AAPL", [leg("BUY", "AAPL")] * 9), "legs"),
        (lambda: fx("EUR", "dollars"), "currency"),
        (lambda: future("ES", "December", exchange="CME"), "expiry"),
        (lambda: option("AAPL", "20261218", 250.0, "C"), "float"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_made_is_said(made: Callable[[], object], told: str) -> None:
    """At once, by the field's name, and not when the broker reads it."""
    with pytest.raises(InvalidRequestError, match=told):
        made()


def test_the_package_hands_out_the_constructors() -> None:
    """`from ibstream import stock, option` is all a strategy needs."""
    assert (ibstream.stock, ibstream.fx, ibstream.future) == (stock, fx, future)
    assert (ibstream.option, ibstream.leg, ibstream.combo) == (option, leg, combo)
