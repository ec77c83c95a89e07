"""From an instrument to IBKR's contract and back. Each is looked up once; after that its contract id is known."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import structlog

from ibstream.contracts.instrument import Instrument, label
from ibstream.ibkr import RequestFailed
from ibstream.ibkr.codes import CodeClass, classify
from ibstream.ibkr.session import IbkrSession
from ibstream.runtime.errors import IbstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ib_async import IB, ComboLeg, Contract, ContractDetails, PriceIncrement

K = TypeVar("K")
V = TypeVar("V")

SMART = "SMART"
FX_EXCHANGE = "IDEALPRO"
"""Where currency pairs trade; SMART has none."""

KEPT_MAX = 5_000
"""Instruments, and market rules, that are remembered; beyond, the oldest is looked up anew when it is needed."""

RULE_TIMEOUT_S = 2.0
"""A Gateway answers a market rule at once, late or (one it does not know) never."""

Increments = tuple[tuple[Decimal, Decimal], ...]
"""From which price on which step is in force, ascending."""

_TELLS_APART = {
    "STK": "its primary_exchange (NASDAQ, NYSE, ARCA, …)",
    "FUT": "its expiry as YYYYMMDD, its multiplier or its trading_class",
    "OPT": "its expiry, strike and right, and its trading_class or multiplier where it has several (SPX, SPXW)",
}

_log = structlog.get_logger(__name__)


class InstrumentError(IbstreamError):
    """An instrument cannot be traded or quoted as it was named."""


class UnknownInstrument(InstrumentError):  # noqa: N818 - the field's words
    """IBKR has no such contract (200); or it is a combo, which has none of its own."""


class AmbiguousInstrument(InstrumentError):  # noqa: N818
    """Several contracts fit; the text says which field would tell them apart."""


def to_ib_symbol(symbol: str) -> str:
    """IBKR writes a share class behind a space: `BRK.B` is `BRK B`."""
    return symbol.replace(".", " ")


def from_ib_symbol(symbol: str) -> str:
    """Back to the canonical form: `BRK B` is `BRK.B`."""
    return symbol.replace(" ", ".")


def exchange_of(instrument: Instrument) -> str:
    """Where IBKR is to route it: as it says, but a currency pair, of which SMART knows nothing, to IDEALPRO."""
    is_pair_by_default = instrument.security_type == "CASH" and instrument.exchange == SMART
    return FX_EXCHANGE if is_pair_by_default else instrument.exchange


def wanted_contract(instrument: Instrument) -> Contract:
    """The question for contract details: every field that the instrument fills. Not of a combo."""
    from ib_async import Contract

    return Contract(
        secType=instrument.security_type,
        symbol=to_ib_symbol(instrument.symbol),
        lastTradeDateOrContractMonth=instrument.expiry,
        strike=float(instrument.strike) if instrument.strike is not None else 0.0,
        right=instrument.right,
        multiplier=instrument.multiplier,
        exchange=exchange_of(instrument),
        primaryExchange=instrument.primary_exchange,
        currency=instrument.currency,
        tradingClass=instrument.trading_class,
    )


def market_rule_id(details: ContractDetails) -> int | None:
    """The rule of prices at the exchange it is routed to: ids and exchanges stand in the same order. None where none is told."""
    assert details.contract is not None  # noqa: S101 - IBKR's details always carry it
    pairs = zip(details.validExchanges.split(","), details.marketRuleIds.split(","), strict=False)
    told = dict(pairs).get(details.contract.exchange, "")
    return int(told) if told.isdecimal() else None


class ContractBook:
    """The contracts looked up so far, by instrument. Contract ids are stable, so it outlives the session."""

    def __init__(self, session: IbkrSession) -> None:
        self._session = session
        self._details: dict[Instrument, ContractDetails] = {}
        self._rules: dict[int, Increments] = {}
        self._silent_rules: dict[int, int] = {}
        """Rules that were not answered, and in which session: in another one they are asked for again."""

    async def find(self, instrument: Instrument) -> Contract:
        """The contract, routed as the instrument says. Raises what `details` raises."""
        contract = (await self.details(instrument)).contract
        assert contract is not None  # noqa: S101 - IBKR's details always carry it
        return contract

    async def for_order(self, instrument: Instrument) -> Contract:
        """The contract as an order names it: `find`'s, or a combo of the contracts of its legs. Raises what `details` raises."""
        from ib_async import Contract

        if instrument.security_type != "BAG":
            return await self.find(instrument)
        return Contract(
            secType="BAG",
            symbol=to_ib_symbol(instrument.symbol),
            exchange=instrument.exchange,
            currency=instrument.currency,
            comboLegs=await self._legs(instrument),
        )

    async def details(self, instrument: Instrument) -> ContractDetails:
        """Everything IBKR says about the contract: its price tick, trading hours, exchanges.

        Raises `UnknownInstrument` (of a combo, too), `AmbiguousInstrument`, and what `IbkrSession.request` raises.
        """
        known = self._details.get(instrument)
        if known is None:
            known = await self._look_up(instrument)
            _keep(self._details, instrument, known)
        return known

    async def increments(self, details: ContractDetails) -> Increments:
        """The steps of its price: the market rule, or the least tick of all where the rule cannot be had.

        Raises `GatewayUnavailable` without a session, if it has to ask.
        """
        rule_id = market_rule_id(details)
        rule = None if rule_id is None else await self._rule(rule_id)
        if rule:
            return rule
        return ((Decimal(0), Decimal(str(details.minTick))),) if details.minTick else ()

    async def _legs(self, instrument: Instrument) -> list[ComboLeg]:
        from ib_async import ComboLeg

        found = [(leg, await self.find(leg.instrument)) for leg in instrument.legs]
        return [ComboLeg(one.conId, leg.ratio, leg.side.value, one.exchange) for leg, one in found]

    async def _look_up(self, instrument: Instrument) -> ContractDetails:
        name = label(instrument)
        if instrument.security_type == "BAG":
            raise UnknownInstrument(f"{name}: a combo has no contract of its own, only its legs have")
        wanted = wanted_contract(instrument)
        try:
            found = await self._session.request(lambda ib: ib.reqContractDetailsAsync(wanted))
        except RequestFailed as error:
            if classify(error.code, error.text) is not CodeClass.UNKNOWN_CONTRACT:
                raise
            if "ambiguous" in error.text.lower():
                raise AmbiguousInstrument(_ambiguous(instrument)) from error
            raise UnknownInstrument(f"IBKR knows no {name}: {error.text}") from error
        if not found:
            raise UnknownInstrument(f"IBKR knows no {name}")
        if len(found) > 1:
            raise AmbiguousInstrument(_ambiguous(instrument))
        return found[0]

    async def _rule(self, rule_id: int) -> Increments:
        """Empty where the Gateway does not answer; it is asked once in a session."""
        known = self._rules.get(rule_id)
        if known is not None or self._silent_rules.get(rule_id) == self._session.count:
            return known or ()
        key = f"marketRule-{rule_id}"

        def ask(ib: IB) -> Awaitable[list[PriceIncrement]]:
            # `reqMarketRuleAsync` would give up after a second, and say None.
            answer: Awaitable[list[PriceIncrement]] = ib.wrapper.startReq(key)
            ib.client.reqMarketRule(rule_id)
            return answer

        try:
            told = await self._session.request_alone(key, ask, timeout_s=RULE_TIMEOUT_S)
        except (RequestFailed, TimeoutError) as error:
            _log.warning("ibkr.market_rule_unknown", rule=rule_id, reason=str(error))
            _keep(self._silent_rules, rule_id, self._session.count)
            return ()
        steps = sorted((Decimal(str(one.lowEdge)), Decimal(str(one.increment))) for one in told)
        _keep(self._rules, rule_id, tuple(steps))
        return self._rules[rule_id]


def _keep(known: dict[K, V], key: K, value: V) -> None:
    known[key] = value
    if len(known) > KEPT_MAX:
        del known[next(iter(known))]


def _ambiguous(instrument: Instrument) -> str:
    told = _TELLS_APART.get(instrument.security_type, "its exchange")
    return f"{label(instrument)} fits several contracts; name {told}"
