"""The broker's rules as they follow from the settings."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from ibstream.runtime.risk_settings import RiskSettings, StrategyRiskSettings
from ibstream.runtime.settings import load_settings
from ibstream_broker.configured import restart_window, risk_limits
from ibstream_broker.domain.limits import Limits, RiskLimits
from ibstream_broker.domain.restart_window import RestartWindow


def test_without_settings_nothing_is_limited() -> None:
    """The defaults of the settings are those of the limits, and the Gateway restarts by no clock that we know."""
    assert risk_limits(load_settings()) == RiskLimits()
    assert restart_window(load_settings()) is None


def test_every_limit_can_be_set() -> None:
    """Each has a setting of its name, and each setting is a limit."""
    assert set(RiskSettings.model_fields) == {*Limits.__struct_fields__, "strategies"}
    own = set(StrategyRiskSettings.model_fields)
    assert own == {name for name in Limits.__struct_fields__ if not name.startswith("account_")}


def test_limits_as_they_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """General ones, and a strategy's whole: its own, and the general ones for what it does not name."""
    monkeypatch.setenv("SA_RISK__ORDER_QUANTITY_MAX", "100")
    monkeypatch.setenv("SA_RISK__SYMBOLS_DENIED", "GME,AMC")
    monkeypatch.setenv("SA_RISK__ACCOUNT_OPEN_ORDERS_MAX", "9")
    monkeypatch.setenv("SA_RISK__STRATEGIES", '{"a": {"order_quantity_max": 7, "short_allowed": false}}')
    limits = risk_limits(load_settings())
    general = Limits(
        order_quantity_max=Decimal(100), symbols_denied=frozenset({"GME", "AMC"}), account_open_orders_max=9
    )
    assert limits.of("b") == general
    assert (limits.of("a").order_quantity_max, limits.of("a").short_allowed) == (7, False)
    assert limits.of("a").symbols_denied == general.symbols_denied
    assert limits.of("a").account_open_orders_max == 9
    assert not limits.of("a").looks_at_quotes


@pytest.mark.parametrize("name", ["order_notional_max", "price_collar_percent", "strategy_position_notional_max"])
def test_which_limits_look_at_quotes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Those that need a price; without them no quote is read."""
    assert not risk_limits(load_settings()).general.looks_at_quotes
    monkeypatch.setenv(f"SA_RISK__{name.upper()}", "5")
    assert risk_limits(load_settings()).general.looks_at_quotes


def test_the_restart_window_as_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """At that time in that zone; a simulated broker has no Gateway to restart."""
    monkeypatch.setenv("SA_BROKER__IBKR__AUTO_RESTART_TIME", "23:50")
    monkeypatch.setenv("SA_BROKER__IBKR__AUTO_RESTART_ZONE", "Europe/Zurich")
    assert restart_window(load_settings()) == RestartWindow(time(23, 50), ZoneInfo("Europe/Zurich"))
    monkeypatch.setenv("SA_BROKER__PROVIDER", "simulated")
    assert restart_window(load_settings()) is None
