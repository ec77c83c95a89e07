"""What is wrong with the Gateway at the moment. Whoever does the work asks here first; unless told otherwise, nothing is.

`Faults` holds and answers, and touches nothing: what a verb does at once is in `faults.acts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto

from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import Code
from ibstream_gateway_emulator.faults import texts, verbs
from ibstream_gateway_emulator.faults.connections import ConnectionFaults
from ibstream_gateway_emulator.faults.held import Held, States
from ibstream_gateway_emulator.faults.telling import Unacknowledged, commission_first, repeated
from ibstream_gateway_emulator.faults.verb import OrderScope, State, Verb
from ibstream_gateway_emulator.protocol import requests
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import Request

_ORDER_REQUESTS = (PlaceOrder, requests.CancelOrder, requests.ReqGlobalCancel, requests.ExerciseOptions)
_ASK_FOR_DEFINITIONS = (requests.ReqContractDetails, requests.ReqMatchingSymbols, requests.ReqSecDefOptParams)
_ASK_FOR_ORDERS = (
    requests.ReqOpenOrders,
    requests.ReqAllOpenOrders,
    requests.ReqAutoOpenOrders,
    requests.ReqCompletedOrders,
)
_WIRE = (verbs.Delay, verbs.SplitWrites, verbs.Freeze)
_STOP_QUOTES = (verbs.LoseLink, verbs.CompetingSession)
Key = Callable[[], str]
"""Finds the key of an order's instrument; what it costs is spent only where a fault asks for it."""


class Reception(Enum):
    """What becomes of a request that has arrived."""

    ANSWERED = auto()
    KEPT = auto()
    """Until the link to IBKR is back."""
    LOST = auto()
    """Without a word."""


