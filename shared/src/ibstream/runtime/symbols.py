"""The list of symbols: what the feed subscribes and what the simulated market trades."""

from __future__ import annotations

import re
from pathlib import Path

from ibstream.runtime.errors import ConfigurationError

_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.]{0,31}")


def load_symbols(path: Path) -> list[str]:
    """The symbols of a list: one a line, `#` begins a comment, empty lines are skipped, the first of doubles counts.

    Raises `ConfigurationError` if the file cannot be read, names no symbol, or has a line that is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the symbol list {path}: {error.strerror}; set SA_FEED__SYMBOLS_FILE to one that can be read"
        ) from error
    symbols = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    found = list(dict.fromkeys(symbol for symbol in symbols if symbol))
    if not found:
        raise ConfigurationError(f"the symbol list {path} names no symbol")
    for symbol in found:
        if not _SYMBOL.fullmatch(symbol):
            raise ConfigurationError(f"the symbol list {path} has {symbol!r}; write one symbol a line, as in BRK.B")
    return found
