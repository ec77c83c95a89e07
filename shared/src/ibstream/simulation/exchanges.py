"""Where US stocks and options trade, and where a stock is listed."""

from __future__ import annotations

STOCK_EXCHANGES = (
    "SMART", "AMEX", "NYSE", "CBOE", "PHLX", "ISE", "CHX", "ARCA", "ISLAND", "NASDAQ", "DRCTEDGE", "BEX", "BATS", "EDGEA",
    "BYX", "IEX", "EDGX", "PEARL", "NYSENAT", "LTSE", "MEMX", "PSX",
)  # fmt: skip
OPTION_EXCHANGES = (
    "SMART", "AMEX", "CBOE", "CBOE2", "PHLX", "ISE", "BOX", "BATS", "EDGX", "NASDAQOM", "NASDAQBX", "MIAX", "PEARL", "EMERALD",
    "MERCURY", "GEMINI", "MEMX",
)  # fmt: skip

_LONGEST_NYSE_SYMBOL = 3
_SHORT_ON_NASDAQ = """
    ADI ADP AEP AMD APA APP BKR CDW CEG CME CSX EA EXC EXE FOX HAS HON KDP KHC LIN LNT MAR MU NWS ON PEP PTC REG ROP STX
    TER TTD TXN WBD WDC WMT WTW XEL
"""
_LONG_ON_NYSE = """
    ABBV ALLE AMCR ANET APTV ARES BALL BF.B BLDR BRK.A BRK.B CARR CBRE CIEN CPAY CTRA CTVA CVNA DECK DELL EPAM FICO GDDY
    GNRC GRMN HUBB INVH KEYS KVUE LDOS MSCI NCLH ORCL OTIS PAYC RVTY SCHW SOLV SPGI TRGP UBER VICI VLTO WELL
"""


def primary_exchange(symbol: str) -> str:
    """NYSE symbols have one to three letters and NASDAQ's four or more, but for the exceptions above."""
    if symbol in _LONG_ON_NYSE.split():
        return "NYSE"
    if symbol in _SHORT_ON_NASDAQ.split() or len(symbol) > _LONGEST_NYSE_SYMBOL:
        return "NASDAQ"
    return "NYSE"
