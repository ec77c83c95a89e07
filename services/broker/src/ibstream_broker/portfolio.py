"""Positions and account values, as IBKR says them: each change on `portfolio:events`, the latest in hashes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from ibstream.bus import Bus, Publisher
from ibstream.contracts.base import encode
from ibstream.contracts.portfolio import AccountValueChanged, PositionChanged, PositionMismatch
from ibstream.contracts.registry import PORTFOLIO_EVENTS, account_key, positions_key
from ibstream_broker.domain.inputs import AccountValueReported, PnlReported, PortfolioInput, PositionReported, PositionsListed

ZERO = Decimal(0)


class Portfolio:
    """Publishes what is new. IBKR repeats account values every three minutes; repetitions are not told on."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._publisher = Publisher(bus)
        self._told: dict[tuple[str, ...], PositionReported | AccountValueReported] = {}

    async def tell_all(self, reports: Sequence[PortfolioInput | PositionMismatch], now: datetime) -> None:
        """Publish each report that says something new. May be repeated until it succeeds."""
        for report in reports:
            if isinstance(report, PositionMismatch):
                await self._publisher.publish(PORTFOLIO_EVENTS, report)
            elif not isinstance(report, PnlReported):
                await self.tell(report, now)

    async def tell(self, reported: PortfolioInput, now: datetime) -> None:
        """Publish a report unless it says what was said last. May be repeated until it succeeds."""
        if isinstance(reported, PositionsListed):
            await self._replace_positions(reported, now)
            return
        identity = _identity(reported)
        if self._told.get(identity) == reported:
            return
        if isinstance(reported, PositionReported):
            changed = _position(reported, now)
            await self._bus.set_fields(positions_key(reported.account), {str(reported.con_id): encode(changed)})
            await self._publisher.publish(PORTFOLIO_EVENTS, changed)
        else:
            value = _account_value(reported, now)
            key = f"{reported.tag}:{reported.currency}"
            await self._bus.set_fields(account_key(reported.account), {key: encode(value)})
            await self._publisher.publish(PORTFOLIO_EVENTS, value)
        self._told[identity] = reported

    async def _replace_positions(self, listed: PositionsListed, now: datetime) -> None:
        """Make the hash of an account hold exactly these, and tell of what was closed while away."""
        held = {_identity(one) for one in listed.positions}
        for told in list(self._told.values()):
            if isinstance(told, PositionReported) and told.account == listed.account and _identity(told) not in held:
                await self.tell(msgspec.structs.replace(told, quantity=ZERO, average_cost=ZERO), now)
        for one in listed.positions:
            await self.tell(one, now)
        fields = {str(one.con_id): encode(_position(one, now)) for one in listed.positions}
        await self._bus.replace_hash(positions_key(listed.account), fields)


def _identity(reported: PositionReported | AccountValueReported) -> tuple[str, ...]:
    if isinstance(reported, PositionReported):
        return ("position", reported.account, str(reported.con_id))
    return ("value", reported.account, reported.tag, reported.currency)


def _position(reported: PositionReported, now: datetime) -> PositionChanged:
    return PositionChanged(
        account=reported.account,
        con_id=reported.con_id,
        symbol=reported.symbol,
        security_type=reported.security_type,
        currency=reported.currency,
        quantity=reported.quantity,
        average_cost=reported.average_cost,
        at=now,
    )


def _account_value(reported: AccountValueReported, now: datetime) -> AccountValueChanged:
    return AccountValueChanged(
        account=reported.account, tag=reported.tag, value=reported.value, currency=reported.currency, at=now
    )
