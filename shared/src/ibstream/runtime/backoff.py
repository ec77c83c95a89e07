"""How long to wait before another try. A generator per streak of failures: start a new one after success."""

from __future__ import annotations

from collections.abc import Callable, Iterator

Delays = Callable[[], Iterator[float]]
"""Makes a fresh sequence of waits in seconds; an endless one for work that must never be given up."""


def constant(delay_s: float) -> Delays:
    """Wait the same time before every try, for ever."""

    def delays() -> Iterator[float]:
        while True:
            yield delay_s

    return delays


def gateway_retries() -> Iterator[float]:
    """The waits between tries to reach a Gateway: 2, 4, 8 s, and 8 s from then on."""
    yield from (2.0, 4.0)
    yield from constant(8.0)()


def exponential(first_s: float, longest_s: float, factor: float = 2.0) -> Delays:
    """Wait `first_s`, then `factor` times longer each time, never longer than `longest_s`, for ever."""

    def delays() -> Iterator[float]:
        delay_s = first_s
        while True:
            yield delay_s
            delay_s = min(delay_s * factor, longest_s)

    return delays
