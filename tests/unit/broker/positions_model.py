"""An account at IBKR as a model: what is really held, what is told of it, when, and what is never told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ibstream.contracts.orders import Side
from ibstream.contracts.portfolio import PositionMismatch
from ibstream_broker.domain.inputs import Executed, PositionReported, PositionsListed
from ibstream_broker.domain.position_lines import PositionChange
from ibstream_broker.domain.positions import PositionBook

ACCOUNT = "DU1"
START = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
NAMES = {1: "AAPL", 2: "MSFT", 3: "SPY"}
RESTART_S = 5.0


def after(seconds: float) -> datetime:
    """So long after the start, by the broker's clock."""
    return START + timedelta(seconds=seconds)


def execution(exec_id: str, quantity: int, at: datetime, **details: object) -> Executed:
    """An execution of AAPL; negative where it sells."""
    told: dict[str, object] = {
        "exec_id": exec_id,
        "order_ref": "s-1",
        "order_id": 41,
        "perm_id": 7,
        "symbol": "AAPL",
        "side": Side.BUY if quantity >= 0 else Side.SELL,
        "quantity": Decimal(abs(quantity)),
        "price": Decimal(50),
        "account": ACCOUNT,
        "exchange": "ARCA",
        "executed_at": at,
        "con_id": 1,
        **details,
    }
    return Executed(**told)  # type: ignore[arg-type]


def listing(**held: int) -> PositionsListed:
    """All that is held, by symbol."""
    con_ids = {name: con_id for con_id, name in NAMES.items()} | {"EUR": 9}
    positions = [
        PositionReported(
            account=ACCOUNT,
            con_id=con_ids[symbol],
            symbol=symbol,
            security_type="CASH" if symbol == "EUR" else "STK",
            currency="USD",
            quantity=Decimal(quantity),
            average_cost=Decimal(50),
        )
        for symbol, quantity in held.items()
        if quantity
    ]
    return PositionsListed(account=ACCOUNT, positions=positions)


@dataclass
class Trade:
    """One execution as IBKR has it."""

    number: int
    con_id: int
    quantity: int
    at_s: float
    version: int = 1
    hidden: bool = False


