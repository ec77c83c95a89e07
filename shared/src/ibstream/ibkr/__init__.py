"""What the three connections to IBKR share. The only rooms besides `adapters/ibkr.py` that know ib_async.

`session` is one connection with its client id; `codes` says what IBKR's codes mean; `contracts` finds the contract of an
instrument; `probe` asks a Gateway whether it is there without taking a client id.

    RecoverableError
    └── GatewayUnavailable (ConnectionError)   no session, or it ended
        └── ClientIdInUse                      326: wait and try the same id again
    RequestFailed                              IBKR answered a request with an error code
"""

from __future__ import annotations

from ibstream.runtime.errors import IbstreamError, RecoverableError


class GatewayUnavailable(RecoverableError, ConnectionError):  # noqa: N818 - a state of the world
    """There is no session with the Gateway, it could not be made, or it ended meanwhile."""


class ClientIdInUse(GatewayUnavailable):
    """Another connection holds our client id (326); often our own old socket, dying. Never answered with another id."""


class RequestFailed(IbstreamError):  # noqa: N818 - named like the event
    """IBKR answered a request with an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} (IBKR code {code})")
        self.code = code
        self.text = text
