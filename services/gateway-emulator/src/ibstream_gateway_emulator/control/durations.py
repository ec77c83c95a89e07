"""Durations as people write them: `5s`, `250ms`, `1.5m`, `2h`, or a plain number of seconds."""

from __future__ import annotations

import re

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")
DURATION_S_MAX = 30 * 24 * 3600.0


def seconds(value: object) -> float:
    """The duration in seconds. Raises `ValueError` for what is none."""
    found = _DURATION.fullmatch(str(value).strip()) if isinstance(value, int | float | str) else None
    if found is None or isinstance(value, bool):
        raise ValueError(f"{value!r} is no duration; write one like 5s, 250ms, 1.5m, 2h")
    duration_s = float(found[1]) * _UNITS_S[found[2]]
    if duration_s > DURATION_S_MAX:
        raise ValueError(f"{value!r} is longer than 30 days")
    return duration_s
