"""What requests are about. Pure."""

from __future__ import annotations

from ibstream.contracts.orders import OrderRequest, SubmitGroup, SubmitOrder, WhatIf


def orders_of(request: OrderRequest) -> tuple[SubmitOrder, ...]:
    """The new orders that a request is about."""
    match request:
        case SubmitOrder():
            return (request,)
        case SubmitGroup():
            return request.orders
        case WhatIf():
            return (request.order,)
        case _:
            return ()
