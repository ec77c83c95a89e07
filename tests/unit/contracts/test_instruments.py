"""What instruments are called: by people, and by quotes, where the name is part of keys and of stream names."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream.contracts.instrument import Instrument, label, quote_symbol

FUTURE = Instrument(symbol="ES", security_type="FUT", expiry="202612", exchange="CME")
OPTION = Instrument(symbol="SPX", security_type="OPT", expiry="20261218", strike=Decimal("5000.5"), right="C")


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        (Instrument(symbol="AAPL"), "AAPL"),
        (Instrument(symbol="BRK.B", primary_exchange="NYSE"), "BRK.B"),
        (Instrument(symbol="AAPL", exchange="ARCA"), "AAPL @ARCA"),
        (Instrument(symbol="SAP", currency="EUR", primary_exchange="IBIS"), "SAP EUR"),
        (Instrument(symbol="EUR", security_type="CASH", exchange="IDEALPRO"), "EUR.USD"),
        (Instrument(symbol="EUR", security_type="CASH"), "EUR.USD"),
        (Instrument(symbol="USD", security_type="CASH", currency="JPY", exchange="IDEALPRO"), "USD.JPY"),
        (FUTURE, "ES 202612"),
        (msgspec.structs.replace(FUTURE, multiplier="1000"), "ES 202612 x1000"),
        (msgspec.structs.replace(FUTURE, currency="EUR", exchange="EUREX"), "ES 202612 EUR"),
        (OPTION, "SPX 20261218 5000.5 C"),
        (msgspec.structs.replace(OPTION, trading_class="SPXW", multiplier="100"), "SPX 20261218 5000.5 C x100 SPXW"),
        (msgspec.structs.replace(OPTION, exchange="CBOE"), "SPX 20261218 5000.5 C @CBOE"),
        (Instrument(symbol="SPX", security_type="IND", exchange="CBOE"), "SPX IND"),
        (Instrument(symbol="DAX", security_type="IND", exchange="EUREX", currency="EUR"), "DAX IND EUR"),
    ],
)
def test_what_quotes_call_an_instrument(instrument: Instrument, name: str) -> None:
    """These never change: keys, streams and foreign consumers depend on them."""
    assert quote_symbol(instrument) == name
    assert name.startswith(label(instrument))


def test_where_a_contract_is_listed_is_no_part_of_its_name() -> None:
    """Two consumers, one of which knows the primary exchange, mean one thing and share one subscription."""
    assert quote_symbol(Instrument(symbol="AAPL", primary_exchange="NASDAQ")) == quote_symbol(Instrument(symbol="AAPL"))


@pytest.mark.parametrize(
    ("written", "named"),
    [("250", "250"), ("250.0", "250"), ("2.5E2", "250"), ("25E+1", "250"), ("2.50", "2.5"), ("1E-3", "0.001")],
)
def test_a_strike_has_one_name_however_it_is_written(written: str, named: str) -> None:
    """Or one option would be three symbols, with three subscriptions."""
    option = msgspec.structs.replace(OPTION, strike=Decimal(written))
    assert quote_symbol(option) == label(option) == f"SPX 20261218 {named} C"


@given(st.decimals(min_value="0.0001", max_value=10**9, places=4), st.integers(0, 6))
def test_the_name_of_a_strike_says_its_value(strike: Decimal, zeros: int) -> None:
    """In full and without an exponent, so that it can be read back; zeros behind it change nothing."""
    exact = msgspec.structs.replace(OPTION, strike=strike)
    padded = msgspec.structs.replace(OPTION, strike=Decimal(f"{strike:f}" + "0" * zeros))
    words = quote_symbol(exact).split()
    assert (Decimal(words[2]), "E" in words[2]) == (strike, False)
    assert quote_symbol(padded) == quote_symbol(exact)


@pytest.mark.parametrize("written", ["1E+999999", "1E-999999", "NaN", "sNaN", "Infinity"])
def test_what_is_no_strike_has_a_short_name(written: str) -> None:
    """A name is also asked for of what is then refused; it must neither fail nor fill the memory."""
    assert len(quote_symbol(msgspec.structs.replace(OPTION, strike=Decimal(written)))) < 40
