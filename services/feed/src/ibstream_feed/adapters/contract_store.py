"""What IBKR has said of each instrument, kept in Redis so that nothing is looked up twice."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from ibstream.bus import Bus
from ibstream.contracts.instrument import quote_symbol
from ibstream.contracts.registry import contracts_key
from ibstream_feed.ports import Qualified

_DROP = """
return redis.call('HDEL', KEYS[1], unpack(ARGV))
"""
DROP_MAX = 1000
"""How many fields one script drops; Lua's stack has room for some thousands."""

_qualified = msgspec.json.Decoder(Qualified)
_log = structlog.get_logger(__name__)


class ContractStore:
    """Contracts by account and symbol. Every method raises as `Bus.call` does."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def load(self, account: str) -> dict[str, Qualified]:
        """All that is kept for an account, by the symbol that quotes use. What cannot be read is dropped, and looked up again."""
        kept: dict[str, Qualified] = {}
        unreadable: list[bytes] = []
        for field, value in (await self._bus.hash(contracts_key(account))).items():
            contract = _decoded(field, value)
            if contract is None:
                unreadable.append(field)
            else:
                kept[field.decode()] = contract
        for first in range(0, len(unreadable), DROP_MAX):
            await self._drop(account, unreadable[first : first + DROP_MAX])
        return kept

    async def some(self, account: str, symbols: Sequence[str]) -> dict[str, Qualified]:
        """What is kept of these symbols, of which there is one at least; without what cannot be read."""
        values = await self._bus.ask("HMGET", contracts_key(account), *symbols)
        pairs = [(symbol, value) for symbol, value in zip(symbols, values, strict=True) if value is not None]
        found = {symbol: _decoded(symbol.encode(), value) for symbol, value in pairs}
        return {symbol: contract for symbol, contract in found.items() if contract is not None}

    async def keep(self, account: str, symbol: str, qualified: Qualified) -> None:
        """Keep what is known of a symbol, in the place of what was kept before."""
        await self._bus.set_fields(contracts_key(account), {symbol: msgspec.json.encode(qualified)})

    async def drop(self, account: str, symbol: str) -> None:
        """Forget what is known of a symbol."""
        await self._drop(account, [symbol.encode()])

    async def _drop(self, account: str, fields: list[bytes]) -> None:
        await self._bus.run_script(_DROP, [contracts_key(account)], fields)


def _decoded(field: bytes, value: bytes) -> Qualified | None:
    """None for what is no contract, or one of another symbol than it is kept under."""
    try:
        contract = _qualified.decode(value)
        error = "" if quote_symbol(contract.instrument) == field.decode() else "it is of another symbol"
    except (msgspec.DecodeError, UnicodeDecodeError) as failure:
        error = str(failure)
    if error:
        _log.warning("feed.undecodable_contract", symbol=field.decode(errors="replace"), error=error)
        return None
    return contract
