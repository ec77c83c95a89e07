"""What a Gateway begins with, as its settings say: the instruments it knows, and its account."""

from __future__ import annotations

from decimal import Decimal

from ibstream.runtime.errors import ConfigurationError
from ibstream.simulation.account import SimulatedAccount
from ibstream.simulation.instruments import InstrumentError, InstrumentMaster
from ibstream_gateway_emulator.settings import EmulatorSettings, Holding


def instruments(settings: EmulatorSettings) -> InstrumentMaster:
    """The instruments. Raises `ConfigurationError` for a list of symbols that cannot be used."""
    try:
        return InstrumentMaster(settings.symbols)
    except InstrumentError as error:
        raise ConfigurationError(f"symbols: {error}") from error


def account(settings: EmulatorSettings, master: InstrumentMaster) -> SimulatedAccount:
    """The account with its cash and holdings. Raises `ConfigurationError` for what nobody can hold."""
    found = SimulatedAccount(Decimal(settings.cash))
    for held in settings.holdings:
        objection = _objection(held, master)
        if objection:
            raise ConfigurationError(f"holdings: {held.symbol} {objection}")
        found.hold(held.symbol, held.quantity, held.average_cost)
    return found


def _objection(held: Holding, master: InstrumentMaster) -> str:
    listed = master.by_symbol(held.symbol)
    if listed is None or listed.symbol != held.symbol:
        return "is no instrument here; stocks must be among the symbols, others are written like ESZ2026 or EUR.USD"
    if not listed.has_book:
        return "is an index, which cannot be held"
    if not (Decimal(held.quantity).is_finite() and Decimal(held.average_cost).is_finite()):
        return f"needs a finite quantity and cost, not {held.quantity} at {held.average_cost}"
    return ""
