"""What is wrong with connections at the moment; the part of `Faults` that the sockets ask."""

from __future__ import annotations

from ibstream_gateway_emulator.domain.bounds import keep_latest
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.faults.chance import Chance
from ibstream_gateway_emulator.faults.held import States

JITTERED_CLIENTS_MAX = 10_000
"""Clients whose rows of chance are remembered; more of them, and that of the first begins anew."""


class ConnectionFaults:
    """Answers out of `states`. `seed` decides the jitter."""

    def __init__(self, states: States, seed: int) -> None:
        self.states = states
        self._seed = seed
        self._jitter: dict[int | None, Chance] = {}

    def refuses_connects(self) -> bool:
        """Whether nobody listens."""
        return self.states.first(verbs.RefuseConnects) is not None

    def accepts_silently(self) -> bool:
        """Whether a new connection never hears a byte."""
        return self.states.first(verbs.AcceptSilently) is not None

    def is_silent_after_handshake(self, client_id: int) -> bool:
        """Whether this client hears nothing more once it has named itself."""
        return self.states.first(verbs.SilentAfterHandshake, lambda one: one.client_id in (None, client_id)) is not None

    def is_frozen(self, client_id: int | None) -> bool:
        """Whether nothing goes to or comes from this client; None for one that has not named itself."""
        return self.states.first(verbs.Freeze, lambda one: one.client_id in (None, client_id)) is not None

    def delay_s(self, client_id: int | None, *, incoming: bool) -> float:
        """How long to hold back what goes to, or comes from, this client. Each call draws its jitter anew."""
        aside = "out" if incoming else "in"
        delay = self.states.first(
            verbs.Delay, lambda one: one.client_id in (None, client_id) and one.direction != aside
        )
        if delay is None:
            return 0.0
        chance = self._jitter.setdefault(client_id, Chance(self._seed, f"jitter {client_id}"))
        keep_latest(self._jitter, JITTERED_CLIENTS_MAX)
        return (delay.ms + (delay.jitter_ms * chance.unit() if delay.jitter_ms else 0)) / 1000

    def piece(self, client_id: int | None) -> tuple[int, float] | None:
        """Into how small pieces writes to this client are split, in bytes, and the seconds between them; None: not at all."""
        split = self.states.first(verbs.SplitWrites, lambda one: one.client_id in (None, client_id))
        return None if split is None else (split.size, split.gap_ms / 1000)