@dataclass
class Account:
    """IBKR and the broker before it, second by second.

    IBKR's clock goes `skew_s` ahead of ours and stamps whole seconds. A report comes late, a listing lags behind, and a
    restart brings every execution that is not hidden again.
    """

    skew_s: float
    journal: dict[str, bytes] = field(default_factory=dict)
    now_s: float = 0.0
    told: list[PositionMismatch] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    moves: list[tuple[float, int, int]] = field(default_factory=list)
    under_way: list[tuple[float, Executed]] = field(default_factory=list)
    book: PositionBook = field(default_factory=lambda: PositionBook(ACCOUNT))

    def write(self, change: PositionChange) -> None:
        """Journal what the book returned, and tell it."""
        if change.clear:
            self.journal.clear()
        for name in change.removed:
            self.journal.pop(name, None)
        self.journal.update(change.fields)
        self.told += change.events

    def held(self, con_id: int, at_s: float | None = None) -> int:
        """What is really held, or was."""
        return sum(moved for at, one, moved in self.moves if one == con_id and (at_s is None or at <= at_s))

    def trade(self, con_id: int, quantity: int, delay_s: float, *, hidden: bool = False) -> None:
        """Something trades, and is reported after a while, or never."""
        trade = Trade(len(self.trades) + 1, con_id, quantity, self.now_s, hidden=hidden)
        self.trades.append(trade)
        self.moves.append((self.now_s, con_id, quantity))
        if not hidden:
            self.under_way.append((self.now_s + delay_s, self.reported(trade)))

    def combo(self, quantity: int, delay_s: float) -> None:
        """A combo trades: its own execution, and one for each leg."""
        whole = self.reported(Trade(9000 + len(self.trades), 7, quantity, self.now_s))
        self.under_way.append((self.now_s + delay_s, execution_of_combo(whole)))
        self.trade(1, quantity, delay_s)
        self.trade(2, -quantity, delay_s)

    def correct(self, index: int, quantity: int, delay_s: float) -> None:
        """A trade turns out to have been of another size, which is told after the trade itself."""
        known = [one for one in self.trades if not one.hidden]
        if not known:
            return
        trade = known[index % len(known)]
        self.moves.append((self.now_s, trade.con_id, quantity - trade.quantity))
        corrected = replace(trade, quantity=quantity, version=trade.version + 1)
        self.trades[trade.number - 1] = corrected
        stem = self.reported(trade).exec_id.rpartition(".")[0]
        waiting = (at for at, one in self.under_way if one.exec_id.startswith(stem))
        self.under_way.append((max(self.now_s + delay_s, *waiting, 0.0), self.reported(corrected)))

    def reported(self, trade: Trade) -> Executed:
        """How IBKR tells of a trade."""
        at = after(math.floor(trade.at_s + self.skew_s))
        exec_id = f"0000e0d5.{trade.number:04x}.01.{trade.version:02d}"
        return execution(exec_id, trade.quantity, at, con_id=trade.con_id, symbol=NAMES.get(trade.con_id, "AAPL"))

    def wait(self, seconds: float) -> None:
        """Time passes; what is due is heard, and what waits to be reviewed is."""
        end = self.now_s + seconds
        while True:
            review_at = self.book.review_at()
            review_s = math.inf if review_at is None else (review_at - START).total_seconds()
            due_s = min((at for at, _ in self.under_way), default=math.inf)
            if min(review_s, due_s) > end:
                break
            self.now_s = max(self.now_s, min(review_s, due_s))
            if due_s <= review_s:
                self._deliver(due_s)
            else:
                self.write(self.book.review(after(self.now_s)))
        self.now_s = end

    def _deliver(self, due_s: float) -> None:
        for item in [one for one in self.under_way if one[0] <= due_s]:
            self.under_way.remove(item)
            self.write(self.book.apply(item[1], after(self.now_s)))

    def listed(self, lag_s: float = 0.0) -> PositionsListed:
        """All positions, as they were a little while ago."""
        return listing(**{name: self.held(con_id, self.now_s - lag_s) for con_id, name in NAMES.items()})

    def list_positions(self, lag_s: float, takes_s: float) -> None:
        """Ask for a listing, which comes after a while."""
        asked_at, listed = after(self.now_s), self.listed(lag_s)
        self.wait(takes_s)
        self.write(self.book.judge(listed, asked_at=asked_at, now=after(self.now_s)))

    def snapshot(self) -> None:
        """IBKR lists every execution of the last days; but for those that nobody is told of."""
        for trade in self.trades:
            if not trade.hidden:
                self.write(self.book.apply(self.reported(trade), after(self.now_s)))

    def restart(self, *, lag_s: float = 0.0) -> None:
        """The broker comes up again with what is journalled, and synchronises."""
        self.book = PositionBook(ACCOUNT)
        self.now_s += RESTART_S
        self.book.load({name.encode(): value for name, value in self.journal.items()})
        self.snapshot()
        now = after(self.now_s)
        self.write(self.book.judge(self.listed(lag_s), asked_at=now, now=now, at_once=True))

    def crash(self, con_id: int, quantity: int) -> None:
        """A trade is heard of, and the broker dies before it is journalled."""
        self.trade(con_id, quantity, 0.0)
        at_s, executed = self.under_way.pop()
        self.book.apply(executed, after(at_s))
        self.restart()

    def settle(self) -> None:
        """Nothing happens any more, and what is left is told and looked at."""
        for _ in range(3):
            self.wait(30.0)
            self.snapshot()
            self.list_positions(0.0, 0.1)
        self.wait(30.0)

    def mismatched(self) -> set[int]:
        """The instruments that the book says do not add up."""
        return {one.con_id for one in self.book.disagreements(after(self.now_s))}

    def wrong(self) -> set[int]:
        """The instruments of which the book does not know what is held."""
        return {con_id for con_id in NAMES if self.book.quantity(con_id) != self.held(con_id)}


def execution_of_combo(whole: Executed) -> Executed:
    """A combo's own execution, which moves nothing."""
    exec_id = whole.exec_id.replace("0000e0d5", "0000cafe")
    return Executed(
        **{name: getattr(whole, name) for name in whole.__struct_fields__}
        | {
            "exec_id": exec_id,
            "security_type": "BAG",
        }
    )
