"""What people and pipes read."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ibstream.cli import formats
from ibstream.cli.observed import Observed
from ibstream.cli.view import ROWS, render
from ibstream.client import QuoteSnapshot
from ibstream.contracts.orders import (
    ExternalOrder,
    OrderStatus,
    OrderStatusChanged,
    Reason,
    RequestRefused,
    Side,
    TimeInForce,
    WhatIfAnswered,
)
from ibstream.contracts.quotes import Quality, Quote
from ibstream.contracts.system import Mode, ModeChanged, ModeReason
from ibstream.runtime.clock import SYSTEM_CLOCK

NOW = SYSTEM_CLOCK.now()


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (1.5, "1.50"), (0.0125, "0.0125"), (419.0, "419.00"), (1.125, "1.1250")]
)
def test_prices_show_what_matters(value: float | None, text: str) -> None:
    """Two decimals, four where the third or fourth says something, a dash for the unknown."""
    assert formats.price(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [("10", "10"), ("1E+3", "1000"), ("10.50", "10.5"), ("0", "0"), ("100", "100")]
)
def test_decimals_have_no_exponent(value: str, text: str) -> None:
    """Quantities and prices in plain digits; zeros before the point stay."""
    assert formats.number(Decimal(value)) == text


def test_a_quote_line_fits_its_header() -> None:
    """Columns end where the header's do, with unknown values too."""
    row = Quote(symbol="BRK.B", bid=412.05, last=412.0, volume=1234567.0, quality=Quality.STALE)
    line = formats.quote_line(row, 7)
    assert line.split() == ["BRK.B", "412.05", "-", "412.00", "1,234,567", "stale"]
    assert line.index("412.05") + 6 == formats.quote_header(7).index("bid") + 3


@pytest.mark.parametrize(
    ("symbols", "width"), [(["AAPL"], 7), (["AAPL", "SPX 20261218 5000.5 C x100 SPXW"], 31), ([], 24)]
)
def test_the_column_of_symbols_is_as_wide_as_what_is_asked_for(symbols: list[str], width: int) -> None:
    """Stocks stay narrow, the longest has room, and where anything may come there is room for an option."""
    assert formats.symbol_width(symbols) == width
    assert formats.quote_header(width).index("bid") == width + 7


@given(
    st.sampled_from(["AAPL", "EUR.USD", "ES 202612", "AAPL 20261218 250 C"]),
    st.lists(st.floats(0.01, 10**12) | st.none(), min_size=4, max_size=4),
    st.integers(7, 31),
)
def test_no_column_runs_into_the_next(symbol: str, values: list[float | None], width: int) -> None:
    """Whatever the width, the length of the symbol and the sizes of the numbers: the parts of a line can be told apart."""
    bid, ask, last, volume = values
    line = formats.quote_line(Quote(symbol=symbol, bid=bid, ask=ask, last=last, volume=volume), width)
    assert line.startswith(symbol + " ")
    numbers = [*map(formats.price, (bid, ask, last)), formats.whole(volume)]
    assert line.removeprefix(symbol).split() == [*numbers, "live"]


@pytest.mark.parametrize(
    ("terms", "line"),
    [
        ({"limit_price": Decimal("1.250")}, "submitted: changed to 20, limit 1.25, DAY"),
        (
            {"stop_price": Decimal(45), "trailing_percent": Decimal("1.5")},
            "submitted: changed to 20, stop 45, trail % 1.5, DAY",
        ),
    ],
)
def test_a_change_tells_the_new_terms(terms: dict[str, Any], line: str) -> None:
    """Those that the order has, and the quantity."""
    status = OrderStatusChanged(
        client_order_id="a",
        seq=3,
        status=OrderStatus.SUBMITTED,
        final=False,
        text="changed",
        quantity=Decimal(20),
        time_in_force=TimeInForce.DAY,
        at=NOW,
        **terms,
    )
    assert formats.event_line(status) == line


