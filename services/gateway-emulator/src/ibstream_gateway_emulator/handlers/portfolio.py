"""Requests about positions, account values, profit and loss."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import account_values as values
from ibstream_gateway_emulator.domain import codes, portfolio
from ibstream_gateway_emulator.domain.account_values import Value, ValueFeed
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.messages import (
    AccountDownloadEnd,
    AccountSummary,
    AccountSummaryEnd,
    AccountUpdateMulti,
    AccountUpdateMultiEnd,
    AccountValue,
    FamilyCode,
    FamilyCodes,
    ManagedAccounts,
    Message,
    PositionEnd,
    PositionMultiEnd,
)
from ibstream_gateway_emulator.protocol.requests import (
    CancelAccountSummary,
    CancelAccountUpdatesMulti,
    CancelPnL,
    CancelPnLSingle,
    CancelPositions,
    CancelPositionsMulti,
    ReqAccountSummary,
    ReqAccountUpdates,
    ReqAccountUpdatesMulti,
    ReqFamilyCodes,
    ReqManagedAccounts,
    ReqPnL,
    ReqPnLSingle,
    ReqPositions,
    ReqPositionsMulti,
)

Messages = Iterator[Message]

_ALL = "All"


def positions(gateway: Gateway, client: Client, _request: ReqPositions) -> Messages:
    """All positions now, and each that changes from now on."""
    desk = gateway.portfolio
    desk.of(client).positions = True
    for position in desk.held():
        yield portfolio.position_data(gateway.account, desk.listing_of(position), position)
    yield PositionEnd()


def cancel_positions(gateway: Gateway, client: Client, _request: CancelPositions) -> Messages:
    """No more changes of positions."""
    gateway.portfolio.of(client).positions = False
    yield from ()


def positions_multi(gateway: Gateway, client: Client, request: ReqPositionsMulti) -> Messages:
    """The same under the request's id."""
    _check_account(gateway, request.account)
    desk = gateway.portfolio
    if request.req_id in desk.of(client).positions_multi:
        raise RequestError(codes.duplicate_ticker(request.req_id))
    desk.of(client).positions_multi[request.req_id] = request.model_code
    for position in desk.held():
        found = desk.listing_of(position)
        yield portfolio.position_multi(request.req_id, gateway.account, request.model_code, found, position)
    yield PositionMultiEnd(request.req_id)


def cancel_positions_multi(gateway: Gateway, client: Client, request: CancelPositionsMulti) -> Messages:
    """No more changes of positions under that id."""
    gateway.portfolio.of(client).positions_multi.pop(request.req_id, None)
    yield from ()


def account_updates(gateway: Gateway, client: Client, request: ReqAccountUpdates) -> Messages:
    """All values and items of the portfolio now, and those that change from now on; or no more of them."""
    desk = gateway.portfolio
    if not request.subscribe:
        desk.unfollow_account(client)
        return
    if not _is_ours(gateway, request.account) and desk.is_account_followed(but_by=client):
        raise RequestError(codes.OTHER_ACCOUNT_FOLLOWED)
    _check_account(gateway, request.account)
    feed, now_ns = desk.follow_account(client), gateway.now_ns()
    for key, value, currency in feed.changed(_values(gateway)):
        yield AccountValue(key, value, currency, gateway.account)
    for position in desk.held():
        yield desk.portfolio_value(position, now_ns)
    yield desk.update_time(now_ns)
    yield AccountDownloadEnd(gateway.account)


def account_updates_multi(gateway: Gateway, client: Client, request: ReqAccountUpdatesMulti) -> Messages:
    """All values now under the request's id, and those that change from now on."""
    _check_account(gateway, request.account)
    ledger_and_nlv = values.named((*values.LEDGER_KEYS, "NetLiquidation"))
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
    """The values named by the tags now, by tag, and those of them that change from now on."""
    if request.group != _ALL:
        raise RequestError(codes.invalid(f"Unknown account group '{request.group}'"))
    feed = ValueFeed(values.summarised(request.tags))
    gateway.portfolio.open_summary(client, request.req_id, feed)
    for key, value, currency in feed.changed(_values(gateway)):
        yield AccountSummary(request.req_id, gateway.account, key, value, currency)
    yield AccountSummaryEnd(request.req_id)


def cancel_account_summary(gateway: Gateway, client: Client, request: CancelAccountSummary) -> Messages:
    """No more of that summary."""
    gateway.portfolio.of(client).summaries.pop(request.req_id, None)
    yield from ()


def pnl(gateway: Gateway, client: Client, request: ReqPnL) -> Messages:
    """The account's profit and loss now, and every second in which it changes."""
    _check_account(gateway, request.account)
    following = gateway.portfolio.of(client)
    if request.req_id in following.pnl:
        raise RequestError(codes.duplicate_ticker(request.req_id))
    following.pnl[request.req_id] = None
    yield from gateway.portfolio.pnl(client, gateway.now_ns())


def cancel_pnl(gateway: Gateway, client: Client, request: CancelPnL) -> Messages:
    """No more of that."""
    gateway.portfolio.of(client).pnl.pop(request.req_id, None)
    yield from ()


def pnl_single(gateway: Gateway, client: Client, request: ReqPnLSingle) -> Messages:
    """One instrument's profit and loss now, and every second in which it changes."""
    _check_account(gateway, request.account)
    following = gateway.portfolio.of(client)
    if request.req_id in following.pnl_single:
        raise RequestError(codes.duplicate_ticker(request.req_id))
    found = gateway.master.by_con_id(request.con_id)
    if found is None:
        raise RequestError(codes.UNKNOWN_CONTRACT)
    following.pnl_single[request.req_id] = (found.symbol, None)
    yield from gateway.portfolio.pnl(client, gateway.now_ns())


def cancel_pnl_single(gateway: Gateway, client: Client, request: CancelPnLSingle) -> Messages:
    """No more of that."""
    gateway.portfolio.of(client).pnl_single.pop(request.req_id, None)
    yield from ()


def managed_accounts(gateway: Gateway, _client: Client, _request: ReqManagedAccounts) -> Messages:
    """The one account."""
    yield ManagedAccounts(gateway.account)


def family_codes(gateway: Gateway, _client: Client, _request: ReqFamilyCodes) -> Messages:
    """The one account, which belongs to no family."""
    yield FamilyCodes((FamilyCode(gateway.account, ""),))


def _values(gateway: Gateway) -> list[Value]:
    return gateway.portfolio.values(gateway.now_ns())


def _check_account(gateway: Gateway, account: str) -> None:
    if not _is_ours(gateway, account):
        raise RequestError(codes.invalid(f"Invalid account code '{account}'."))


def _is_ours(gateway: Gateway, account: str) -> bool:
    return account in ("", _ALL, gateway.account)
