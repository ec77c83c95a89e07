"""Which instruments depend on which of IBKR's data farms. A farm whose name says nothing known may carry any."""

from __future__ import annotations

from ibstream.contracts.instrument import Instrument

_CARRIED: tuple[tuple[str, frozenset[str]], ...] = (
    ("usfuture", frozenset({"FUT"})),
    ("usopt", frozenset({"OPT"})),
    ("cashfarm", frozenset({"CASH"})),
    ("usfarm", frozenset({"STK", "IND"})),
)
"""By how the name begins: `usfarm.nj` is one of `usfarm`."""


def depends(farm: str, instrument: Instrument) -> bool:
    """Whether quotes of an instrument may come through a farm; in doubt, they may."""
    for name, kinds in _CARRIED:
        if farm.startswith(name):
            return instrument.security_type in kinds and (name == "cashfarm" or instrument.currency == "USD")
    return True
