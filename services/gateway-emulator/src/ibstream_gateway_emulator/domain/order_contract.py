"""What an order is for: one instrument, or a combination of several, and how messages name it."""

from __future__ import annotations

import msgspec

from ibstream.simulation.instruments import InstrumentMaster, Listing
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.contracts import eleven, find_leg, find_one
from ibstream_gateway_emulator.protocol.base import Leg
from ibstream_gateway_emulator.protocol.fields import Contract, Contract11
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder

COMBINATION_CON_ID = 28812380
"""The contract id under which IBKR tells of every combination."""
COMBINATION_CLASS = "COMB"
LEGS_MIN = 2
_OLD_NAMES = {"NASDAQ": "ISLAND"}
"""How executions call NASDAQ to clients of this protocol, as recorded."""


class OrderContract(msgspec.Struct, frozen=True, kw_only=True):
    """The instrument of an order as found, and as the client named it."""

    placed: Contract
    listing: Listing | None
    """None for a combination."""
    legs: tuple[Listing, ...] = ()
    """The instruments of a combination, in the order of its legs."""
    legs_text: str = ""
    """A combination as openOrder describes it: `12345|1,67890|-1`."""

    @property
    def key(self) -> str:
        """The instrument's key, or the symbol of a combination."""
        return self.placed.symbol if self.listing is None else self.listing.symbol

    @property
    def symbol(self) -> str:
        """As clients write it: `BRK B`."""
        return self.placed.symbol if self.listing is None else self.listing.ib_symbol

    @property
    def security_type(self) -> str:
        """STK, CASH, FUT, OPT or BAG."""
        return "BAG" if self.listing is None else self.listing.security_type

    @property
    def exchange(self) -> str:
        """Where the order was sent; SMART, or the instrument's own exchange, where the client did not say."""
        return self.placed.exchange or ("SMART" if self.listing is None else self.listing.exchange)

    @property
    def venue(self) -> str:
        """Name and class of the market, as warnings give it: `NASDAQ.NMS`."""
        if self.listing is None:
            return f"{self.exchange}.{COMBINATION_CLASS}"
        return f"{self.listing.primary_exchange or self.listing.exchange}.{self.listing.trading_class}"

    def of_order(self) -> Contract11:
        """As openOrder and completedOrder name it."""
        if self.listing is None:
            return self._combination(strike="0", right="?")
        return eleven(self.listing, self.exchange, strike="0", right="?")

    def of_execution(self, leg: Listing | None = None) -> Contract11:
        """As execDetails names it, or one leg of it."""
        found = leg or self.listing
        return self._combination(strike="0.0", right="") if found is None else eleven(found, execution_exchange(found))

    def traded_on(self, leg: Listing | None = None) -> str:
        """The exchange of an execution."""
        found = leg or self.listing
        return self.exchange if found is None else execution_exchange(found)

    def _combination(self, *, strike: str, right: str) -> Contract11:
        return Contract11(
            con_id=COMBINATION_CON_ID,
            symbol=self.placed.symbol,
            security_type="BAG",
            strike=strike,
            right=right,
            exchange=self.exchange,
            currency=self.placed.currency or "USD",
            local_symbol=self.placed.symbol,
            trading_class=COMBINATION_CLASS,
        )


def contract_of(master: InstrumentMaster, order: PlaceOrder, now_ns: int) -> OrderContract:
    """Find what an order is for. Raises `RequestError`, with 200 for what does not exist or is ambiguous."""
    placed = order.contract
    if not placed.is_combination:
        return OrderContract(placed=placed, listing=find_one(master, placed, now_ns))
    if len(order.legs) < LEGS_MIN:
        raise RequestError(codes.NO_LEGS)
    legs = tuple(find_leg(master, Leg(leg.con_id, leg.ratio, leg.action, leg.exchange)) for leg in order.legs)
    described = (f"{leg.con_id}|{leg.ratio if leg.action == 'BUY' else -leg.ratio}" for leg in order.legs)
    return OrderContract(placed=placed, listing=None, legs=legs, legs_text=",".join(described))


def execution_exchange(found: Listing) -> str:
    """Where an instrument trades, as executions tell it; never SMART but where nothing better is known."""
    exchange = found.primary_exchange or found.exchange
    return _OLD_NAMES.get(exchange, exchange)
