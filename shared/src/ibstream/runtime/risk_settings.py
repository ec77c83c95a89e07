"""The risk limits as settings: what an order, a strategy and the account may do. All are off until they are set."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

REQUIRED_LIVE = ("order_quantity_max", "order_notional_max", "price_collar_percent")
"""The risk limits without which no real money is traded."""

SYMBOLS_MAX = 10_000
"""In one list of the risk limits."""

_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.]{0,31}")


class Section(BaseModel):
    """One section of the settings: no unknown names, nothing changes after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _off_if_empty(value: object) -> object:
    """An environment variable cannot be null, but empty."""
    return None if value == "" else value


def _split(value: object) -> object:
    """A list in an environment variable: with commas, or as JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [one.strip() for one in value.split(",") if one.strip()]


def _symbols(listed: tuple[str, ...]) -> tuple[str, ...]:
    wrong = next((one for one in listed if not _SYMBOL.fullmatch(one)), None)
    if wrong is not None:
        raise ValueError(f"{wrong[:40]!r} is no symbol; write it as in AAPL or BRK.B")
    return listed


_OFF_IF_EMPTY = BeforeValidator(_off_if_empty)
Amount = Annotated[Annotated[Decimal, Field(gt=0, le=10**15, allow_inf_nan=False)] | None, _OFF_IF_EMPTY]
"""A limit in units or money; None for no limit."""
Count = Annotated[Annotated[int, Field(ge=1, le=100_000)] | None, _OFF_IF_EMPTY]
"""A limit of how many; None for no limit."""
Percent = Annotated[Annotated[Decimal, Field(gt=0, le=100)] | None, _OFF_IF_EMPTY]
"""A limit in per cent; None for no limit."""
Age = Annotated[Annotated[float, Field(gt=0, le=86400)] | None, _OFF_IF_EMPTY]
"""A limit in seconds; None for no limit."""
Symbols = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_symbols), Field(max_length=SYMBOLS_MAX)
]
"""Symbols in canonical form; empty for no limit."""
StrategyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")]


class StrategyRiskSettings(Section):
    """The risk limits of an order and of a strategy. None and empty are off. Money is in the instrument's currency."""

    order_quantity_max: Amount = None
    """Shares, contracts, combos, or units of a pair's first currency."""
    order_notional_max: Amount = None
    """Price times quantity times multiplier."""
    price_collar_percent: Percent = None
    """How far on the harmful side of the last quote a price may lie."""
    quote_age_s_max: Age = 60.0
    """An older quote is none."""
    require_live_quote: bool = True
    """Refuse what a quote is needed for to judge, where there is no live one. False: let it pass unjudged."""
    symbols_allowed: Symbols = ()
    symbols_denied: Symbols = ()
    short_allowed: bool = True
    strategy_orders_per_s_max: Count = None
    strategy_open_orders_max: Count = None
    strategy_position_quantity_max: Amount = None
    """In one instrument, once all of its orders on one side have filled; long or short."""
    strategy_position_notional_max: Amount = None


class RiskSettings(StrategyRiskSettings):
    """The risk limits: off by default on paper; live wants those of `REQUIRED_LIVE` set."""

    account_orders_per_s_max: Count = None
    account_open_orders_max: Count = None
    account_daily_loss_max: Amount = None
    """In the account's base currency."""
    strategies: dict[StrategyName, StrategyRiskSettings] = Field(default_factory=dict, max_length=1000)
    """Limits of single strategies in the place of the general ones. What a strategy does not set is the general limit."""

    def of_strategy(self, name: str) -> RiskSettings:
        """All limits as they hold for one strategy."""
        own = self.strategies.get(name)
        return self if own is None else self.model_copy(update={one: getattr(own, one) for one in own.model_fields_set})
