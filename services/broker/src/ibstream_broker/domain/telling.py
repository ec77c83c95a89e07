"""What of IBKR's reports about an account is news: the events, and what the hashes of the latest are to hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from ibstream.contracts.base import Message
from ibstream.contracts.portfolio import AccountValueChanged, PnlChanged, PositionChanged, PositionMismatch
from ibstream.contracts.registry import account_key, pnl_key, positions_key
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    PnlReported,
    PortfolioInput,
    PositionReported,
    PositionsListed,
)

PNL_INTERVAL = timedelta(seconds=1)
"""Profit and loss of one field is told at most so often; what comes between is merged into the latest."""

PNL_KEPT_FOR = timedelta(days=1)
"""How long the profit and loss of what is held no more stays in the hash: it has realized something today."""

ZERO = Decimal(0)

Report = PositionReported | AccountValueReported | PnlReported
Identity = tuple[str, str, str]
"""The hash, the field of it, and the kind of report."""


class HashWrite(msgspec.Struct, kw_only=True):
    """What becomes of one hash."""

    fields: dict[str, Message] = {}
    """To be set."""
    removed: list[str] = []
    """Fields to be removed first."""
    replaced: bool = False
    """It holds nothing but `fields` afterwards."""


class Telling(msgspec.Struct, kw_only=True):
    """What is to be written, all at once."""

    events: list[Message] = []
    hashes: dict[str, HashWrite] = {}
    """By key."""
    told: dict[Identity, Report] = {}
    """The reports that are told with it."""
    waiting: dict[Identity, PnlReported] = {}
    """The reports that have to wait for their interval."""
    forgotten: list[Identity] = []
    listed: set[str] = set()
    """The accounts of which a listing of positions is among the reports."""

    def __bool__(self) -> bool:
        return bool(self.events or self.hashes)


class Told:
    """What was told last. `plan` changes nothing, so that a write can be tried again; `done` takes over that it is written."""

    def __init__(self) -> None:
        self._told: dict[Identity, Report] = {}
        self._pnl_at: dict[Identity, datetime] = {}
        self._waiting: dict[Identity, PnlReported] = {}
        self._listed: set[str] = set()

    def due_at(self) -> datetime | None:
        """When the first of the reports that wait may be told; None while none waits."""
        return min((self._pnl_at[one] + PNL_INTERVAL for one in self._waiting), default=None)

    def plan(self, reports: Sequence[PortfolioInput | PositionMismatch], now: datetime) -> Telling:
        """What these reports, and those that wait, add to what was told; of several about one field the last."""
        plan = Telling(events=[one for one in reports if isinstance(one, PositionMismatch)])
        latest: dict[Identity, Report] = dict(self._waiting)
        for report in reports:
            match report:
                case PositionMismatch():
                    pass
                case PositionsListed():
                    plan.listed.add(report.account)
                    latest.update(self._closed(report, latest))
                    latest.update((_identity(one), one) for one in report.positions)
                case _:
                    latest[_identity(report)] = report
        for identity, report in latest.items():
            self._add(plan, identity, report, now)
        for account in sorted(plan.listed):
            self._replace(plan, account, now)
        return plan

    def done(self, plan: Telling, now: datetime) -> None:
        """Believe that a plan was carried out."""
        self._told.update(plan.told)
        self._pnl_at.update((one, now) for one, report in plan.told.items() if isinstance(report, PnlReported))
        self._waiting = plan.waiting
        self._listed |= plan.listed
        closed = [
            one for one, report in plan.told.items() if isinstance(report, PositionReported) and not report.quantity
        ]
        for identity in (*closed, *plan.forgotten):
            self._told.pop(identity, None)
            self._pnl_at.pop(identity, None)

    def _add(self, plan: Telling, identity: Identity, report: Report, now: datetime) -> None:
        """One report into the plan, where it is news and its time has come."""
        if self._told.get(identity) == report or self._is_still_nothing(identity, report):
            return
        if isinstance(report, PnlReported) and identity in self._pnl_at and now - self._pnl_at[identity] < PNL_INTERVAL:
            plan.waiting[identity] = report
            return
        key, field, _ = identity
        event = _event(report, now)
        plan.events.append(event)
        plan.told[identity] = report
        write = plan.hashes.setdefault(key, HashWrite())
        if isinstance(report, PositionReported) and not report.quantity:
            write.removed.append(field)
        else:
            write.fields[field] = event

    def _is_still_nothing(self, identity: Identity, report: Report) -> bool:
        """Whether it says that nothing is held of what was not held before."""
        is_nothing = isinstance(report, PositionReported) and not report.quantity
        return is_nothing and report.account in self._listed and identity not in self._told

    def _closed(self, listed: PositionsListed, latest: dict[Identity, Report]) -> dict[Identity, Report]:
        """What was held by what was told or is about to be, and is not listed."""
        held = {one.con_id for one in listed.positions}
        return {
            identity: msgspec.structs.replace(one, quantity=ZERO, average_cost=ZERO)
            for identity, one in (self._told | latest).items()
            if isinstance(one, PositionReported) and one.account == listed.account and one.con_id not in held
        }

    def _replace(self, plan: Telling, account: str, now: datetime) -> None:
        """Make the hash of positions hold exactly what is held, and that of profits nothing that is long over."""
        standing = [one for one in (self._told | plan.told).values() if one.account == account]
        held = [one for one in standing if isinstance(one, PositionReported) and one.quantity]
        plan.hashes[positions_key(account)] = HashWrite(fields=_fields(held, now), replaced=True)
        pnl = [one for one in standing if isinstance(one, PnlReported)]
        if account not in self._listed:
            plan.hashes[pnl_key(account)] = HashWrite(fields=_fields(pnl, now), replaced=True)
            return
        con_ids = {one.con_id for one in held}
        over = [one for one in pnl if one.con_id and one.con_id not in con_ids and self._is_old(_identity(one), now)]
        if over:
            plan.forgotten += [_identity(one) for one in over]
            write = plan.hashes.setdefault(pnl_key(account), HashWrite())
            write.removed += [str(one.con_id) for one in over if str(one.con_id) not in write.fields]

    def _is_old(self, identity: Identity, now: datetime) -> bool:
        return identity in self._pnl_at and now - self._pnl_at[identity] > PNL_KEPT_FOR


def _fields(reports: Iterable[Report], now: datetime) -> dict[str, Message]:
    return {_identity(one)[1]: _event(one, now) for one in reports}


def _identity(report: Report) -> Identity:
    match report:
        case PositionReported():
            return positions_key(report.account), str(report.con_id), "position"
        case PnlReported():
            return pnl_key(report.account), str(report.con_id), "pnl"
        case _:
            return account_key(report.account), f"{report.tag}:{report.currency}", "value"


def _event(report: Report, now: datetime) -> PositionChanged | AccountValueChanged | PnlChanged:
    """The message of the same fields."""
    said = msgspec.structs.asdict(report)
    match report:
        case PositionReported():
            return PositionChanged(**said, at=now)
        case PnlReported():
            return PnlChanged(**said, at=now)
        case _:
            return AccountValueChanged(**said, at=now)
