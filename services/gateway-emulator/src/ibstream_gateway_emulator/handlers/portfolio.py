"""Requests about positions and account values."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes, portfolio
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.portfolio import ValueFeed
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.messages import (
    AccountDownloadEnd,
    AccountSummary,
    AccountSummaryEnd,
    AccountUpdateMulti,
    AccountUpdateMultiEnd,
    AccountValue,
    ManagedAccounts,
    Message,
    PositionEnd,
)
from ibstream_gateway_emulator.protocol.requests import (
    CancelAccountSummary,
    CancelAccountUpdatesMulti,
    CancelPositions,
    ReqAccountSummary,
    ReqAccountUpdates,
    ReqAccountUpdatesMulti,
    ReqManagedAccounts,
    ReqPositions,
)

Messages = Iterator[Message]


def positions(gateway: Gateway, client: Client, _request: ReqPositions) -> Messages:
    """All positions now, and each that changes from now on."""
    gateway.portfolio.of(client).positions = True
    for position in gateway.engine.account.positions.values():
        if position.quantity:
            yield portfolio.position_data(gateway.account, position)
    yield PositionEnd()


def cancel_positions(gateway: Gateway, client: Client, _request: CancelPositions) -> Messages:
    """No more changes of positions."""
    gateway.portfolio.of(client).positions = False
    yield from ()


def account_updates(gateway: Gateway, client: Client, request: ReqAccountUpdates) -> Messages:
    """All values and items of the portfolio now, and those that change from now on; or no more of them."""
    if not request.subscribe:
        gateway.portfolio.of(client).account_updates = None
        return
    _check_account(gateway, request.account)
    gateway.portfolio.of(client).account_updates = feed = ValueFeed()
    now_ns = gateway.now_ns()
    for key, value, currency in feed.changed(_values(gateway)):
        yield AccountValue(key, value, currency, gateway.account)
    for position in gateway.engine.account.positions.values():
        if position.quantity:
            yield portfolio.portfolio_value(gateway.account, position, gateway.engine, now_ns)
    yield gateway.portfolio.update_time(now_ns)
    yield AccountDownloadEnd(gateway.account)


def account_updates_multi(gateway: Gateway, client: Client, request: ReqAccountUpdatesMulti) -> Messages:
    """All values now under the request's id, and those that change from now on."""
    _check_account(gateway, request.account)
    ledger_and_nlv = portfolio.named((*portfolio.LEDGER_KEYS, "NetLiquidation"))
    feed = ValueFeed(ledger_and_nlv) if request.ledger_and_nlv else ValueFeed()
    gateway.portfolio.of(client).account_multi[request.req_id] = (request.model_code, feed)
    for key, value, currency in feed.changed(_values(gateway)):
        yield AccountUpdateMulti(request.req_id, gateway.account, request.model_code, key, value, currency)
    yield AccountUpdateMultiEnd(request.req_id)


def cancel_account_updates_multi(gateway: Gateway, client: Client, request: CancelAccountUpdatesMulti) -> Messages:
    """No more values under that id."""
    gateway.portfolio.of(client).account_multi.pop(request.req_id, None)
    yield from ()


def account_summary(gateway: Gateway, client: Client, request: ReqAccountSummary) -> Messages:
    """The values named by the tags now, and those of them that change from now on."""
    if request.req_id in gateway.portfolio.of(client).summaries:
        raise RequestError(codes.duplicate_ticker(request.req_id))
    gateway.portfolio.of(client).summaries[request.req_id] = feed = ValueFeed(portfolio.summarised(request.tags))
    for key, value, currency in feed.changed(_values(gateway)):
        yield AccountSummary(request.req_id, gateway.account, key, value, currency)
    yield AccountSummaryEnd(request.req_id)


def cancel_account_summary(gateway: Gateway, client: Client, request: CancelAccountSummary) -> Messages:
    """No more of that summary."""
    gateway.portfolio.of(client).summaries.pop(request.req_id, None)
    yield from ()


def managed_accounts(gateway: Gateway, _client: Client, _request: ReqManagedAccounts) -> Messages:
    """The one account."""
    yield ManagedAccounts(gateway.account)


def _values(gateway: Gateway) -> list[portfolio.Value]:
    return gateway.portfolio.values(gateway.now_ns())


def _check_account(gateway: Gateway, account: str) -> None:
    if account not in ("", "All", gateway.account):
        raise RequestError(codes.invalid(f"Invalid account code '{account}'."))
