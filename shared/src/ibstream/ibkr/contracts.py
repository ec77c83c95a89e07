"""From an instrument to IBKR's contract and back. Each is looked up once; after that its contract id is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibstream.contracts.instrument import Instrument
from ibstream.ibkr import RequestFailed
from ibstream.ibkr.codes import CodeClass, classify
from ibstream.ibkr.session import IbkrSession
from ibstream.runtime.errors import IbstreamError

if TYPE_CHECKING:
    from ib_async import Contract, ContractDetails


class InstrumentError(IbstreamError):
    """An instrument cannot be traded or quoted as it was named."""


class UnknownInstrument(InstrumentError):  # noqa: N818 - the field's words
    """IBKR has no such contract (200)."""


class AmbiguousInstrument(InstrumentError):  # noqa: N818
    """Several contracts fit; `primary_exchange` would tell them apart."""


def to_ib_symbol(symbol: str) -> str:
    """IBKR writes a share class behind a space: `BRK.B` is `BRK B`."""
    return symbol.replace(".", " ")


def from_ib_symbol(symbol: str) -> str:
    """Back to the canonical form: `BRK B` is `BRK.B`."""
    return symbol.replace(" ", ".")


class ContractBook:
    """The contracts looked up so far, by instrument. Contract ids are stable, so it outlives the session."""

    def __init__(self, session: IbkrSession) -> None:
        self._session = session
        self._details: dict[Instrument, ContractDetails] = {}

    async def find(self, instrument: Instrument) -> Contract:
        """The contract, routed as the instrument says.

        Raises `UnknownInstrument`, `AmbiguousInstrument`, and what `IbkrSession.request` raises.
        """
        contract = (await self.details(instrument)).contract
        assert contract is not None  # noqa: S101 - IBKR's details always carry it
        return contract

    async def details(self, instrument: Instrument) -> ContractDetails:
        """Everything IBKR says about the contract: its price tick, trading hours, exchanges."""
        known = self._details.get(instrument)
        if known is None:
            known = self._details[instrument] = await self._look_up(instrument)
        return known

    async def _look_up(self, instrument: Instrument) -> ContractDetails:
        from ib_async import Contract

        wanted = Contract(
            secType=instrument.security_type,
            symbol=to_ib_symbol(instrument.symbol),
            exchange=instrument.exchange,
            primaryExchange=instrument.primary_exchange,
            currency=instrument.currency,
        )
        try:
            found = await self._session.request(lambda ib: ib.reqContractDetailsAsync(wanted))
        except RequestFailed as error:
            if classify(error.code, error.text) is not CodeClass.UNKNOWN_CONTRACT:
                raise
            if "ambiguous" in error.text.lower():
                raise AmbiguousInstrument(_ambiguous(instrument)) from error
            raise UnknownInstrument(f"IBKR knows no {instrument.symbol}: {error.text}") from error
        if not found:
            raise UnknownInstrument(f"IBKR knows no {instrument.symbol}")
        if len(found) > 1:
            raise AmbiguousInstrument(_ambiguous(instrument))
        return found[0]


def _ambiguous(instrument: Instrument) -> str:
    return f"{instrument.symbol} fits several contracts; name its primary_exchange (NASDAQ, NYSE, ARCA, …)"
