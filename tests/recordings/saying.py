"""How the client's messages of a recording are read: contracts, flags, texts, and what stands for what at the stand-in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ibstream_gateway_emulator.protocol.base import Leg
from ibstream_gateway_emulator.protocol.fields import Contract, Contract11

Fields = Mapping[str, Any]
VERSION = 178
"""The server version that the client speaks."""
NEWER_THAN_178 = frozenset(
    {
        "field_count",
        "ext_operator",
        "manual_order_indicator",
        "customer_account",
        "professional_customer",
        "include_overnight",
        "imbalance_only",
        "optional_capabilities",
    }
)
"""Fields that the recorded clients, which spoke version 200, sent besides; they may be there if they say nothing."""
SAYS_NOTHING: tuple[Any, ...] = ("", None, "0", 0, False, (), [], {})
"""What a field may hold that need not be said."""


class UnknownStepError(Exception):
    """A message of a client, or a field of it, that this harness cannot say. The text names it."""


@dataclass(frozen=True)
class StandInWords:
    """What stands at the stand-in for what a recording names by a real Gateway's ids: these functions find it."""

    con_id: Callable[[str], int] = int
    bbo_exchange: Callable[[str], str] = str
    is_smart_depth: Mapping[int, bool] = field(default_factory=dict)
    """By request id, whether a book was asked for as that of all exchanges: a cancel must say it again."""


def is_unsaid(said: Any) -> bool:
    """Whether a field was left empty, or to the client, as a name that begins with `$` says."""
    return said in (None, "") or (isinstance(said, str) and said.startswith("$"))


def text(said: Any) -> str:
    """A text; a list as its items with commas between, and what the client chose itself, `$name`, as nothing."""
    if isinstance(said, list):
        return ",".join(map(str, said))
    return "" if is_unsaid(said) else str(said)


def flag(said: Any) -> bool:
    """Whether a flag is set, however it is written."""
    return said in (True, "1", "true", "True", 1)


def contract_of(named: Fields | None, words: StandInWords) -> Contract:
    """A contract, under the stand-in's id of it."""
    named = named or {}
    con_id = str(named.get("con_id") or 0)
    return Contract(
        con_id=words.con_id(con_id) if con_id != "0" else 0,
        symbol=str(named.get("symbol", "")),
        security_type=str(named.get("sec_type", "")),
        last_trade_date=str(named.get("expiry", "")),
        strike=str(named.get("strike", "")),
        right=str(named.get("right", "")),
        multiplier=str(named.get("multiplier", "")),
        exchange=str(named.get("exchange", "")),
        primary_exchange=str(named.get("primary_exchange", "")),
        currency=str(named.get("currency", "")),
        local_symbol=str(named.get("local_symbol", "")),
        trading_class=str(named.get("trading_class", "")),
    )


def contract11_of(named: Fields | None, words: StandInWords) -> Contract11:
    """The same without the primary exchange."""
    twelve = msgspec.structs.asdict(contract_of(named, words))
    del twelve["primary_exchange"]
    return Contract11(**twelve)


def legs_of(fields: Fields, words: StandInWords) -> tuple[Leg, ...]:
    """The legs of a combination that is asked about."""
    said = fields.get("combo_legs") or (fields.get("contract") or {}).get("combo_legs") or ()
    return tuple(
        Leg(words.con_id(str(leg["con_id"])), int(leg["ratio"]), leg["action"], leg.get("exchange", "")) for leg in said
    )
