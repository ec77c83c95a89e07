"""What is held: executions counted, compared with IBKR's positions, and told."""

from __future__ import annotations

import math
from collections.abc import Sequence

import structlog

from ibstream.contracts.system import AcceptPositions
from ibstream.runtime import metrics
from ibstream_broker.domain.inputs import Executed, PnlReported, PortfolioInput, PositionsListed, Snapshot
from ibstream_broker.domain.position_lines import PositionChange
from ibstream_broker.domain.positions import PositionBook
from ibstream_broker.ledger import Change
from ibstream_broker.office import Office
from ibstream_broker.portfolio import Portfolio

_log = structlog.get_logger(__name__)


class Holdings:
    """Keeps the position book of the session's account in step with executions and IBKR's lists."""

    def __init__(self, office: Office, portfolio: Portfolio, *, blocking: bool) -> None:
        self._office = office
        self._portfolio = portfolio
        self._blocking = blocking
        self._session = 0
        self._accepted: list[AcceptPositions] = []

    def reopen(self) -> None:
        """Begin anew: the journal of the next account is read when it is known."""
        self._office.positions = PositionBook("", blocking=self._blocking)
        self._session = 0
        self._accepted.clear()

    async def of_account(self, account: str) -> None:
        """Have the positions of this account at hand."""
        office = self._office
        if office.positions.account == account:
            return
        book = PositionBook(account, blocking=self._blocking)
        book.load(await office.ledger.persist(lambda: office.ledger.journal.load_positions(account)))
        office.positions, office.ledger.account = book, account
        for order in self._accepted:
            await self.accept(order)

    def count(self, change: Change, executed: Executed) -> PositionChange:
        """Count an execution, ours or anybody's, in the change that writes it."""
        moved = self._office.positions.apply(executed, self._office.clock.now())
        if moved:
            change.hold(moved)
        return moved

    async def compare(self, snapshot: Snapshot, *, is_connect: bool) -> None:
        """Compare with what IBKR says is held, asked for after `snapshot` had come. Raises a `RecoverableError`."""
        office = self._office
        asked_at = office.clock.now()
        account = office.port.account
        listed = PositionsListed(account=account, positions=await office.port.positions())
        async with office.ledger.changing() as change:
            for executed in snapshot.executions:
                self.count(change, executed)
            now = office.clock.now()
            if snapshot.volatile and self._session == 0:
                judged = office.positions.reset(listed, asked_at=asked_at, now=now)
            else:
                at_once = is_connect and snapshot.executions_complete
                judged = office.positions.judge(listed, asked_at=asked_at, now=now, at_once=at_once)
            if judged:
                change.hold(judged)
            told = change.positions
        self._session = office.port.session
        await self.tell([listed], told)

    async def review(self) -> None:
        """Judge again what a listing has left open, once its time has come."""
        async with self._office.ledger.changing() as change:
            judged = self._office.positions.review(self._office.clock.now())
            if judged:
                change.hold(judged)
        await self.tell([], judged)

    async def accept(self, order: AcceptPositions) -> None:
        """Take IBKR's word, as an operator says."""
        positions = self._office.positions
        if not positions.account:
            self._accepted.append(order)
            return
        if order.account not in ("", positions.account):
            return
        async with self._office.ledger.changing() as change:
            taken = positions.accept(order.con_id, order.at, self._office.clock.now())
            if taken:
                _log.warning("broker.positions_accepted", who=order.who, why=order.why, con_id=order.con_id)
                change.hold(taken)
        await self.tell([], taken)

    async def tell(self, reports: Sequence[PortfolioInput], *changes: PositionChange) -> None:
        """Publish reports of IBKR's and mismatches."""
        for report in reports:
            if isinstance(report, PnlReported) and not report.con_id and report.daily is not None:
                self._office.risk.daily_pnl = report.daily
        mismatches = [event for change in changes for event in change.events]
        for event in mismatches:
            level = _log.info if event.agrees else _log.error
            level(
                "broker.position_mismatch",
                symbol=event.symbol,
                by_fills=str(event.by_fills),
                by_ibkr=str(event.by_ibkr),
            )
        metrics.POSITION_MISMATCHES.set(self._office.positions.mismatches)
        now = self._office.clock.now()
        await self._office.ledger.persist(lambda: self._portfolio.tell_all([*reports, *mismatches], now))

    def review_in_s(self) -> float:
        """In how many seconds holdings are to be looked at again; infinite where nothing is open."""
        at = self._office.positions.review_at()
        return math.inf if at is None else max(0.5, (at - self._office.clock.now()).total_seconds())
