"""From the fields of a contract to the instruments that fit, and what details tell of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import to_ns
from ibstream_gateway_emulator.domain import contracts
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.contract_data import contract_data, trading_date
from ibstream_gateway_emulator.protocol.fields import Contract

MASTER = InstrumentMaster(["AAPL", "TSLA", "BRK.B", "AMZN"])
NOW = to_ns(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
MARKET = Market(7)


def spot(key: str) -> float:
    return MARKET.day(key, NOW).previous_close


def keys(contract: Contract, **options: Any) -> list[str]:
    return [found.symbol for found in contracts.find_all(MASTER, contract, NOW, spot=spot, **options)]


def test_a_stock_is_found_by_symbol_local_symbol_and_contract_id() -> None:
    assert keys(Contract(symbol="AAPL", security_type="STK", exchange="SMART", currency="USD")) == ["AAPL"]
    assert keys(Contract(local_symbol="BRK B", security_type="STK")) == ["BRK.B"]
    assert keys(Contract(con_id=265598)) == ["AAPL"]
    assert keys(Contract(con_id=265598, symbol="TSLA", security_type="STK")) == []


@pytest.mark.parametrize(
    "contract",
    [
        Contract(symbol="BRK.B", security_type="STK"),
        Contract(symbol="ZZZQ", security_type="STK"),
        Contract(symbol="AAPL", security_type="STK", exchange="CME"),
        Contract(symbol="AAPL", security_type="STK", currency="EUR"),
        Contract(symbol="AAPL", security_type="STK", primary_exchange="NYSE"),
        Contract(symbol="ES", security_type="FUT", exchange="SMART"),
        Contract(symbol="ES", security_type="FUT", last_trade_date="202611"),
        Contract(symbol="ES", security_type="FUT", multiplier="5"),
        Contract(symbol="AAPL", security_type="OPT", last_trade_date="20261219"),
        Contract(symbol="AAPL", security_type="OPT", strike="nonsense"),
        Contract(symbol="AAPL", security_type="BOND"),
        Contract(con_id=1),
    ],
)
def test_what_does_not_exist_is_not_found(contract: Contract) -> None:
    assert keys(contract) == []
    with pytest.raises(RequestError) as refused:
        contracts.find_one(MASTER, contract, NOW)
    assert refused.value.code.code == 200


def test_a_future_without_an_expiry_is_all_its_months_nearest_first() -> None:
    found = keys(Contract(symbol="ES", security_type="FUT", exchange="CME", currency="USD"))
    assert found[:3] == ["ESZ2026", "ESH2027", "ESM2027"]
    assert len(found) == 8
    with pytest.raises(RequestError, match="ambiguous") as refused:
        contracts.find_one(MASTER, Contract(symbol="ES", security_type="FUT", exchange="CME"), NOW)
    assert refused.value.code.code == 200


@pytest.mark.parametrize(
    "contract",
    [
        Contract(symbol="ES", security_type="FUT", last_trade_date="202612", exchange="CME"),
        Contract(symbol="ES", security_type="FUT", last_trade_date="20261218", exchange="CME"),
        Contract(symbol="ES", security_type="FUT", last_trade_date="202612", multiplier="50"),
        Contract(local_symbol="ESZ6", security_type="FUT"),
        Contract(symbol="ES", security_type="CONTFUT", exchange="CME"),
    ],
)
def test_one_month_of_a_future_is_named_in_several_ways(contract: Contract) -> None:
    assert keys(contract) == ["ESZ2026"]


def test_expired_months_are_found_only_where_they_are_wanted() -> None:
    contract = Contract(con_id=770561194, symbol="MES", security_type="FUT", exchange="CME", currency="USD")
    assert keys(contract) == []
    assert keys(contract, include_expired=True) == ["MESM2026"]
    all_of_them = keys(Contract(symbol="MES", security_type="FUT"), include_expired=True)
    assert {"MESZ2026", "MESU2026", "MESM2026", "MESZ2025"} <= set(all_of_them)


def test_a_continuous_future_is_none_where_an_instrument_is_needed() -> None:
    with pytest.raises(RequestError) as refused:
        contracts.find_one(MASTER, Contract(symbol="ES", security_type="CONTFUT"), NOW)
    assert refused.value.code.code == 321


def test_an_option_may_be_named_in_part() -> None:
    whole = Contract(symbol="AAPL", security_type="OPT", last_trade_date="20261218", strike="250", right="C")
    [one] = keys(whole)
    assert one == "AAPL  261218C00250000"
    assert contracts.find_one(MASTER, whole, NOW).symbol == one
    both = keys(Contract(symbol="AAPL", security_type="OPT", last_trade_date="20261218", strike="250.0"))
    assert both == [one, "AAPL  261218P00250000"]
    calls = keys(Contract(symbol="AAPL", security_type="OPT", last_trade_date="20261218", right="CALL"))
    assert all(key.startswith("AAPL  261218C") for key in calls)
    assert len(calls) > 20
    month = keys(Contract(symbol="AAPL", security_type="OPT", last_trade_date="202612", right="P"))
    assert {key[6:12] for key in month} > {"261218"}
    chain = keys(Contract(symbol="AAPL", security_type="OPT", exchange="SMART", currency="USD"))
    assert len(month) < len(chain) <= contracts.FOUND_MAX
    assert keys(Contract(local_symbol=one, security_type="OPT")) == [one]


def test_an_option_is_found_again_by_its_contract_id() -> None:
    found = contracts.find_one(MASTER, Contract(local_symbol="TSLA  261218P00300000", security_type="OPT"), NOW)
    assert contracts.find_one(MASTER, Contract(con_id=found.con_id), NOW) == found


def test_pairs_and_indices() -> None:
    assert keys(Contract(symbol="EUR", security_type="CASH", currency="USD", exchange="IDEALPRO")) == ["EUR.USD"]
    assert keys(Contract(local_symbol="USD.JPY", security_type="CASH")) == ["USD.JPY"]
    assert len(keys(Contract(symbol="EUR", security_type="CASH"))) > 3
    assert keys(Contract(symbol="SPX", security_type="IND", exchange="CBOE")) == ["SPX"]


@pytest.mark.parametrize(
    ("kind", "cause"), [("BAG", "'BAG' isn't supported"), ("STOCK", "valid security type"), ("", "valid security type")]
)
def test_a_type_that_there_is_not_is_said_to_be_none(kind: str, cause: str) -> None:
    with pytest.raises(RequestError, match=cause) as refused:
        keys(Contract(symbol="AAPL", security_type=kind))
    assert refused.value.code.code == 321


def test_details_of_a_stock_are_as_recorded() -> None:
    """grounded_contract_details_aapl, and the order types and hours of the TSLA lines of wire-samples.txt."""
    found = contracts.find_one(MASTER, Contract(con_id=265598), NOW)
    data = contract_data(1, found, "SMART", NOW)
    assert (data.symbol, data.local_symbol, data.trading_class, data.market_name) == ("AAPL", "AAPL", "NMS", "NMS")
    assert (data.primary_exchange, data.long_name, str(data.min_tick)) == ("NASDAQ", "APPLE INC", "0.01")
    assert (data.time_zone_id, data.stock_type) == ("US/Eastern", "COMMON")
    assert data.liquid_hours.startswith("20261123:0930-20261123:1600;20261124:0930-20261124:1600")
    assert "20261126:CLOSED" in data.trading_hours
    assert "20261127:0930-20261127:1300" in data.liquid_hours
    exchanges = data.valid_exchanges.split(",")
    assert data.market_rule_ids.split(",") == ["26"] * len(exchanges)
    assert {"MOC", "REL", "MIDPX"} <= set(data.order_types.split(","))
    assert "MOC" not in contract_data(1, found, "AMEX", NOW).order_types.split(",")


def test_details_of_a_future_are_as_recorded() -> None:
    """The ES line of wire-samples.txt."""
    then = to_ns(datetime(2025, 5, 22, 15, 0, tzinfo=UTC))
    found = contracts.find_one(MASTER, Contract(con_id=620731015), then)
    data = contract_data(1, found, "CME", then)
    assert data.last_trade_date == "20250620 08:30 US/Central"
    assert (data.local_symbol, data.market_name, data.trading_class, data.con_id) == ("ESM5", "ES", "ES", 620731015)
    assert (str(data.min_tick), data.multiplier, data.under_con_id, data.long_name) == (
        "0.25",
        "50",
        11004968,
        "E-mini S&P 500",
    )
    assert (data.contract_month, data.real_expiration_date, data.time_zone_id) == ("202506", "20250620", "US/Central")
    assert (data.under_symbol, data.under_security_type, data.aggregate_group) == ("ES", "IND", None)
    assert data.market_rule_ids == "67,67"
    assert data.trading_hours == (
        "20250521:1700-20250522:1600;20250522:1700-20250523:1600;20250524:CLOSED;20250525:1700-20250526:1200;"
        "20250526:1700-20250527:1600;20250527:1700-20250528:1600"
    )


def test_in_the_evening_a_future_trades_for_the_next_day_already() -> None:
    found = contracts.find_one(MASTER, Contract(local_symbol="ESZ6", security_type="FUT"), NOW)
    before, after = (to_ns(datetime(2026, 11, 23, hour, 0, tzinfo=UTC)) for hour in (22, 23))
    assert [trading_date(found, at).day for at in (before, after)] == [23, 24]
