"""Open interest kept up step by step is what a full recount of all orders would give."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from itertools import product

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from unit.broker.stories import COMBO, submit

from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import FINAL_STATUSES, OrderStatus, Side
from ibstream_broker.domain.interest import OpenInterest, rest_of, unrouted
from ibstream_broker.domain.records import Execution, OrderRecord

AAPL, MSFT = Instrument(symbol="AAPL"), Instrument(symbol="MSFT")
PAIRS = Instrument(
    symbol="AAPL",
    security_type="BAG",
    legs=(ComboLeg(instrument=AAPL, side=Side.BUY), ComboLeg(instrument=MSFT, side=Side.SELL, ratio=2)),
)
CON_IDS = {AAPL: 1, MSFT: 2}
INSTRUMENTS = (AAPL, MSFT, PAIRS, Instrument(symbol="AAPL", exchange="ISLAND", primary_exchange="NASDAQ"))


def opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


def order(name: str = "a", **details: object) -> OrderRecord:
    """A record of an order as the journal has it."""
    fields = OrderRecord.__struct_fields__
    told = {key: value for key, value in details.items() if key in fields}
    asked = {key: value for key, value in details.items() if key not in fields}
    told = {"account": "DU1", **told}
    return OrderRecord(request=submit(client_order_id=name, **asked), entry_id="1-1", **told)  # type: ignore[arg-type]


def filled(record: OrderRecord, line: str, quantity: int, correction: int = 1) -> OrderRecord:
    """The record with an execution, or the correction of one; of a combo its own and those of its legs."""
    request = record.request
    lines = [(line, request.instrument, request.side, quantity, False)]
    for number, leg in enumerate(request.instrument.legs):
        side = request.side if leg.side is Side.BUY else opposite(request.side)
        lines.append((f"{line}.{number + 2:02}", leg.instrument, side, quantity * leg.ratio, True))
    executions = dict(record.executions)
    for key, instrument, side, count, is_leg in lines:
        executions[key] = Execution(
            exec_id=f"{key}.{correction:02}",
            quantity=Decimal(count),
            price=Decimal(1),
            leg=is_leg,
            con_id=CON_IDS.get(unrouted_back(instrument), 0),
            side=side,
        )
    return msgspec.structs.replace(record, executions=executions)


def unrouted_back(instrument: Instrument) -> Instrument:
    """The instrument as `CON_IDS` names it."""
    return instrument if instrument.legs else Instrument(symbol=instrument.symbol)


class Recount:
    """The same figures, from all orders there ever were."""

    def __init__(self, records: list[OrderRecord]) -> None:
        self.open: Counter[tuple[str, str | None]] = Counter()
        self.working: defaultdict[tuple[str, str, Instrument, Side], Decimal] = defaultdict(Decimal)
        self.held: defaultdict[tuple[str, str, int], Decimal] = defaultdict(Decimal)
        for record in records:
            request = record.request
            for one in record.executions.values():
                if one.leg or not request.instrument.legs:
                    sign = 1 if one.side is Side.BUY else -1
                    self.held[record.account, request.strategy, one.con_id] += sign * one.quantity
            if record.status in FINAL_STATUSES:
                continue
            for of in (None, request.strategy):
                self.open[record.account, of] += 1
            left = max(request.quantity, record.modify_quantity or Decimal(0)) - record.filled
            if left > 0:
                self._work(record, left)

    def _work(self, record: OrderRecord, left: Decimal) -> None:
        request = record.request
        parts = [(request.instrument, request.side, left)]
        for leg in request.instrument.legs:
            side = request.side if leg.side is Side.BUY else opposite(request.side)
            parts.append((leg.instrument, side, left * leg.ratio))
        for instrument, side, quantity in parts:
            for whose in ("", request.strategy):
                self.working[record.account, whose, unrouted(instrument), side] += quantity


def check(interest: OpenInterest, recount: Recount) -> None:
    """Every figure that can be asked for."""
    for account in ("DU1", "U2", ""):
        assert interest.open_orders(account) == recount.open[account, None]
        for strategy in ("x", "y", "nobody"):
            assert interest.open_orders(account, strategy) == recount.open[account, strategy]
            for con_id in (0, 1, 2):
                assert interest.held(account, strategy, con_id) == recount.held[account, strategy, con_id]
        for whose, instrument, side in product(("", "x", "y", "nobody"), INSTRUMENTS, Side):
            counted = recount.working[account, whose, unrouted(instrument), side]
            assert interest.working(account, instrument, side, whose) == counted


ORDERS = st.builds(
    lambda name, account, strategy, instrument, side, quantity: order(
        f"o{name}", account=account, strategy=strategy, instrument=instrument, side=side, quantity=Decimal(quantity)
    ),
    st.integers(0, 4),
    st.sampled_from(("DU1", "U2")),
    st.sampled_from("xy"),
    st.sampled_from(INSTRUMENTS),
    st.sampled_from(list(Side)),
    st.integers(1, 50),
)

MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("order"), ORDERS),
        st.tuples(st.just("status"), st.integers(0, 4), st.sampled_from(list(OrderStatus))),
        st.tuples(st.just("fill"), st.integers(0, 4), st.sampled_from(("e1", "e2")), st.integers(0, 60)),
        st.tuples(st.just("modify"), st.integers(0, 4), st.one_of(st.none(), st.integers(1, 90))),
        st.tuples(st.just("undo")),
    ),
    max_size=40,
)


@given(MOVES)
def test_what_is_kept_up_step_by_step_is_what_a_recount_gives(moves: list[tuple[object, ...]]) -> None:
    """Orders begin, fill, are corrected, changed, end and are taken back; and the journal's fields lead to the same."""
    interest, records, fields = OpenInterest(), dict[str, OrderRecord](), dict[str, bytes]()
    last: tuple[OrderRecord | None, OrderRecord] | None = None
    for move in moves:
        before, after = _moved(records, move, last)
        if after is None and before is None:
            continue
        fields.update(interest.update(before, after))
        if after is not None:
            last = (before, after) if move[0] != "undo" else None
            records[after.client_order_id] = after
        elif before is not None:
            del records[before.client_order_id]
            last = None
        check(interest, Recount(list(records.values())))
    loaded = OpenInterest()
    open_ones = [one for one in records.values() if not one.is_final]
    loaded.load({name.encode(): value for name, value in fields.items()}, open_ones)
    check(loaded, Recount(list(records.values())))


