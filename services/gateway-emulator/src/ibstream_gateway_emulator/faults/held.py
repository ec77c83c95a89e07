"""The states in force: since when, until when, how often still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.faults.verb import State

STATES_MAX = 1_000
"""States in force at once; more of them is a runaway script."""

S = TypeVar("S", bound=State)
_SELECTORS = ("client_id", "symbol", "order_ref", "farm", "ends")


class TooManyStatesError(ValueError):
    """`STATES_MAX` states are in force already."""


@dataclass(slots=True)
class Held:
    """One state in force."""

    verb: State
    since_ns: int
    until_ns: int | None
    """When it ends by itself; None: when it is cleared."""
    left: int | None
    """How often it still happens; None: as long as it lasts."""


class States:
    """All states in force. One that is commanded again with the same scope replaces the former.

    `ended` is told of those that end without being taken out: they were replaced, or have happened for the last time.
    """

    def __init__(self, ended: Callable[[State], None] = lambda _state: None) -> None:
        self._held: dict[type[State], list[Held]] = {}
        self._ended = ended

    def add(self, verb: State, now_ns: int) -> None:
        """Put a state in force. Raises `TooManyStatesError`; then nothing has changed."""
        held = self._held.setdefault(type(verb), [])
        replaced = [one for one in held if _scope(one.verb) == _scope(verb)]
        if not replaced and sum(map(len, self._held.values())) >= STATES_MAX:
            raise TooManyStatesError(f"{STATES_MAX} faults are in force already; clear some")
        for one in replaced:
            held.remove(one)
            self._ended(one.verb)
        until_ns = None if verb.for_s is None else now_ns + int(verb.for_s * NS_PER_S)
        held.append(Held(verb, now_ns, until_ns, getattr(verb, "count", None)))

    def first(self, kind: type[S], fits: Callable[[S], bool] = lambda _verb: True) -> S | None:
        """The oldest state of a kind that fits; None if there is none."""
        for one in self._held.get(kind, ()):
            if isinstance(one.verb, kind) and fits(one.verb):
                return one.verb
        return None

    def use(self, kind: type[S], fits: Callable[[S], bool]) -> S | None:
        """As `first`, and it has happened once more: a state that counts ends with the last time."""
        verb = self.first(kind, fits)
        if verb is not None:
            self._count_down(verb)
        return verb

    def remove(self, fits: Callable[[State], bool]) -> list[State]:
        """Take out all states that fit; they are returned, oldest first."""
        gone = [one for one in self if fits(one.verb)]
        for held in self._held.values():
            held[:] = [one for one in held if not fits(one.verb)]
        return [one.verb for one in gone]

    def expire(self, now_ns: int) -> list[State]:
        """Take out all states whose time is over."""
        over = [one.verb for one in self if one.until_ns is not None and one.until_ns <= now_ns]
        return self.remove(lambda verb: any(verb is one for one in over)) if over else []

    def __iter__(self) -> Iterator[Held]:
        return iter(sorted((one for held in self._held.values() for one in held), key=lambda one: one.since_ns))

    def _count_down(self, verb: State) -> None:
        for one in self._held[type(verb)]:
            if one.verb is verb and one.left is not None:
                one.left -= 1
                if not one.left:
                    self.remove(lambda other: other is verb)
                    self._ended(verb)
                return


def _scope(verb: State) -> tuple[object, ...]:
    return tuple(getattr(verb, name, None) for name in _SELECTORS)
