"""What one emulator is told at its start."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from ibstream_gateway_emulator.domain.checking import check
from ibstream_gateway_emulator.domain.limits import Count, Limits, Positive

BaseCurrency = Literal["USD", "AUD", "CAD", "CHF", "EUR", "GBP", "JPY", "MXN", "NOK", "NZD", "SEK", "SGD"]
"""The currencies that have a pair with the dollar here."""


CASH_MAX = 10**15
"""More USD than there are; beyond, account values would no longer be exact to the cent in a client's floats."""
JOURNAL_MESSAGES_MAX = 10_000_000
"""Some gigabytes."""
ID_MAX = 2**31 - 1
"""The protocol's ids have 32 bits, one of them for the sign."""
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
AccountName = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,32}\Z")]
"""Letters, digits and signs that travel in any field."""
Acknowledgement = Literal["PreSubmitted", "Submitted"]
Farm = tuple[Positive, Annotated[str, msgspec.Meta(min_length=1)]]


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A position that the account holds from the start."""

    symbol: str
    """The instrument's key: `AAPL`, `EUR.USD`, `MESM2026`, an option in OCC form."""
    quantity: Decimal
    """Negative for a short position."""
    average_cost: Decimal
    """USD for one unit, multiplier included, as IBKR counts it."""

    def __post_init__(self) -> None:
        check(self)


class EmulatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one stand-in Gateway. Raises `ConfigurationError` for what is not allowed, however it is made."""

    symbols: tuple[Annotated[str, msgspec.Meta(min_length=1)], ...]
    """The stocks that can be traded, in canonical form; FX, futures, options and indices are always there."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Port = 4002
    """0 takes any free port."""
    seed: Count = 7
    """Of the market and of all that is left to chance: the same seed shows the same prices in every process."""
    account: AccountName = "DU9000001"
    cash: Annotated[int, msgspec.Meta(ge=0, le=CASH_MAX)] = 1_000_000
    """USD in the account at the start."""
    base_currency: BaseCurrency = "USD"
    """The currency in which the account's values are told. Recorded: EUR (grounded_account_summary)."""
    holdings: tuple[Holding, ...] = ()
    """What the account holds at the start."""
    first_order_id: Annotated[int, msgspec.Meta(ge=1, le=ID_MAX)] = 1
    """The lowest order id of a client that has not placed an order yet."""
    master_client_id: Annotated[int, msgspec.Meta(ge=0, le=ID_MAX)] | None = None
    """The client that is told of all clients' orders and executions, as a Gateway's master client is; None: nobody."""
    acknowledge_as: Annotated[tuple[Acknowledgement, ...], msgspec.Meta(min_length=1, max_length=2)] | None = None
    """The states an order goes through until it works, each told with an openOrder; one that fills at once is told the first.

    None: as most recordings show. A GTC limit order that rests is Submitted at once (api_client_id0_order_observation_aapl,
    api_order_handle_reconnect_cancel_aapl and api_reconnect_active_order_aapl, which are two captures; otherwise
    api_tif_attribute_matrix_aapl). Every other order is PreSubmitted, and where it rests Submitted thereafter
    (api_order_rest_cancel_aapl, place_order_fill_native_execution_time, api_future_campaign_mes; otherwise direct_cancel_order,
    PreSubmitted alone, and one of four orders in api_dollar_cost_averaging_aapl, Submitted). What is given holds for all."""
    open_order_with_fill: bool = True
    """Whether an openOrder precedes the orderStatus after an execution. Recorded: yes (place_order_fill_native_execution_time)
    and no (api_dollar_cost_averaging_aapl)."""
    tell_commission: bool = True
    """Whether a commissionReport follows an execution, told by itself or asked for. Recorded: yes
    (place_order_fill_native_execution_time) and no (api_dollar_cost_averaging_aapl)."""
    tell_pending_cancel: bool = False
    """Whether PendingCancel is told before Cancelled. Recorded: no five times, yes once (api_order_rest_cancel_aapl)."""
    tell_cancel_202: bool = True
    """Whether error 202 follows Cancelled. Recorded: yes, but for direct_cancel_order."""
    status_with_open_orders: bool = False
    """Whether each openOrder that was asked for is followed by its orderStatus. Recorded: no
    (api_reconnect_active_order_aapl, api_client_id0_order_observation_aapl), though IBKR's documentation says yes."""
    delayed_tick_types: bool = True
    """Whether delayed ticks come under types of their own, 66 to 90, as IBKR's documentation says. False: under those of live
    ones, which is how quote_delayed_data, a recording, shows the bid and the ask."""
    market_hours: Literal["always", "exchange"] = "always"
    """Whether orders fill at any hour, or wait for the exchange to open as IBKR's do. Quotes flow at any hour."""
    tick_interval_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 250
    """How often quotes are sent and resting orders looked at; a Gateway sends stocks every 250 ms, too."""
    ticks_per_second: Positive | None = None
    """How many tick messages are sent in a second to all clients together; None: as many as the market makes."""
    slow_clients: Literal["drop", "disconnect"] = "drop"
    """What becomes of a client that reads more slowly than it is written to: its ticks are left out, or it is cut off."""
    partial_fills: bool = False
    """Whether a fill is no larger than the size the touch shows; else orders fill whole."""
    farms: tuple[Farm, ...] = ((2104, "usfarm"), (2106, "ushmds"), (2158, "secdefnj"))
    """The farms that a client is told of when it connects, by code and name, in order. Recorded: these three, 2104 alone, none,
    and others."""
    journal_messages: Annotated[int, msgspec.Meta(ge=0, le=JOURNAL_MESSAGES_MAX)] = 50_000
    """How many messages the journal keeps, the latest; ready-made ticks are not among them. 0: none."""
    limits: Limits = Limits()
    """What clients are allowed."""

    def __post_init__(self) -> None:
        check(self)
