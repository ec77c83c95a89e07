"""The generic tick list: which numbers a client may ask for, and which the simulated market can answer for which instruments.

Source: IBKR's TWS API documentation, "Generic tick types". An unknown number is refused with the list of those there are; one
that is known but cannot honestly be given is said to be missing (10090), and the rest flows. Gateways have been seen to accept
the same numbers for every security type, and to be silent where the instrument has nothing under one of them.
"""

from __future__ import annotations

import msgspec

from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError

_STOCKS = ("STK", "IND", "FUT", "OPT", "CASH")
_TRADED = ("STK", "FUT", "OPT")


class Generic(msgspec.Struct, frozen=True):
    """One number of the list."""

    name: str
    types: tuple[str, ...]
    """Security types that have it."""
    is_given: bool = False
    """Whether the simulated market has it; auctions there are none, so that asking for them is answered by silence."""


OPTION_VOLUME, OPEN_INTEREST, HISTORICAL_VOLATILITY, IMPLIED_VOLATILITY = 100, 101, 104, 106
MISCELLANEOUS, MARK_PRICES, AUCTION, RT_VOLUME, SHORTABLE = 165, (220, 221, 232), 225, 233, 236
TRADE_COUNT, TRADE_RATE, VOLUME_RATE, LAST_RTH_TRADE, RT_TRADE_VOLUME = 293, 294, 295, 318, 375
RT_HISTORICAL_VOLATILITY, FUTURES_OPEN_INTEREST, SHORT_TERM_VOLUME = 411, 588, 595

GENERICS: dict[int, Generic] = {
    100: Generic("Option Volume", ("STK", "IND", "OPT")),
    101: Generic("Option Open Interest", ("STK", "IND", "OPT")),
    104: Generic("Historical Volatility", ("STK", "IND"), is_given=True),
    105: Generic("Average Opt Volume", ("STK", "IND")),
    106: Generic("impvolat", ("STK", "IND"), is_given=True),
    162: Generic("Index Future Premium", ("IND",)),
    165: Generic("Misc. Stats", ("STK", "IND", "FUT"), is_given=True),
    220: Generic("Creditman Mark Price", _STOCKS, is_given=True),
    221: Generic("Mark Price", _STOCKS, is_given=True),
    225: Generic("Auction", ("STK", "FUT"), is_given=True),
    232: Generic("Pl Price", _STOCKS, is_given=True),
    233: Generic("RTVolume", _TRADED, is_given=True),
    236: Generic("Shortable", ("STK",), is_given=True),
    256: Generic("Inventory", ("STK",)),
    258: Generic("Fundamentals", ("STK",)),
    291: Generic("Close Price", _STOCKS),
    292: Generic("Wide_news", _STOCKS),
    293: Generic("TradeCount", _TRADED, is_given=True),
    294: Generic("TradeRate", _TRADED, is_given=True),
    295: Generic("VolumeRate", _TRADED, is_given=True),
    318: Generic("LastRTHTrade", ("STK", "FUT", "OPT", "IND"), is_given=True),
    370: Generic("ParticipationMonitor", _STOCKS),
    375: Generic("RTTrdVolume", _TRADED, is_given=True),
    377: Generic("CttTickTag", _STOCKS),
    381: Generic("IB Rate", _STOCKS),
    384: Generic("RfqTickRespTag", _STOCKS),
    387: Generic("DMM", _STOCKS),
    388: Generic("Issuer Fundamentals", ("STK",)),
    391: Generic("IBWarrantImpVolCompeteTick", ("STK", "OPT")),
    405: Generic("IndexCapabilities", _STOCKS),
    407: Generic("FuturesMargins", ("FUT",)),
    411: Generic("rthistvol", ("STK", "IND"), is_given=True),
    428: Generic("MonetaryClosePrice", _STOCKS),
    439: Generic("MonitorTickTag", _STOCKS),
    456: Generic("IBDividends", ("STK",)),
    459: Generic("RTCLOSE", _STOCKS),
    460: Generic("Bond Factor Multiplier", _STOCKS),
    499: Generic("Fee and Rebate Rate", ("STK",)),
    506: Generic("midpv", _STOCKS),
    511: Generic("hvolrt10", _STOCKS),
    512: Generic("hvolrt30", _STOCKS),
    513: Generic("hvolrt50", _STOCKS),
    514: Generic("hvolrt75", _STOCKS),
    515: Generic("hvolrt100", _STOCKS),
    516: Generic("hvolrt150", _STOCKS),
    517: Generic("hvolrt200", _STOCKS),
    521: Generic("fzmidpv", _STOCKS),
    545: Generic("vsiv", _STOCKS),
    576: Generic("EtfNavBidAsk", ("STK",)),
    577: Generic("EtfNavLast", ("STK",)),
    578: Generic("EtfNavClose", ("STK",)),
    584: Generic("Average Opening Vol.", ("STK",)),
    585: Generic("Average Closing Vol.", ("STK",)),
    586: Generic("IPO Prices", ("STK",)),
    587: Generic("Pl Price Delayed", _STOCKS),
    588: Generic("Futures Open Interest", ("FUT",)),
    595: Generic("Short-Term Volume X Mins", _TRADED, is_given=True),
    608: Generic("EMA N", _STOCKS),
    614: Generic("EtfNavMisc(hight/low)", ("STK",)),
    619: Generic("Creditman Slow Mark Price", _STOCKS),
    623: Generic("EtfFrozenNavLast", ("STK",)),
}
"""By number."""

_NEWS_PREFIX = "mdoff"
"""A word that clients put into the list to have no quotes with the generic ticks."""


class Asked(msgspec.Struct, frozen=True):
    """What a client asked for."""

    given: frozenset[int] = frozenset()
    """Numbers that are answered."""
    is_part_missing: bool = False
    """Whether some are known but cannot be given."""
    is_without_quotes: bool = False
    """Whether the client wants the generic ticks alone, `mdoff`."""


def read(text: str, security_type: str) -> Asked:
    """The list of a request, `233,165`; a number may be followed by a colon and a provider, as for news.

    Raises `RequestError` with 321 where a number is none of the list.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    numbers = [word.partition(":")[0] for word in words if word != _NEWS_PREFIX]
    wrong = [number for number in numbers if not _is_legal(number)]
    if wrong:
        raise RequestError(codes.wrong_generic_ticks(",".join(wrong), security_type, _LEGAL))
    asked = {int(number) for number in numbers if security_type in GENERICS[int(number)].types}
    given = frozenset(number for number in asked if GENERICS[number].is_given)
    return Asked(given, bool(asked - given), _NEWS_PREFIX in words)


def _is_legal(number: str) -> bool:
    return number.isascii() and number.isdigit() and len(number) <= _DIGITS_MAX and int(number) in GENERICS


_DIGITS_MAX = 4
_LEGAL = ",".join(f"{number}({one.name})" for number, one in GENERICS.items())
