"""What a verb does to the Gateway at once. What it leaves in force is in `state`; this module is the one that acts.

command(gateway, verb)     do it, and write it into the journal
step(gateway)              end what has lasted its time, and restart by night
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from ibstream.runtime.errors import FatalError
from ibstream.simulation.orders import CancelReason, Event, Refused
from ibstream_gateway_emulator import handlers
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import Code
from ibstream_gateway_emulator.domain.order_book import UnknownOrderError
from ibstream_gateway_emulator.domain.order_record import OrderRecord
from ibstream_gateway_emulator.faults import texts, verbs
from ibstream_gateway_emulator.faults.front import Front
from ibstream_gateway_emulator.faults.held import TooManyStatesError
from ibstream_gateway_emulator.faults.night import nights_between
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.requests import NO_REQ_ID


class CommandError(ValueError):
    """A verb that cannot be done as things stand: no such order, no such execution. The text says what is missing."""


def command(gateway: Gateway, verb: verbs.Verb) -> None:
    """Do what a verb says. Raises `CommandError`; then nothing has happened."""
    now_ns = gateway.now_ns()
    act = _ACTS.get(type(verb))
    before = gateway.faults.is_link_lost
    try:
        ended = gateway.faults.apply(verb, now_ns)
    except TooManyStatesError as error:
        raise CommandError(str(error)) from error
    if act is not None and not (isinstance(verb, verbs.LoseLink) and before):
        act(gateway, verb)
    gateway.journal.commanded(now_ns, verb)
    _end(gateway, ended, by=verb)


def step(gateway: Gateway) -> None:
    """End the states whose time is over, and begin the restarts whose time has come."""
    now_ns = gateway.now_ns()
    over = gateway.faults.expire(now_ns)
    if over:
        _end(gateway, over, by=None)
    for night in nights_between(gateway.faults.in_force(), gateway.stepped_ns, now_ns):
        # A night that falls into a restart is over with it.
        with contextlib.suppress(CommandError):
            _restart(gateway, night)
    gateway.stepped_ns = now_ns


def broadcast(gateway: Gateway, code: Code) -> None:
    """Tell all clients something that is about no request."""
    for client in list(gateway.clients.values()):
        client.outlet.send([code.about(NO_REQ_ID)])


def _end(gateway: Gateway, ended: Iterable[verbs.State], by: verbs.Verb | None) -> None:
    for state in ended:
        gateway.journal.commanded(gateway.now_ns(), state, ended=True)
        match state:
            case verbs.LoseLink():
                _link_is_back(gateway, by if isinstance(by, verbs.RestoreLink) else verbs.RestoreLink())
            case verbs.FarmDown() if not isinstance(by, verbs.FarmUp):
                broadcast(gateway, texts.farm_back(state))
    if isinstance(by, verbs.Clear) and by.fault in (None, "half_open") and gateway.front is not None:
        gateway.front.cut_silent()
    if gateway.front is not None:
        gateway.front.faults_changed()


# The link to IBKR.


def _lose_link(gateway: Gateway, verb: verbs.LoseLink) -> None:
    broadcast(gateway, texts.link_lost(verb))


def _link_is_back(gateway: Gateway, verb: verbs.RestoreLink) -> None:
    """Orders that waited go out, clients hear what they missed or not, and lost subscriptions are forgotten."""
    back = gateway.faults.link_back(gateway.settings.farms)
    broadcast(gateway, codes.LINK_BACK_WITHOUT_DATA if verb.data_lost else back)
    if verb.data_lost:
        for client in list(gateway.clients.values()):
            gateway.forget_market_data(client)
    _happened(gateway, gateway.gap.take_unseen(), is_told=verb.tells_missed)
    while gateway.gap.kept:
        client, request, req_id, _ = gateway.gap.kept.popleft()
        client = gateway.clients.get(client.client_id, client)
        # Done first, then told: IBKR takes what was kept whether or not its client still listens.
        answer = list(handlers.respond(gateway, client, request, req_id))
        client.outlet.send(answer)


def _farm_down(gateway: Gateway, verb: verbs.FarmDown) -> None:
    broadcast(gateway, texts.farm_lost(verb))


def _farm_up(gateway: Gateway, verb: verbs.FarmUp) -> None:
    broadcast(gateway, texts.farm_back(verb))


def _fail_live_updates(gateway: Gateway, verb: verbs.FailLiveUpdates) -> None:
    gateway.history.fail_live_updates(gateway.now_ns(), verb.client_id)


def _forget_subscriptions(gateway: Gateway, verb: verbs.ForgetSubscriptions) -> None:
    if not gateway.quotes.forget(verb.client_id, verb.symbol, verb.count):
        raise CommandError("there is no such subscription")


# Connections.


def _front(gateway: Gateway) -> Front:
    if gateway.front is None:
        raise CommandError("the Gateway has no socket at the moment")
    return gateway.front


def _drop(gateway: Gateway, verb: verbs.DropConnection) -> None:
    if not _front(gateway).drop(verb.client_id, abortive=verb.abortive):
        _nobody(verb.client_id)


def _half_open(gateway: Gateway, verb: verbs.HalfOpen) -> None:
    if not _front(gateway).fall_silent(verb.client_id, keeps_client_id=verb.keeps_client_id):
        _nobody(verb.client_id)


def _nobody(client_id: int | None) -> None:
    """To have all connections dropped is fine also where there are none; one that is named must be there."""
    if client_id is not None:
        raise CommandError(f"client {client_id} is not connected")


def _reset_port(gateway: Gateway, verb: verbs.ResetPort) -> None:
    try:
        _front(gateway).move(verb.port)
    except FatalError as error:
        raise CommandError(str(error)) from error


def _restart(gateway: Gateway, verb: verbs.Restart | verbs.NightlyRestart) -> None:
    is_begun = _front(gateway).restart(
        deaf_s=verb.deaf_s, down_s=verb.down_s, roll_back_order_ids=verb.roll_back_order_ids
    )
    if not is_begun:
        raise CommandError("another restart is under way")


# Orders.


def _fill(gateway: Gateway, verb: verbs.Fill) -> None:
    record = _order(gateway, verb)
    _happened(
        gateway, gateway.engine.fill_now(record.perm_id, gateway.now_ns(), quantity=verb.quantity, price=verb.price)
    )


def _cancel_order(gateway: Gateway, verb: verbs.CancelOrder) -> None:
    record = _order(gateway, verb)
    _happened(
        gateway, gateway.engine.cancel(record.perm_id, gateway.now_ns(), reason=CancelReason.SYSTEM, text=verb.text)
    )


def _correct_execution(gateway: Gateway, verb: verbs.CorrectExecution) -> None:
    _happened(gateway, gateway.engine.correct(verb.exec_id, gateway.now_ns(), quantity=verb.quantity, price=verb.price))


def _roll_back(gateway: Gateway, verb: verbs.RollBackOrderIds) -> None:
    gateway.orders.roll_back_ids(verb.by, verb.client_id)


def _happened(gateway: Gateway, events: list[Event], *, is_told: bool = True) -> None:
    """Events of the engine that nobody asked for become known; while the link is lost, later."""
    if events and isinstance(events[0], Refused):
        raise CommandError(events[0].text)
    if gateway.faults.is_link_lost:
        gateway.gap.unseen.extend(events)
        return
    notices = gateway.orders.told(events)
    gateway.deliver(notices if is_told else ())


def _order(gateway: Gateway, verb: verbs.OrderEvent) -> OrderRecord:
    try:
        return gateway.orders.log.find(
            gateway.gap.unseen,
            perm_id=verb.perm_id,
            order_ref=verb.order_ref,
            client_id=verb.client_id,
            order_id=verb.order_id,
        )
    except UnknownOrderError as error:
        raise CommandError(str(error)) from error


_ACTS: dict[type[verbs.Verb], Callable[[Gateway, Any], None]] = {
    verbs.LoseLink: _lose_link,
    verbs.FarmDown: _farm_down,
    verbs.FarmUp: _farm_up,
    verbs.FailLiveUpdates: _fail_live_updates,
    verbs.ForgetSubscriptions: _forget_subscriptions,
    verbs.DropConnection: _drop,
    verbs.HalfOpen: _half_open,
    verbs.ResetPort: _reset_port,
    verbs.Restart: _restart,
    verbs.Fill: _fill,
    verbs.CancelOrder: _cancel_order,
    verbs.CorrectExecution: _correct_execution,
    verbs.RollBackOrderIds: _roll_back,
}
"""What is done at once; every other verb only leaves something in force."""
