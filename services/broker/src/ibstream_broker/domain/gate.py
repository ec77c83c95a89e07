"""Whether a request may go out now: the session, the IBKR link, a halt, the Gateway's restart, its mode, the journal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ibstream.contracts.orders import Reason
from ibstream.contracts.system import ConnectionState, Halt
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.restart_window import GIVEN_UP_AFTER, RestartWindow

_CLOSED = {
    ConnectionState.DEGRADED: (Reason.LINK_LOST, "the Gateway has lost its link to IBKR"),
    ConnectionState.SYNCHRONISING: (Reason.RECONCILING, "the broker is still comparing its orders with IBKR's"),
}
_NO_SESSION = (Reason.GATEWAY_DISCONNECTED, "no session with the Gateway")
_TEXT_CHARACTERS_MAX = 500
"""Of what others wrote, so that a refusal's own words are never cut off."""


def gate(state: ConnectionState, why: str, halt: Halt | None = None) -> Refusal | None:
    """Orders pass only while the session is ready (connected, link up, reconciled) and nobody has halted trading.

    Cancels ask without `halt`: they always pass while there is a session.
    """
    if halt is not None:
        return Refusal(Reason.HALTED, f"halted by {halt.who}: {_cut(halt.why)}")
    if state is ConnectionState.READY:
        return None
    reason, text = _CLOSED.get(state, _NO_SESSION)
    return Refusal(reason, f"{text}: {_cut(why)}" if why else text)


@dataclass
class Standing:
    """Where the broker stands: what opens and closes the gate. Changed by the service the moment something happens.

    | asks | what can refuse it |
    |---|---|
    | an order | everything |
    | a modify | everything but the journal: its order is journalled already |
    | a what-if | the session, and the Gateway's read-only mode |
    | a cancel | the session: never a halt, a restart, a mode or a limit |
    """

    state: ConnectionState = ConnectionState.IDLE
    why: str = ""
    """Why the state is what it is."""
    halt: Halt | None = None
    """The halt in force."""
    session_since: datetime | None = None
    """When the session was made; None without one. Set before `state` becomes ready."""
    read_only: str = ""
    """IBKR's text, since it said in this session that the Gateway's API is read-only; else empty."""
    not_durable: str = ""
    """Why Redis cannot promise to keep the journal, where the settings require that; else empty."""
    window: RestartWindow | None = None
    """The Gateway's daily restart; None where none is configured."""

    def refuses_orders(self, now: datetime) -> Refusal | None:
        """Why no new order may go out; None when one may."""
        return (
            gate(self.state, self.why, self.halt) or self._is_read_only() or self._is_volatile() or self._restarts(now)
        )

    def refuses_modifies(self, now: datetime) -> Refusal | None:
        """Why no change of an order may go out; None when one may."""
        return gate(self.state, self.why, self.halt) or self._is_read_only() or self._restarts(now)

    def refuses_what_ifs(self) -> Refusal | None:
        """Why not even a question what an order would do can be asked; None when it can."""
        return gate(self.state, self.why) or self._is_read_only()

    def refuses_cancels(self) -> Refusal | None:
        """Why not even a cancel can go out; None when it can."""
        return gate(self.state, self.why)

    def _is_read_only(self) -> Refusal | None:
        if not self.read_only:
            return None
        text = f"{_cut(self.read_only)}: turn off Read-Only API in the Gateway's API settings (READ_ONLY_API=no in a container)"
        return Refusal(Reason.READ_ONLY_API, text)

    def _is_volatile(self) -> Refusal | None:
        if not self.not_durable:
            return None
        text = f"{_cut(self.not_durable)}: mend Redis (appendonly yes), or trade without: SA_BROKER__JOURNAL_DURABILITY=auto"
        return Refusal(Reason.JOURNAL_NOT_DURABLE, text)

    def _restarts(self, now: datetime) -> Refusal | None:
        restart = None if self.window is None else self.window.closes(now, self.session_since)
        if self.window is None or restart is None:
            return None
        at = f"{restart.astimezone(self.window.zone):%H:%M} {self.window.zone.key}"
        until = f"ask again once the broker has a new session, at the latest {GIVEN_UP_AFTER.seconds // 60} minutes after it"
        return Refusal(
            Reason.RESTART_WINDOW, f"the Gateway restarts at {at}, and what is sent around it can be lost: {until}"
        )


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS_MAX else f"{text[:_TEXT_CHARACTERS_MAX]}…"
