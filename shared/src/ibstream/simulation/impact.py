"""What an order would do to the account if it filled: margin, cash and commission. All USD."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from ibstream.simulation.account import ZERO, AccountValues, SimulatedAccount, usd_rate
from ibstream.simulation.commission import order_commission
from ibstream.simulation.margin import PriceOf, margin_of
from ibstream.simulation.orders import WhatIf
from ibstream.simulation.terms import OPTION, terms_of


class Deal(NamedTuple):
    """A fill that is only imagined."""

    symbol: str
    quantity: Decimal
    """Negative for a sale."""
    price: Decimal


class Impact(NamedTuple):
    """By how much deals would change the account, USD."""

    initial_margin: Decimal
    maintenance_margin: Decimal
    premium: Decimal
    """Paid for options, which lend no value; negative if received."""
    commission: Decimal

    @property
    def needed(self) -> Decimal:
        """What the available funds have to cover; not positive for deals that only free some."""
        return self.initial_margin + self.premium


def impact_of(account: SimulatedAccount, deals: Iterable[Deal], price_of: PriceOf) -> Impact:
    """The impact of several deals together; margins of different instruments do not offset each other."""
    found = [_impact(account, deal, price_of) for deal in deals]
    return Impact(*(sum(column, ZERO) for column in zip(*found, strict=True)))


def what_if(values: AccountValues, impact: Impact, warning_text: str) -> WhatIf:
    """The account before and after."""
    equity = values.equity_with_loan
    return WhatIf(
        initial_margin_before=values.initial_margin,
        initial_margin_after=values.initial_margin + impact.initial_margin,
        maintenance_margin_before=values.maintenance_margin,
        maintenance_margin_after=values.maintenance_margin + impact.maintenance_margin,
        equity_with_loan_before=equity,
        equity_with_loan_after=equity - impact.premium - impact.commission,
        commission_min=impact.commission,
        commission_max=impact.commission,
        warning_text=warning_text,
    )


def _impact(account: SimulatedAccount, deal: Deal, price_of: PriceOf) -> Impact:
    terms, held = terms_of(deal.symbol), account.position(deal.symbol).quantity
    rate = usd_rate(terms.currency, price_of)
    before = margin_of(terms, held, deal.price, price_of)
    after = margin_of(terms, held + deal.quantity, deal.price, price_of)
    value = deal.quantity * deal.price * terms.multiplier * rate
    return Impact(
        (after.initial - before.initial) * rate,
        (after.maintenance - before.maintenance) * rate,
        value if terms.security_type == OPTION else ZERO,
        order_commission(abs(deal.quantity), abs(value), terms),
    )
