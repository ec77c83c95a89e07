"""What is held: executions counted, compared with IBKR's positions, and told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from ibstream.contracts.portfolio import PositionMismatch
from ibstream.contracts.system import AcceptPositions
from ibstream.runtime import metrics
from ibstream.runtime.supervise import unless
from ibstream_broker.domain.inputs import Executed, PnlReported, PortfolioInput, PositionsListed, Snapshot
from ibstream_broker.domain.position_lines import PositionChange, together
from ibstream_broker.domain.positions import PositionBook
from ibstream_broker.ledger import Change
from ibstream_broker.office import Office
from ibstream_broker.portfolio import Portfolio

LOOK_INTERVAL_S = 1.0
"""How often it is looked whether something that was left open has come due."""

_log = structlog.get_logger(__name__)


class Holdings:
    """Keeps the position book of the session's account in step with executions and IBKR's lists."""

    def __init__(self, office: Office, portfolio: Portfolio, *, blocking: bool) -> None:
        self._office = office
        self._portfolio = portfolio
        self._blocking = blocking
        self._session = 0
        self._accepted: list[AcceptPositions] = []

    def reopen(self, fencing_token: int) -> None:
        """Begin anew: the journal of the next account is read when it is known."""
        self._portfolio.reopen(fencing_token)
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
        await self.tell(book.disagreements(office.clock.now()))  # whoever journalled them may not have lived to tell
        for order in self._accepted:
            await self.accept(order)

    def count(self, change: Change, executions: Sequence[Executed]) -> PositionChange:
        """Count executions, ours or anybody's, in the change that writes them."""
        now = self._office.clock.now()
        moved = together([self._office.positions.apply(executed, now) for executed in executions])
        if moved:
            change.hold(moved)
        return moved

    async def compare(self, snapshot: Snapshot, *, is_connect: bool) -> None:
        """Compare with what IBKR says is held, asked for after `snapshot` had come. Raises a `RecoverableError`."""
        office = self._office
        asked_at = office.clock.now()
        listed = PositionsListed(account=office.port.account, positions=await office.port.positions())
        async with office.ledger.changing() as change:
            counted = self.count(change, snapshot.executions)
            now = office.clock.now()
            if snapshot.volatile and self._session == 0:
                judged = office.positions.reset(listed, asked_at=asked_at, now=now)
                change.held.update(office.ledger.interest.forget_positions(office.positions.account))
            else:
                at_once = is_connect and snapshot.executions_complete
                judged = office.positions.judge(listed, asked_at=asked_at, now=now, at_once=at_once)
            if judged:
                change.hold(judged)
        self._session = office.port.session
        await self.tell([listed, *counted.events, *judged.events])

    async def run(self, stop: asyncio.Event) -> None:
        """Judge again what a listing has left open, and tell what was held back, each once its time has come."""
        while not stop.is_set():
            await unless(stop, self._office.clock.sleep(LOOK_INTERVAL_S))
            now = self._office.clock.now()
            review_at, due_at = self._office.positions.review_at(), self._portfolio.due_at()
            if review_at is not None and review_at <= now:
                await self._review()
            if due_at is not None and due_at <= now:
                await self.tell([])

    async def _review(self) -> None:
        async with self._office.ledger.changing() as change:
            judged = self._office.positions.review(self._office.clock.now())
            if judged:
                change.hold(judged)
        await self.tell(judged.events)

    async def accept(self, order: AcceptPositions) -> None:
        """Take IBKR's word, as an operator says. What comes before an account is known waits for it."""
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
        await self.tell(taken.events)

    async def tell(self, reports: Sequence[PortfolioInput | PositionMismatch]) -> None:
        """Publish what IBKR reports, and what does not add up."""
        for report in reports:
            if isinstance(report, PositionMismatch):
                _shout(report)
            elif isinstance(report, PnlReported) and not report.con_id and report.daily is not None:
                self._office.risk.daily_pnl = report.daily
        metrics.POSITION_MISMATCHES.set(self._office.positions.mismatches)
        now = self._office.clock.now()
        await self._office.ledger.persist(lambda: self._portfolio.tell_all(reports, now))


def _shout(event: PositionMismatch) -> None:
    level = _log.info if event.agrees else _log.error
    level("broker.position_mismatch", symbol=event.symbol, by_fills=str(event.by_fills), by_ibkr=str(event.by_ibkr))
