"""What a server says, in the words of the recordings; see `words` for the names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from ibstream_gateway_emulator.protocol import messages as m
from ibstream_gateway_emulator.protocol import order_parts as parts
from ibstream_gateway_emulator.protocol.fields import Contract11, text_of
from ibstream_gateway_emulator.protocol.open_order import CompletedOrder, OpenOrder, OrderState, OrderTerms
from ibstream_gateway_emulator.protocol.table import decode_message
from recordings.words import MESSAGE_FIELDS, MESSAGE_NAMES, snake


@dataclass
class Heard:
    """One message of a server: its name, and its fields as text, lists and mappings."""

    name: str
    fields: dict[str, Any]


_CONTRACT_FIELDS = (
    "con_id", "symbol", "sec_type", "expiry", "strike", "right", "multiplier", "exchange", "currency",
    "local_symbol", "trading_class", "primary_exchange",
)  # fmt: skip
_ATTRIBUTES = {
    "discretionaryAmt": "discretion_amt",
    "orderComboLegs": "order_combo_leg_prices",
    "smartComboRoutingParams": "smart_combo_routing",
}
"""Attributes that recordings tell under another name than the API's."""
_COMPARED = ("price", "time", "percent", "volume", "change_percent")
_MARGINS = {
    "init_margin": "initial_margin",
    "maint_margin": "maintenance_margin",
    "equity_with_loan": "equity_with_loan",
}


def hear(fields: tuple[str, ...], server_version: int) -> list[Heard]:
    """The messages in one frame, of which bars have several. A message that is not known is named by its id."""
    message = decode_message(fields, server_version)
    if message is None:
        return [Heard(f"message_{fields[0]}", {})]
    return list(_SPECIAL.get(type(message), _plain)(message))


def name_of(kind: type) -> str:
    """What recordings call a kind of message."""
    return MESSAGE_NAMES.get(kind.__name__, snake(kind.__name__))


def _plain(message: Any) -> Iterator[Heard]:
    yield Heard(name_of(type(message)), _value(message))


def _open_order(message: OpenOrder) -> Iterator[Heard]:
    yield Heard(
        "open_order",
        {
            **_terms(message.terms),
            **_state(message.state),
            "order_id": str(message.order_id),
            "client_id": str(message.client_id),
            "what_if": message.what_if,
        },
    )


def _state(state: OrderState) -> dict[str, Any]:
    told: dict[str, Any] = {"status": state.status, "warning_text": state.warning}
    for name, margin in _MARGINS.items():
        change = getattr(state, margin) or (None, None, None)
        told |= {
            f"{name}_{when}": text_of(one) for when, one in zip(("before", "change", "after"), change, strict=True)
        }
    for name in ("commission", "min_commission", "max_commission"):
        told[name] = text_of(getattr(state, name))
    return {**told, "commission_currency": state.currency}


def _completed_order(message: CompletedOrder) -> Iterator[Heard]:
    yield Heard(
        "completed_order",
        {
            **_terms(message.terms),
            "status": message.status,
            "filled": text_of(message.filled),
            "completed_time": message.completed_time,
            "completed_status": message.completed_status,
        },
    )


def _terms(terms: OrderTerms) -> dict[str, Any]:
    attributes = {_ATTRIBUTES.get(name, snake(name)): _value(value) for name, value in terms.attributes.items()}
    return {
        **attributes,
        "contract": _value(terms.contract),
        "action": terms.action,
        "quantity": text_of(terms.quantity),
        "order_type": terms.order_type,
        "lmt_price": text_of(terms.limit_price),
        "aux_price": text_of(terms.aux_price),
        "tif": terms.tif,
        "account": terms.account,
        "perm_id": str(terms.perm_id),
    }


def _execution(message: m.ExecDetails) -> Iterator[Heard]:
    yield Heard("execution_detail", {**_value(message), "symbol": message.contract.symbol})


def _with_contract(message: m.ContractData | m.PortfolioValue) -> Iterator[Heard]:
    """Messages that spread the contract over their own fields."""
    fields = _value(message)
    contract = {name: fields.pop(name) for name in _CONTRACT_FIELDS if name in fields}
    yield Heard(name_of(type(message)), {**fields, "contract": contract})


def _bars(message: m.HistoricalData) -> Iterator[Heard]:
    for bar in message.bars:
        yield Heard("historical_bar", {"req_id": str(message.req_id), **_value(bar)})
    yield Heard("historical_bars_end", {"req_id": str(message.req_id), "start": message.start, "end": message.end})


def _accounts(message: m.ManagedAccounts) -> Iterator[Heard]:
    yield Heard("managed_accounts", {"accounts": [one for one in message.accounts.split(",") if one]})


_SPECIAL: dict[type, Callable[[Any], Iterator[Heard]]] = {
    OpenOrder: _open_order,
    CompletedOrder: _completed_order,
    m.ExecDetails: _execution,
    m.ContractData: _with_contract,
    m.PortfolioValue: _with_contract,
    m.HistoricalData: _bars,
    m.ManagedAccounts: _accounts,
}


def _value(value: Any) -> Any:
    if isinstance(value, parts.Condition):
        return _condition(value)
    if isinstance(value, msgspec.Struct):
        kind = "Contract11" if isinstance(value, Contract11) else type(value).__name__
        renamed = MESSAGE_FIELDS.get(kind, {})
        return {renamed.get(name, name): _value(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return text_of(value)


def _condition(condition: parts.Condition) -> dict[str, Any]:
    """A condition with the fields that recordings give to all kinds alike."""
    fields = {name: text_of(getattr(condition, name)) for name in condition.__struct_fields__}
    value = next((fields.pop(name) for name in _COMPARED if name in fields), "")
    operator = fields.pop("is_more", "")
    sec_type = fields.pop("security_type", "")
    return {**fields, "type": str(condition.CODE), "value": value, "operator": operator, "sec_type": sec_type}
