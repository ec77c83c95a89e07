"""Requests about instruments."""

from __future__ import annotations

from ibstream_gateway_emulator.protocol.base import Request
from ibstream_gateway_emulator.protocol.fields import Contract


class ReqContractDetails(Request, frozen=True):
    """All instruments that fit a contract."""

    HEAD = (9, 8)
    req_id: int
    contract: Contract
    include_expired: bool
    sec_id_type: str = ""
    sec_id: str = ""
    issuer_id: str = ""


class ReqMatchingSymbols(Request, frozen=True):
    """Instruments whose symbol or name begins with a text."""

    HEAD = (81,)
    req_id: int
    pattern: str


class ReqSecDefOptParams(Request, frozen=True):
    """The expirations and strikes of the options of an underlying; the exchange only for options of futures."""

    HEAD = (78,)
    req_id: int
    under_symbol: str
    exchange: str
    under_security_type: str
    under_con_id: int


class ReqMarketRule(Request, frozen=True):
    """The price increments of a rule."""

    HEAD = (91,)
    rule_id: int
