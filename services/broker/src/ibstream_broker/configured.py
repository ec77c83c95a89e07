"""The broker's rules as they follow from the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from ibstream.runtime.risk_settings import RiskSettings
from ibstream.runtime.settings import Settings
from ibstream_broker.domain.limits import Limits, RiskLimits
from ibstream_broker.domain.restart_window import RestartWindow


@dataclass(frozen=True)
class BrokerOptions:
    """How the broker is to work; see `config/settings.yaml` for what each means."""

    valid_for: timedelta = timedelta(seconds=30)
    waiting_max: int = 10_000
    reconcile_interval_s: float = 60.0
    durability: Literal["auto", "required", "off"] = "auto"
    mismatch_blocks: bool = True
    limits: RiskLimits = field(default_factory=RiskLimits)
    window: RestartWindow | None = None


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


def options_of(settings: Settings) -> BrokerOptions:
    """How the broker is to work."""
    broker = settings.broker
    return BrokerOptions(
        valid_for=timedelta(seconds=broker.order_valid_for_s),
        waiting_max=broker.requests_waiting_max,
        reconcile_interval_s=broker.reconcile_interval_s,
        durability=broker.journal_durability,
        mismatch_blocks=broker.on_position_mismatch == "block",
        limits=risk_limits(settings),
        window=restart_window(settings),
    )