def _moved(
    records: dict[str, OrderRecord],
    move: tuple[object, ...],
    last: tuple[OrderRecord | None, OrderRecord] | None,
) -> tuple[OrderRecord | None, OrderRecord | None]:
    """One step as before and after; both None where it is about nobody."""
    match move:
        case ("order", OrderRecord() as record):
            return (None, None) if record.client_order_id in records else (None, record)
        case ("undo",):
            return (None, None) if last is None else (last[1], last[0])
        case (kind, int(number), *details):
            before = records.get(f"o{number}")
            if before is None:
                return None, None
            match kind, details:
                case "status", [OrderStatus() as status]:
                    return before, msgspec.structs.replace(before, status=status)
                case "fill", [str(line), int(quantity)]:
                    return before, filled(before, line, quantity, correction=len(before.executions) + 1)
                case "modify", [quantity]:
                    wanted = None if quantity is None else Decimal(str(quantity))
                    return before, msgspec.structs.replace(before, modify_quantity=wanted)
    raise AssertionError(f"no such move: {move}")


def test_a_combo_moves_its_legs_and_not_itself() -> None:
    """Sold: its first leg is sold, its second bought, by their own contract ids and ratios."""
    interest = OpenInterest()
    before = order("c", strategy="x", instrument=PAIRS, side=Side.SELL, quantity=Decimal(5))
    interest.update(None, before)
    assert interest.working("DU1", PAIRS, Side.SELL) == 5
    assert (interest.working("DU1", AAPL, Side.SELL), interest.working("DU1", MSFT, Side.BUY)) == (5, 10)
    changed = interest.update(before, filled(before, "e", 5))
    assert changed == {"DU1|x|1": b"-5", "DU1|x|2": b"10"}
    assert (interest.held("DU1", "x", 0), interest.held("DU1", "x", 1), interest.held("DU1", "x", 2)) == (0, -5, 10)
    assert (interest.working("DU1", PAIRS, Side.SELL), interest.working("DU1", AAPL, Side.SELL)) == (0, 0)


def test_a_correction_moves_a_position_by_the_difference() -> None:
    """Ten shares that were really seven; told again the same, nothing is to be journalled."""
    interest = OpenInterest()
    before = order("a", strategy="x", quantity=Decimal(10))
    once = filled(before, "e", 10)
    assert interest.update(before, once) == {"DU1|x|1": b"10"}
    corrected = filled(once, "e", 7, correction=2)
    assert interest.update(once, corrected) == {"DU1|x|1": b"7"}
    assert interest.update(corrected, msgspec.structs.replace(corrected, text="late")) == {}
    assert interest.held("DU1", "x", 1) == 7


