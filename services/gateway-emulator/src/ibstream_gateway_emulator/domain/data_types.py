"""Which data a subscription is given: live, frozen, delayed or none, by what was asked for and what is permitted.

Source: IBKR's TWS API documentation on market data types, and quote_delayed_data, a recording. Live data is given whatever was
asked for where it is permitted. Without permission the codes decide: 10089 and 10167 always come with delayed data; the others
refuse the subscription unless the client asked for delayed data before, and then become a 10167; 10168 and 10186 say that there
is no delayed data either. During a competing session (10197) the subscription stays and is silent until that session has ended.

No recording shows frozen data. Here it is what stood when the exchange closed, and exists only where the Gateway keeps an
exchange's hours.
"""

from __future__ import annotations

import msgspec

from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import Code

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
MARKET_DATA_TYPES = (LIVE, FROZEN, DELAYED, DELAYED_FROZEN)

DELAY_NS = 15 * 60 * NS_PER_S
"""How old delayed data is; IBKR says 15 to 20 minutes."""

_DELAYED_FOLLOWS = (10089, 10167)
_COMPETING_SESSION = 10197
_NO_DELAYED = (10168, 10186)


class Standing(msgspec.Struct, frozen=True):
    """What a subscription is given, and what it is told about it."""

    data_type: int | None
    """None: no data."""
    notice: Code | None = None
    is_refused: bool = False
    """Whether a new request ends here; one that streams already falls silent."""

    @property
    def is_delayed(self) -> bool:
        """Whether what is told is a quarter of an hour old."""
        return self.data_type in (DELAYED, DELAYED_FROZEN)

    @property
    def is_frozen(self) -> bool:
        """Whether what is told stands still."""
        return self.data_type in (FROZEN, DELAYED_FROZEN)


def standing(wanted: int, objection: Code | None, *, is_closed: bool = False) -> Standing:
    """What is given to a client that asked for data of type `wanted`, if `objection` stands against live data."""
    delayed = DELAYED_FROZEN if wanted == DELAYED_FROZEN and is_closed else DELAYED
    if objection is None:
        return Standing(FROZEN if wanted in (FROZEN, DELAYED_FROZEN) and is_closed else LIVE)
    if objection.code in _DELAYED_FOLLOWS:
        return Standing(delayed, objection)
    if wanted in (DELAYED, DELAYED_FROZEN) and objection.code not in _NO_DELAYED:
        return Standing(delayed, codes.SHOWING_DELAYED)
    return Standing(None, objection, is_refused=objection.code != _COMPETING_SESSION)
