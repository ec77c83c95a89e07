"""What is known of instruments."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ibstream_gateway_emulator.protocol.base import Message
from ibstream_gateway_emulator.protocol.fields import INTEGER_MAX, Number, TagValue
from ibstream_gateway_emulator.protocol.kinds import Since, UnsetAs


class ContractData(Message, frozen=True, kw_only=True):
    """All about one instrument. The long name must hold no backslash: clients read it as an escaped text.

    `last_trade_date` is YYYYMMDD, which the time and its zone may follow: `20250620 08:30 US/Central`. `contract_month` is
    YYYYMM. `ev_multiplier` is a number or empty.
    """

    HEAD = (10,)
    req_id: int
    symbol: str
    security_type: str = "STK"
    last_trade_date: str = ""
    strike: str = "0"
    right: str = ""
    exchange: str
    currency: str = "USD"
    local_symbol: str
    market_name: str
    trading_class: str
    con_id: int
    min_tick: Number
    multiplier: str = ""
    order_types: str
    valid_exchanges: str
    price_magnifier: int = 1
    under_con_id: int = 0
    long_name: str
    primary_exchange: str
    contract_month: str = ""
    industry: str = ""
    category: str = ""
    subcategory: str = ""
    time_zone_id: str
    trading_hours: str
    liquid_hours: str
    ev_rule: str = ""
    ev_multiplier: str = ""
    security_ids: tuple[TagValue, ...] = ()
    aggregate_group: Annotated[int | None, UnsetAs(INTEGER_MAX)] = 1
    under_symbol: str = ""
    under_security_type: str = ""
    market_rule_ids: str = ""
    real_expiration_date: str = ""
    stock_type: str = "COMMON"
    min_size: Number = 1
    size_increment: Number = 1
    suggested_size_increment: Number = 100


class ContractDataEnd(Message, frozen=True):
    """All instruments that fit are out."""

    HEAD = (52, 1)
    req_id: int


class SymbolSample(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument found by a text, and the types of derivatives there are of it."""

    con_id: int
    symbol: str
    security_type: str = "STK"
    primary_exchange: str
    currency: str = "USD"
    derivatives: tuple[str, ...] = ()
    description: Annotated[str, Since(176)] = ""
    issuer_id: Annotated[str, Since(176)] = ""


class SymbolSamples(Message, frozen=True):
    """The instruments found by a text."""

    HEAD = (79,)
    req_id: int
    samples: tuple[SymbolSample, ...]


class OptionParameters(Message, frozen=True):
    """The expirations (YYYYMMDD) and strikes of the options of one trading class at one exchange."""

    HEAD = (75,)
    req_id: int
    exchange: str
    under_con_id: int
    trading_class: str
    multiplier: str
    expirations: tuple[str, ...]
    strikes: tuple[Number, ...]


class OptionParametersEnd(Message, frozen=True):
    """All exchanges and trading classes are out."""

    HEAD = (76,)
    req_id: int


class PriceIncrement(msgspec.Struct, frozen=True):
    """From a price on, in what steps prices go."""

    low_edge: Number
    increment: Number


class MarketRule(Message, frozen=True):
    """The price increments of a rule."""

    HEAD = (93,)
    rule_id: int
    increments: tuple[PriceIncrement, ...]
