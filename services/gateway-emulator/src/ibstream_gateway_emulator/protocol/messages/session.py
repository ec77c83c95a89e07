"""Messages about the connection itself, and answers that belong to no other topic."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ibstream_gateway_emulator.protocol.base import Message
from ibstream_gateway_emulator.protocol.kinds import Since


class NextValidId(Message, frozen=True):
    """The lowest order id the client may use."""

    HEAD = (9, 1)
    order_id: int


class ManagedAccounts(Message, frozen=True):
    """The accounts of the login, separated by commas."""

    HEAD = (15, 1)
    accounts: str


class Error(Message, frozen=True):
    """An error, a warning or a notice; `req_id` is that of a request or an order, or -1."""

    HEAD = (4, 2)
    req_id: int
    code: int
    text: str
    advanced_reject: Annotated[str, Since(166)] = ""


class CurrentTime(Message, frozen=True):
    """Seconds since 1970-01-01 UTC."""

    HEAD = (49, 1)
    epoch_s: int


class NewsBulletin(Message, frozen=True):
    """A bulletin of the broker or an exchange; type 1 news, 2 an exchange is down, 3 it is back."""

    HEAD = (14, 1)
    bulletin_id: int
    bulletin_type: int
    text: str
    exchange: str


class ScannerParameters(Message, frozen=True):
    """What scanners can be asked for, as XML."""

    HEAD = (19, 1)
    xml: str


class FamilyCode(msgspec.Struct, frozen=True):
    """To which family an account belongs."""

    account: str
    family_code: str


class FamilyCodes(Message, frozen=True):
    """The families of the login's accounts."""

    HEAD = (78,)
    codes: tuple[FamilyCode, ...]


class NewsProvider(msgspec.Struct, frozen=True):
    """One source of news."""

    code: str
    name: str


class NewsProviders(Message, frozen=True):
    """The sources of news the login may read."""

    HEAD = (85,)
    providers: tuple[NewsProvider, ...]


class UserInfo(Message, frozen=True):
    """The white label of the login; empty for most."""

    HEAD = (107,)
    req_id: int
    white_branding_id: str
