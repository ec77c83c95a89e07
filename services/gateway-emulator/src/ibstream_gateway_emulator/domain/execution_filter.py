"""Which executions a client asks for."""

from __future__ import annotations

from ibstream_gateway_emulator.domain.order_record import Execution, OrderRecord
from ibstream_gateway_emulator.protocol.requests import ReqExecutions

_SIDES = {"BUY": "BUY", "BOT": "BUY", "SELL": "SELL", "SLD": "SELL", "SSHORT": "SELL"}
"""How clients name the sides; `BUY` and `SELL` are IBKR's words for the filter."""


def passes(wanted: ReqExecutions, since_ns: int, record: OrderRecord, execution: Execution) -> bool:
    """Whether an execution at or after `since_ns` fits every field that is filled; text fields in any case.

    Client id 0 stands for every client. That is what clients send who do not care; whether a Gateway can be asked for client
    0 alone is not known. An exchange fits where it traded or where it was sent.
    """
    contract, leg = record.contract, execution.leg
    symbol = contract.symbol if leg is None else leg.ib_symbol
    kind = contract.security_type if leg is None else leg.security_type
    return (
        execution.executed_ns >= since_ns
        and wanted.client_id in (0, record.client_id)
        and wanted.account in ("", record.account)
        and wanted.symbol.upper() in ("", symbol)
        and wanted.security_type.upper() in ("", kind)
        and wanted.exchange.upper() in ("", contract.exchange, contract.traded_on(leg))
        and (not wanted.side or _SIDES.get(wanted.side.upper()) == execution.fill.side)
    )