def test_a_rejection_says_everything_known() -> None:
    """Reason for machines, text for people and IBKR's code."""
    status = OrderStatusChanged(
        client_order_id="a",
        seq=1,
        status=OrderStatus.REJECTED,
        final=True,
        reason=Reason.REJECTED_BY_IBKR,
        text="not enough cash",
        code=201,
        at=NOW,
    )
    assert formats.event_line(status) == "rejected: rejected_by_ibkr (not enough cash) [201]"
    refused = RequestRefused(client_order_id="a", request="orders.cancel.v1", reason=Reason.UNKNOWN_ORDER, at=NOW)
    assert formats.event_line(refused) == "refused orders.cancel.v1: unknown_order"


def test_a_what_if_in_lines() -> None:
    """What changes, by how much and to what; a dash for what IBKR does not say, and no line where it says nothing at all."""
    answer = WhatIfAnswered(
        client_order_id="a",
        initial_margin_change=Decimal("8144.7"),
        initial_margin_after=Decimal("31208.11"),
        equity_with_loan_change=Decimal(-1),
        commission=Decimal("1.0023"),
        commission_currency="USD",
        warning="mind the gap",
        at=NOW,
    )
    assert formats.what_if_lines(answer) == [
        "initial margin           +8,144.70, then 31,208.11",
        "equity with loan             -1.00, then -",
        "commission                    1.00 USD",
        "warning: mind the gap",
    ]
    assert formats.event_line(answer).endswith("1.00 USD; warning: mind the gap")


@pytest.mark.parametrize(
    ("bounds", "text"), [(("0.78", "2.10"), "0.78 to 2.10 USD"), ((None, "2.10"), "2.10 USD"), ((None, None), "")]
)
def test_a_commission_that_is_not_certain(bounds: tuple[str | None, str | None], text: str) -> None:
    """It lies between two bounds, below one, or nobody says."""
    low, high = (None if bound is None else Decimal(bound) for bound in bounds)
    answer = WhatIfAnswered(
        client_order_id="a", commission_min=low, commission_max=high, commission_currency="USD", at=NOW
    )
    assert [line.partition(" ")[2].strip() for line in formats.what_if_lines(answer)] == ([text] if text else [])


def test_an_order_of_others_says_so() -> None:
    """Nobody takes it for one of ours."""
    order = ExternalOrder(perm_id=7, symbol="TSLA", side=Side.SELL, quantity=Decimal(10), status="Submitted", at=NOW)
    assert formats.event_line(order) == "order 7 of others: SELL 10 TSLA, Submitted"


def test_the_mode_in_lines() -> None:
    """The mode, since when, the Gateway, and one line per reason; silence is said."""
    told = ModeChanged(
        mode=Mode.DEGRADED,
        reasons=[ModeReason(source="feed", code="absent", text="feed: absent")],
        gateway_up=False,
        since=NOW,
        at=NOW,
    )
    lines = formats.mode_lines(told)
    assert lines[0].startswith("degraded since ")
    assert lines[0].endswith("gateway does not answer")
    assert lines[1:] == ["  feed: absent"]
    assert formats.mode_lines(None) == ["watchdog silent"]


def test_the_picture_has_one_height() -> None:
    """With many symbols or none the live view is as tall, so that it does not jump; the most wanted stand first."""

    def picture(observed: Observed) -> list[str]:
        console = Console(file=io.StringIO(), width=100)
        console.print(render(observed, symbols=[f"S{number}" for number in range(30)], elapsed_s=1.0))
        file = console.file
        assert isinstance(file, io.StringIO)
        return file.getvalue().splitlines()

    full = Observed()
    full.take_quotes(QuoteSnapshot([Quote(symbol=f"S{number}", bid=1.0) for number in range(29, -1, -1)]), elapsed_s=1)
    lines = picture(full)
    assert len(lines) == len(picture(Observed()))
    assert [line.split()[0] for line in lines if line.startswith("S")] == [f"S{number}" for number in range(ROWS)]
