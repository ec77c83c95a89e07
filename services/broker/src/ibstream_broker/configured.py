"""The broker's rules as they follow from the settings."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

from ibstream.runtime.risk_settings import RiskSettings
from ibstream.runtime.settings import Settings
from ibstream_broker.domain.limits import Limits, RiskLimits
from ibstream_broker.domain.restart_window import RestartWindow


def risk_limits(settings: Settings) -> RiskLimits:
    """Section `risk`."""
    risk = settings.risk
    own = {name: _limits(risk.of_strategy(name)) for name in risk.strategies}
    return RiskLimits(general=_limits(risk), strategies=own)


def restart_window(settings: Settings) -> RestartWindow | None:
    """`broker.ibkr.auto_restart_time` and its zone; None where there is none, or no Gateway."""
    at = settings.broker.ibkr.auto_restart_time
    if not at or settings.broker.provider != "ibkr":
        return None
    return RestartWindow(time.fromisoformat(at), ZoneInfo(settings.broker.ibkr.auto_restart_zone))


def _limits(risk: RiskSettings) -> Limits:
    values = {name: getattr(risk, name) for name in Limits.__struct_fields__}
    values["symbols_allowed"] = frozenset(risk.symbols_allowed)
    values["symbols_denied"] = frozenset(risk.symbols_denied)
    return Limits(**values)