def test_a_fill_after_the_end_counts_and_brings_nothing_back_to_work() -> None:
    """The order is final; what it held grows all the same."""
    interest = OpenInterest()
    ended = order("a", strategy="x", quantity=Decimal(10), status=OrderStatus.CANCELLED)
    interest.update(None, ended)
    assert interest.update(ended, filled(ended, "e", 3)) == {"DU1|x|1": b"3"}
    assert (interest.open_orders("DU1"), interest.working("DU1", AAPL, Side.BUY)) == (0, 0)


def test_a_modify_counts_from_when_it_is_asked_for_and_only_upwards() -> None:
    """Whether IBKR takes it is not known yet: exposure is the larger of the two."""
    interest = OpenInterest()
    before = order("a", quantity=Decimal(10))
    interest.update(None, before)
    larger = msgspec.structs.replace(before, modify_quantity=Decimal(25))
    interest.update(before, larger)
    assert interest.working("DU1", AAPL, Side.BUY) == 25
    interest.update(larger, msgspec.structs.replace(before, modify_quantity=Decimal(4)))
    assert interest.working("DU1", AAPL, Side.BUY) == 10


def test_an_instrument_is_the_same_however_it_is_routed() -> None:
    """Two orders for it at two exchanges are one exposure; another instrument of the symbol is another."""
    interest = OpenInterest()
    for name, exchange in (("a", "SMART"), ("b", "ISLAND")):
        interest.update(None, order(name, instrument=Instrument(symbol="AAPL", exchange=exchange)))
    interest.update(None, order("c", instrument=COMBO))
    assert interest.working("DU1", AAPL, Side.BUY) == 300
    assert interest.working("DU1", Instrument(symbol="AAPL", currency="EUR"), Side.BUY) == 0


def test_what_is_held_and_works_in_another_account_counts_for_nothing_here() -> None:
    """From paper to live on one Redis: a strategy begins with its live holdings, and with all of its budget."""
    interest = OpenInterest()
    before = order("a", account="DU1", strategy="x", quantity=Decimal(10))
    interest.update(None, before)
    fields = interest.update(before, filled(before, "e", 4))
    loaded = OpenInterest()
    loaded.load({name.encode(): value for name, value in fields.items()}, [filled(before, "e", 4)])
    for one in (interest, loaded):
        assert (one.open_orders("U1"), one.open_orders("U1", "x")) == (0, 0)
        assert (one.working("U1", AAPL, Side.BUY), one.working("U1", AAPL, Side.BUY, "x")) == (0, 0)
        assert (one.held("U1", "x", 1), one.held("DU1", "x", 1)) == (0, 4)


def test_a_strategy_may_be_named_with_the_sign_that_parts_the_fields() -> None:
    """Its holdings are found again all the same."""
    loaded = OpenInterest()
    loaded.load({b"DU1|a|b|7": b"-2.5"}, [])
    assert loaded.held("DU1", "a|b", 7) == Decimal("-2.5")


def test_the_positions_of_one_account_are_forgotten() -> None:
    """Its executor has forgotten them, too; the fields say so to the journal. What works is counted as before."""
    interest = OpenInterest()
    for account in ("DU1", "U1"):
        before = order(account, account=account, strategy="x", quantity=Decimal(10))
        interest.update(None, before)
        interest.update(before, filled(before, "e", 4))
    fields = interest.forget_positions("DU1")
    assert fields == {"DU1|x|1": b"0"}
    assert (interest.held("DU1", "x", 1), interest.held("U1", "x", 1)) == (0, 4)
    assert interest.working("DU1", AAPL, Side.BUY) == 6
    assert interest.forget_positions("DU1") == {}


def test_what_is_left_of_an_order_is_what_it_counts_for() -> None:
    """The larger of what is asked for and what a modify wants, less what has filled; nothing once it has ended."""
    record = filled(order("a", quantity=Decimal(10), modify_quantity=Decimal(25)), "e", 4)
    assert rest_of(record) == 21
    assert rest_of(filled(order("a", quantity=Decimal(10)), "e", 12)) == 0
    assert rest_of(order("a", status=OrderStatus.CANCELLED)) == 0
