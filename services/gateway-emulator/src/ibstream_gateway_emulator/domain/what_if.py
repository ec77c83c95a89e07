"""What an order would do to the account, told by an openOrder that stands for no order."""

from __future__ import annotations

from decimal import Decimal

from ibstream.simulation.orders import WhatIf
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.order_record import PRE_SUBMITTED, plain
from ibstream_gateway_emulator.protocol.order_terms import Change, OrderState
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder

_CENT = Decimal("0.01")
_SMART = ("", "SMART")


def check_what_if(order: PlaceOrder) -> None:
    """Raise `RequestError`: 413 for an order that is not to be transmitted, 360 for a combination that is routed by SMART."""
    if not order.transmit:
        raise RequestError(codes.WHAT_IF_NEEDS_TRANSMIT)
    if order.contract.is_combination and order.contract.exchange in _SMART:
        raise RequestError(codes.NO_WHAT_IF_OF_COMBINATION)


def state_of(answer: WhatIf) -> OrderState:
    """The engine's answer as an order's state."""
    commission = answer.commission
    return OrderState(
        status=PRE_SUBMITTED,
        initial_margin=_change(answer.initial_margin_before, answer.initial_margin_after),
        maintenance_margin=_change(answer.maintenance_margin_before, answer.maintenance_margin_after),
        equity_with_loan=_change(answer.equity_with_loan_before, answer.equity_with_loan_after),
        commission=None if commission is None else plain(commission),
        min_commission=plain(answer.commission_min),
        max_commission=plain(answer.commission_max),
        currency="USD",
        warning=answer.warning_text,
    )


def _change(before: Decimal, after: Decimal) -> Change:
    start, end = before.quantize(_CENT), after.quantize(_CENT)
    return start, end - start, end
