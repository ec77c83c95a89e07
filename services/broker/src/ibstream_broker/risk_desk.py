"""The risk limits at work: what an order is judged by is gathered here, the judging is pure (`domain/risk`)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Side, SubmitGroup, SubmitOrder
from ibstream_broker.adapters.quotes import LastQuotes
from ibstream_broker.domain.exposure import ZERO, Exposure, Holding, OrderRate, with_working
from ibstream_broker.domain.limits import RiskLimits
from ibstream_broker.domain.quotes import LastQuote, is_quoted
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.risk import Decision, Question, decide, decide_group

if TYPE_CHECKING:
    from ibstream_broker.office import Office


class RiskDesk:
    """Judges orders by the limits that are set; with none set it says nothing to any."""

    def __init__(self, limits: RiskLimits, quotes: LastQuotes | None = None) -> None:
        self._limits = limits
        self._quotes = quotes
        self._rate = OrderRate()
        self._last: dict[str, LastQuote] = {}
        self.daily_pnl: Decimal | None = None
        """The account's, as IBKR has told it last."""

    @property
    def is_off(self) -> bool:
        """Whether no limit is set."""
        return self._limits == RiskLimits()

    async def look_at_quotes(self, orders: Sequence[SubmitOrder]) -> None:
        """Have the last quotes at hand that these orders will be judged by; none where they cannot be had at once."""
        self._last = {}
        if self.is_off or self._quotes is None:
            return
        wanted = {
            order.instrument.symbol
            for order in orders
            if is_quoted(order.instrument) and self._limits.of(order.strategy).looks_at_quotes
        }
        if wanted:
            self._last = await self._quotes.of_each(wanted)

    def decide(self, request: SubmitOrder | SubmitGroup, office: Office) -> dict[str, Decision]:
        """What the limits say to each order, by client order id; empty where there are none."""
        if self.is_off:
            return {}
        now = office.clock.now()
        if isinstance(request, SubmitOrder):
            return {request.client_order_id: decide(self._question(request, office), self._limits, now)}
        questions = [self._question(order, office) for order in request.orders]
        decisions = decide_group(request.kind, request.oca_type, questions, self._limits, now)
        return {order.client_order_id: one for order, one in zip(request.orders, decisions, strict=True)}

    def against_modify(self, record: OrderRecord, wanted: SubmitOrder, office: Office) -> Refusal | None:
        """Why a change of a working order goes beyond a limit. What is left of the order itself is taken out first."""
        if self.is_off:
            return None
        question = self._question(wanted, office)
        left = max(record.request.quantity, record.modify_quantity or ZERO) - record.filled
        without = with_working(question.exposure, record.request, -left)
        is_exit = record.link is not None and bool(record.link.parent)
        closes = is_exit and wanted.quantity <= record.request.quantity  # one that grows could turn the position over
        judged = Question(
            request=wanted,
            terms=question.terms,
            exposure=without,
            quote=question.quote,
            filled=record.filled,
            closes=closes,
        )
        return decide(judged, self._limits, office.clock.now()).refusal

    def sent(self, record: OrderRecord, at: float) -> None:
        """Count an order that is about to go out; `at` on the monotonic clock."""
        if not self.is_off:
            self._rate.count(record.request.strategy, at)

    def _question(self, order: SubmitOrder, office: Office) -> Question:
        terms = office.port.known_terms(order.instrument)
        assert terms is not None  # noqa: S101 - the order has been checked against them
        return Question(
            request=order,
            terms=terms,
            exposure=self._exposure(order, office),
            quote=self._last.get(order.instrument.symbol),
        )

    def _exposure(self, order: SubmitOrder, office: Office) -> Exposure:
        interest, account, at = office.ledger.interest, office.port.account, office.clock.monotonic()
        return Exposure(
            account=_holding(order.instrument, "", office),
            strategy=_holding(order.instrument, order.strategy, office),
            legs=tuple(_holding(leg.instrument, "", office) for leg in order.instrument.legs),
            account_open_orders=interest.open_orders(account),
            strategy_open_orders=interest.open_orders(account, order.strategy),
            account_orders_last_s=self._rate.of_account(at),
            strategy_orders_last_s=self._rate.of_strategy(order.strategy, at),
            daily_pnl=self.daily_pnl,
        )


def _holding(instrument: Instrument, strategy: str, office: Office) -> Holding:
    interest, account = office.ledger.interest, office.port.account
    terms = office.port.known_terms(instrument)
    con_id = terms.con_id if terms is not None else 0
    position = interest.held(account, strategy, con_id) if strategy else office.positions.quantity(con_id)
    return Holding(
        position=position if con_id else ZERO,
        working_buy=interest.working(account, instrument, Side.BUY, strategy),
        working_sell=interest.working(account, instrument, Side.SELL, strategy),
    )
