"""An order desk without a server: orders in, messages out, at times that a test chooses."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from ibstream.simulation.account import SimulatedAccount
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.orders import Event, Hours
from ibstream.simulation.sessions import to_ns
from ibstream_gateway_emulator.desks.orders import OrderDesk
from ibstream_gateway_emulator.domain.order_record import OrderRecord
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.messages import CommissionReport, Error, ExecDetails, Message, OrderStatus
from ibstream_gateway_emulator.protocol.open_order import OpenOrder
from ibstream_gateway_emulator.protocol.order_parts import ComboLeg
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.settings import EmulatorSettings

MONDAY_NS = to_ns(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
SECOND_NS = 1_000_000_000
ACCOUNT = "DU9000001"
SETTINGS = EmulatorSettings(symbols=("AAPL", "MSFT", "F"))
AAPL = Contract(symbol="AAPL", security_type="STK", exchange="SMART", currency="USD")


def told(messages: list[Message]) -> list[str]:
    """Messages in short: `openOrder PreSubmitted`, `Submitted`, `execDetails 10`, `commission`, `202`."""
    return [_short(message) for message in messages]


def _short(message: Message) -> str:
    match message:
        case OpenOrder():
            return f"openOrder {message.state.status}"
        case OrderStatus():
            return f"{message.status} {message.why_held}".strip()
        case ExecDetails():
            return f"execDetails {message.shares:f}"
        case CommissionReport():
            return "commission"
        case Error():
            return str(message.code)
        case _:
            return type(message).__name__


@dataclass
class Desk:
    """The desk of client 1, unless said otherwise."""

    settings: EmulatorSettings = SETTINGS
    now_ns: int = MONDAY_NS
    faults: Faults = field(default_factory=Faults)
    next_id: int = 1

    def __post_init__(self) -> None:
        self.master = InstrumentMaster(self.settings.symbols)
        self.market = Market(self.settings.seed)
        self.engine = MatchingEngine(
            self.market,
            SimulatedAccount(Decimal(1_000_000)),
            displayed_size=self.settings.partial_fills,
            hours=Hours(self.settings.market_hours),
        )
        self.desk = OrderDesk(self.engine, self.master, lambda: self.settings, self.faults, started_ns=self.now_ns)

    def choose(self, **settings: Any) -> None:
        """Change settings while the desk works."""
        self.settings = msgspec.structs.replace(self.settings, **settings)

    def order(self, action: str = "BUY", quantity: float = 10, order_type: str = "MKT", **fields: Any) -> PlaceOrder:
        """An order with the next id; fields of `PlaceOrder` by their names, all others as attributes by the API's."""
        own = {name: fields.pop(name) for name in PlaceOrder.__struct_fields__ if name in fields}
        for name in ("limit_price", "aux_price"):
            if own.get(name) is not None:
                own[name] = Decimal(str(own[name]))
        if "order_id" not in own:
            own["order_id"], self.next_id = self.next_id, self.next_id + 1
        return PlaceOrder(
            **{"contract": AAPL, "tif": "DAY", **own},
            action=action,
            quantity=Decimal(str(quantity)),
            order_type=order_type,
            attributes={"account": ACCOUNT, **fields},
        )

    def place(self, order: PlaceOrder, client_id: int = 1) -> list[Message]:
        """What the client is told at once."""
        notices = self.desk.place(client_id, order, self.now_ns)
        return [notice.message for notice in notices if notice.client_id == client_id]

    def cancel(self, order_id: int, client_id: int = 1) -> list[Message]:
        """What the client is told of its cancel."""
        notices = self.desk.cancel(client_id, order_id, self.now_ns)
        return [notice.message for notice in notices if notice.client_id == client_id]

    def happened(self, events: list[Event]) -> list[Message]:
        """What is told of events that were commanded of the engine."""
        return [notice.message for notice in self.desk.told(events)]

    def fill(self, order_id: int, **how: Any) -> list[Message]:
        """What is told of a fill by command."""
        return self.happened(self.engine.fill_now(self.record(order_id).perm_id, self.now_ns, **how))

    def wait(self, seconds: float) -> list[Message]:
        """What is told after so much time."""
        self.now_ns += int(seconds * SECOND_NS)
        return [notice.message for notice in self.desk.evaluate(self.now_ns)]

    def wait_until_told(self, seconds_max: int = 3600) -> list[Message]:
        """What is told first, second by second."""
        for _ in range(seconds_max):
            heard = self.wait(1)
            if heard:
                return heard
        raise AssertionError(f"nothing was told in {seconds_max} s")

    def record(self, order_id: int, client_id: int = 1) -> OrderRecord:
        """The order as the desk knows it."""
        found = self.desk.records.of_client(client_id, order_id)
        assert found is not None
        return found

    def last(self, symbol: str = "AAPL") -> Decimal:
        """The last trade's price."""
        return Decimal(str(self.market.quote(symbol, self.now_ns).last))

    def leg(self, symbol: str, action: str, ratio: int = 1) -> ComboLeg:
        """A leg of a combination."""
        found = self.master.by_symbol(symbol)
        assert found is not None
        return ComboLeg(found.con_id, ratio, action, "SMART")