class Faults(ConnectionFaults):
    """The faults in force. `seed` decides what is left to chance.

    `ended` is told of states that end by themselves but for the time: they have happened often enough, or were replaced.
    """

    def __init__(self, seed: int = 0, ended: Callable[[State], None] = lambda _state: None) -> None:
        super().__init__(States(ended), seed)
        self.unacknowledged = Unacknowledged()
        self.is_deaf = False
        """Whether requests are lost, as just before a restart."""
        self.is_wired = False
        """Whether anything is wrong with the wires: then each connection must ask `delay_s`, `piece`, `is_frozen`."""
        self._omits = False
        self._has_quotes = True
        self._halts = False

    def apply(self, verb: Verb, now_ns: int) -> list[State]:
        """Take a verb into account; the states that it ended are returned. Raises `TooManyStatesError`."""
        ended: list[State] = []
        match verb:
            case State():
                self.states.add(verb, now_ns)
            case verbs.Clear(fault=fault):
                ended = self.states.remove(lambda state: fault in (None, state.name))
                if fault in (None, "lose_acknowledgement"):
                    self.unacknowledged.clear()
            case verbs.RestoreLink():
                ended = self.states.remove(lambda state: isinstance(state, verbs.LoseLink))
            case verbs.FarmUp(farm=farm):
                ended = self.states.remove(lambda state: isinstance(state, verbs.FarmDown) and state.farm == farm)
        self._changed()
        return ended

    def expire(self, now_ns: int) -> list[State]:
        """End the states whose time is over; they are returned."""
        over = self.states.expire(now_ns)
        if over:
            self._changed()
        return over

    def in_force(self) -> Iterator[Held]:
        """All states in force, oldest first."""
        return iter(self.states)

    # How link and farms stand.

    def notices(self, farms: Iterable[tuple[int, str]]) -> Iterator[Code]:
        """How link and farms stand, for a client that has just connected; `farms` as they are when all is well."""
        lost = self.states.first(verbs.LoseLink)
        if lost is not None:
            yield texts.link_lost(lost)
        for code, name in farms:
            down = self._farm_down(code, name)
            yield codes.farm(code, name) if down is None else texts.farm_lost(down)

    def link_back(self, farms: Iterable[tuple[int, str]]) -> Code:
        """The link is back, with all data (1102), and which farms are connected; `farms` as for `notices`."""
        known = list(farms)
        missing = [name for code, name in known if self._farm_down(code, name) is not None]
        return texts.link_back([name for _, name in known if name not in missing], missing)

    # Requests.

    def reception(self, request: Request) -> Reception:
        """What becomes of a request, before anybody looks at it; asked once for each."""
        if self.is_deaf:
            return Reception.LOST
        lost = self.states.first(verbs.LoseLink)
        if lost is not None and isinstance(request, _ORDER_REQUESTS):
            return Reception.KEPT if lost.keeps_orders else Reception.LOST
        if isinstance(request, _ASK_FOR_DEFINITIONS) and (lost is not None or self._is_down("security_definitions")):
            return Reception.LOST
        return Reception.ANSWERED

    def objection_to_request(self, client_id: int, request: Request) -> Code | None:
        """Why a request is refused whatever it says: a read-only API knows no orders."""
        del client_id
        read_only = self.states.first(verbs.ReadOnlyApi)
        if read_only is None:
            return None
        refused = _ORDER_REQUESTS + (_ASK_FOR_ORDERS if read_only.refuses_lists else ())
        return codes.READ_ONLY if isinstance(request, refused) else None

    # Data.

    def objection_to_quotes(self, client_id: int, symbol: str) -> Code | None:
        """Why this client has no live quotes of the instrument with this key (354, 10089, 10167, 10168, 10197).

        Delayed ticks follow 10089 and 10167.
        """
        if self.states.first(verbs.CompetingSession) is not None:
            return codes.COMPETING_SESSION
        missing = self.states.first(
            verbs.MarketDataPermission,
            lambda one: one.client_id in (None, client_id) and one.symbol in (None, symbol),
        )
        return None if missing is None else Code(missing.code, texts.PERMISSION[missing.code])

    def quotes_flow(self, symbol: str) -> bool:
        """Whether ticks of the instrument come: there are quotes of it, and they do not stand still."""
        return self._has_quotes and not self.is_halted(symbol)

    def has_quotes(self, symbol: str) -> bool:
        """Whether there are quotes of the instrument at all; not while its farm is down or the link to IBKR is lost."""
        del symbol
        return self._has_quotes

    def is_halted(self, symbol: str) -> bool:
        """Whether trading in the instrument is halted."""
        return self._halts and self.states.first(verbs.Halt, lambda one: one.symbol in (None, symbol)) is not None

    def objection_to_history(self, client_id: int, symbol: str) -> Code | None:
        """Why historical data of the instrument is refused. Asked once for each request: some objections are counted."""
        failing = self.states.use(
            verbs.FailHistory, lambda one: one.client_id in (None, client_id) and one.symbol in (None, symbol)
        )
        if failing is not None:
            return texts.history(failing)
        if self.states.first(verbs.CompetingSession) is not None:
            return texts.DIFFERENT_ADDRESS
        if self.is_link_lost or self._is_down("history"):
            return texts.NO_HISTORY_FARM
        return None

    # The link and orders.

    @property
    def is_link_lost(self) -> bool:
        """Whether the Gateway has lost IBKR: it does not see what becomes of orders there."""
        return self.states.first(verbs.LoseLink) is not None

    def objection_to_order(self, client_id: int, order: PlaceOrder, key: Key) -> Code | None:
        """Why this order is rejected by command (201). Asked once for each order that arrives."""
        if order.what_if:
            return None
        self._note(client_id, order, key)
        rejecting = self.states.use(verbs.RejectOrders, lambda one: _touches(one, client_id, order, key))
        return None if rejecting is None else texts.rejection(rejecting)

    def objection_to_cancel(self, client_id: int, order_id: int, perm_id: int) -> Code | None:
        """Why this cancel is answered with an error while the order works (161, 10148). Asked once for each cancel."""
        error = self.states.use(verbs.CancelError, lambda one: one.client_id in (None, client_id))
        if error is None:
            return None
        return (
            codes.not_cancellable(perm_id)
            if error.code == _NOT_CANCELLABLE
            else codes.order_finished(order_id, error.status)
        )

    def loses_order(self, client_id: int, order: PlaceOrder, key: Key) -> bool:
        """Whether the order disappears without a word. Asked once for each order that arrives."""
        if order.what_if:
            return False
        return self.states.use(verbs.LoseOrder, lambda one: _touches(one, client_id, order, key)) is not None

    def omits_order(self, client_id: int, order_ref: str) -> bool:
        """Whether lists come without this order and its executions."""
        return (
            self.states.first(
                verbs.OmitOrders, lambda one: one.client_id in (None, client_id) and one.order_ref in (None, order_ref)
            )
            is not None
        )

    def warning_of_order(self, client_id: int, order: PlaceOrder, key: Key) -> Code | None:
        """What is said of an order that was taken, as if it were wrong (399, 10349). Asked once for each."""
        warning = self.states.use(verbs.OrderWarning, lambda one: _touches(one, client_id, order, key))
        return None if warning is None else texts.warning(warning)

    # What is told.

    def told_of_orders(self, client_id: int, messages: list[Message]) -> list[Message]:
        """What a client is really told by itself of its orders."""
        if self.unacknowledged:
            messages = self.unacknowledged.without(client_id, messages)
        if self.states.first(verbs.CommissionBeforeExecution, lambda one: one.client_id in (None, client_id)):
            messages = commission_first(messages)
        again = self.states.first(verbs.DuplicateOrderStatus, lambda one: one.client_id in (None, client_id))
        return messages if again is None else repeated(messages, again.copies)

    def shape(self, client_id: int, messages: Iterable[Message]) -> Iterable[Message]:
        """What a client is really told: the messages that end lists may be left out."""
        if not self._omits:
            return messages
        return (message for message in messages if not self._omitted(client_id, message))

    def reconnected(self, client_id: int) -> None:
        """A client has connected."""
        self.unacknowledged.reconnected(client_id)

    def _omitted(self, client_id: int, message: Message) -> bool:
        name = type(message).__name__
        if not name.endswith("End"):
            return False
        return (
            self.states.use(
                verbs.OmitEnds,
                lambda one: one.client_id in (None, client_id) and (not one.ends or name in one.ends),
            )
            is not None
        )

    def _note(self, client_id: int, order: PlaceOrder, key: Key) -> None:
        if (client_id, order.order_id) in self.unacknowledged:
            return
        silent = self.states.use(verbs.LoseAcknowledgement, lambda one: _touches(one, client_id, order, key))
        if silent is not None:
            self.unacknowledged.add(client_id, order.order_id, silent.until)

    def _farm_down(self, code: int, name: str) -> verbs.FarmDown | None:
        return self.states.first(verbs.FarmDown, lambda one: texts.is_about(one, code, name))

    def _is_down(self, farm: str) -> bool:
        return self.states.first(verbs.FarmDown, lambda one: one.farm == farm) is not None

    def _changed(self) -> None:
        self.is_wired = any(self.states.first(kind) is not None for kind in _WIRE)
        self._omits = self.states.first(verbs.OmitEnds) is not None
        stopped = any(self.states.first(kind) is not None for kind in _STOP_QUOTES)
        self._has_quotes = not stopped and not self._is_down("market_data")
        self._halts = self.states.first(verbs.Halt) is not None


_NOT_CANCELLABLE = 161


def _touches(scope: OrderScope, client_id: int, order: PlaceOrder, key: Key) -> bool:
    return (
        scope.client_id in (None, client_id)
        and scope.order_ref in (None, order.order_ref)
        and (scope.symbol is None or scope.symbol == key())
    )
