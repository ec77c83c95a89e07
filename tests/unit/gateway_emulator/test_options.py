"""What the command line says, as settings."""

from __future__ import annotations

import inspect
import json
import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ibstream.runtime.errors import ConfigurationError
from ibstream_gateway_emulator.__main__ import serve
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.options import limits_of, with_extras
from ibstream_gateway_emulator.settings import EmulatorSettings, Holding


def test_limits_are_those_of_ibkr_but_for_what_is_given() -> None:
    assert limits_of({"clients": None}, lifted=False, pacing=True) == Limits()
    given = limits_of({"clients": "3", "market_data_lines": "none"}, lifted=False, pacing=False)
    assert (given.clients, given.market_data_lines, given.historical_pacing) == (3, None, False)
    assert given.messages_per_s == Limits().messages_per_s


def test_no_limits_lifts_all_but_what_is_given() -> None:
    given = limits_of({"clients": "3"}, lifted=True, pacing=True)
    assert given == msgspec.structs.replace(Limits.lifted(), clients=3)


def test_every_limit_can_be_given_on_the_command_line() -> None:
    options = set(inspect.signature(serve).parameters)
    assert set(Limits.__struct_fields__) <= options


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "", "\u0663", "9" * 5_000])
def test_a_limit_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--depth-lines"):
        limits_of({"depth_lines": text}, lifted=False, pacing=True)


def test_any_setting_can_be_set_by_name_in_yaml() -> None:
    settings = with_extras(
        EmulatorSettings(symbols=("AAPL",)),
        ["tell_commission=false", "acknowledge_as=[Submitted]", "farms=[[2104, usfarm]]",
         "holdings=[{symbol: AAPL, quantity: '10', average_cost: '150.5'}]"],
    )  # fmt: skip
    assert not settings.tell_commission
    assert settings.acknowledge_as == ("Submitted",)
    assert settings.farms == ((2104, "usfarm"),)
    assert settings.holdings[0].quantity == 10


@pytest.mark.parametrize("text", ["nonsense=1", "tell_commission", "acknowledge_as=[Perhaps]", "port=[", "seed=high"])
def test_what_is_no_setting_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--set"):
        with_extras(EmulatorSettings(symbols=("AAPL",)), [text])


def test_several_settings_are_set_one_after_the_other() -> None:
    settings = with_extras(EmulatorSettings(symbols=("AAPL",)), ["seed=8", "limits={clients: 3}", "cash='5'"])
    assert (settings.seed, settings.limits, settings.cash) == (8, Limits(clients=3), 5)


def made(kind: type[Any], **fields: Any) -> Any:
    """Settings made in Python."""
    return kind(**fields)


BEYOND_THEIR_BOUNDS: list[tuple[str, Any, str]] = [
    ("port", 65_536, "<= 65535"),
    ("seed", -1, ">= 0"),
    ("account", "", "matching regex"),
    ("account", "DU1\0X", "matching regex"),
    ("account", "DU1\n", "matching regex"),
    ("cash", -1, ">= 0"),
    ("cash", 10**16, f"<= {10**15}"),
    ("first_order_id", -5, ">= 1"),
    ("first_order_id", 2**31, f"<= {2**31 - 1}"),
    ("master_client_id", -1, ">= 0"),
    ("acknowledge_as", [], "length >= 1"),
    ("acknowledge_as", ["Perhaps"], "allowed are PreSubmitted, Submitted"),
    ("base_currency", "XYZ", "allowed are USD, AUD"),
    ("tick_interval_ms", 0, ">= 1"),
    ("tick_interval_ms", 60_001, "<= 60000"),
    ("ticks_per_second", 0, ">= 1"),
    ("farms", [[0, "usfarm"]], ">= 1"),
    ("journal_messages", -1, ">= 0"),
    ("symbols", [""], "length >= 1"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BEYOND_THEIR_BOUNDS)
def test_a_setting_beyond_its_bounds_is_named_with_what_is_allowed(name: str, value: Any, allowed: str) -> None:
    """On the command line, and in Python, where it is made or replaced."""
    plain = EmulatorSettings(symbols=("AAPL",))
    given = tuple(value) if isinstance(value, list) else value
    with pytest.raises(ConfigurationError, match=f"--set {name}=.*{re.escape(allowed)}"):
        with_extras(plain, [f"{name}={json.dumps(value)}"])
    with pytest.raises(ConfigurationError, match=f"(?s){name} cannot be .*{re.escape(allowed)}"):
        made(EmulatorSettings, **{"symbols": ("AAPL",), name: given})
    with pytest.raises(ConfigurationError, match=f"{name} cannot be"):
        msgspec.structs.replace(plain, **{name: given})


@pytest.mark.parametrize("name", [one for one in Limits.__struct_fields__ if one != "historical_pacing"])
def test_no_limit_is_below_zero(name: str) -> None:
    """By whatever way it is given."""
    with pytest.raises(ConfigurationError, match=f"{name} cannot be -1: .*>= "):
        made(Limits, **{name: -1})
    with pytest.raises(ConfigurationError, match=rf"--set limits=.*>= .*\$.{name}"):
        with_extras(EmulatorSettings(symbols=("AAPL",)), [f"limits={{{name}: -1}}"])


@pytest.mark.parametrize("name", ["clients", "messages_per_s", "account_updates"])
def test_a_limit_of_nothing_at_all_is_refused_where_nothing_would_work(name: str) -> None:
    """None lifts a limit, and 0 is never taken for 1."""
    with pytest.raises(ConfigurationError, match=f"{name} cannot be 0: Expected `int` >= 1"):
        limits_of({name: "0"}, lifted=False, pacing=True)
    assert getattr(made(Limits, **{name: None}), name) is None


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (Holding(symbol="NOPE", quantity=Decimal(1), average_cost=Decimal(1)), "NOPE is no instrument here"),
        (Holding(symbol="BRK B", quantity=Decimal(1), average_cost=Decimal(1)), "BRK B is no instrument here"),
        (Holding(symbol="SPX", quantity=Decimal(1), average_cost=Decimal(1)), "SPX is an index"),
        (Holding(symbol="AAPL", quantity=Decimal("NaN"), average_cost=Decimal(1)), "AAPL needs a finite quantity"),
        (Holding(symbol="AAPL", quantity=Decimal(1), average_cost=Decimal("inf")), "AAPL needs a finite quantity"),
    ],
)
def test_what_nobody_can_hold_is_named_at_the_start(held: Holding, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"holdings: {said}"):
        Gateway(EmulatorSettings(symbols=("AAPL", "BRK.B"), holdings=(held,)))


def test_all_kinds_can_be_held() -> None:
    """Stocks, funds, pairs, futures and options, also short; an expired one too."""
    keys = ("BRK.B", "SPY", "EUR.USD", "ESZ2026", "ESM2025", "AAPL  261218C00250000")
    held = tuple(Holding(symbol=key, quantity=Decimal(-2), average_cost=Decimal("1.5")) for key in keys)
    gateway = Gateway(EmulatorSettings(symbols=("AAPL", "BRK.B"), holdings=held))
    assert {one.symbol: one.quantity for one in gateway.portfolio.held()} == dict.fromkeys(keys, Decimal(-2))
