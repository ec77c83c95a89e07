"""From the fields of a contract to the instruments that fit it.

A client fills what it likes: a contract id, a symbol with a type, half an option. `find_one` is for orders, quotes and history,
which need exactly one instrument; `find_all` is for contract details, where several may fit. What details tell of an
instrument is in `contract_data`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import islice, product

from ibstream.simulation.instruments import InstrumentMaster, Listing, OptionChain
from ibstream.simulation.sessions import new_york_date
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.protocol.base import Leg
from ibstream_gateway_emulator.protocol.fields import Contract
from ibstream_gateway_emulator.protocol.messages import Contract11

TIME_ZONE = "US/Eastern"
"""The zone of the Gateway's own times."""
CONTINUOUS = "CONTFUT"
"""The type that stands for a future's nearest month; for details and history alone."""
FOUND_MAX = 20_000
"""The most instruments one contract may fit; a whole option chain is smaller."""
ISINS = {"AAPL": "US0378331005", "TSLA": "US88160R1014", "AMZN": "US0231351067", "MSFT": "US5949181045"}
"""By key, of the stocks whose numbers are known here."""

_TYPES = frozenset(
    {"STK", "CASH", "FUT", "OPT", "IND", "CFD", "CRYPTO", "BOND", "FUND", "CMDTY", "WAR", "IOPT", "FOP", "NEWS", "BILL"}
)
"""Types that IBKR knows; of those after the fifth there is nothing here."""
_RIGHTS = {"": "", "0": "", "?": "", "C": "C", "CALL": "C", "P": "P", "PUT": "P"}
_OLD_NAMES = {"ISLAND": "NASDAQ"}
"""What IBKR called NASDAQ until 2023; requests may still say so."""
_MONTH_DIGITS, _DAY_DIGITS = 6, 8

Spot = Callable[[str], float]
"""An underlying's price by its key, around which strikes are listed; best one that stands for the day."""


def find_one(
    master: InstrumentMaster,
    contract: Contract,
    now_ns: int,
    *,
    include_expired: bool = False,
    continuous: bool = False,
) -> Listing:
    """The one instrument that fits all fields the client has filled.

    Raises `RequestError`: 200 where none fits or more than one does, 321 for a type there is not, and for a combination, whose
    legs must be looked up one by one with `find_leg`.
    """
    _check_type(contract, continuous=continuous)
    search = _Search(master, contract, new_york_date(now_ns), include_expired)
    found = list(islice(search.found(), 2))
    if not found:
        raise RequestError(codes.UNKNOWN_CONTRACT)
    if len(found) > 1:
        raise RequestError(codes.ambiguous(contract.symbol or contract.local_symbol))
    return found[0]


def find_all(
    master: InstrumentMaster,
    contract: Contract,
    now_ns: int,
    *,
    include_expired: bool = False,
    spot: Spot | None = None,
) -> list[Listing]:
    """The instruments that fit, at most `FOUND_MAX`, nearest expiry first; empty where none does.

    Raises `RequestError` with 321 for a type there is not and for a combination.
    """
    _check_type(contract, continuous=True)
    search = _Search(master, contract, new_york_date(now_ns), include_expired, spot)
    return list(islice(search.found(), FOUND_MAX))


def find_leg(master: InstrumentMaster, leg: Leg) -> Listing:
    """The instrument of a combination's leg. Raises `RequestError` with 200 if there is none."""
    found = master.by_con_id(leg.con_id)
    if found is None:
        raise RequestError(codes.UNKNOWN_CONTRACT)
    return found


def eleven(found: Listing, exchange: str, *, strike: str = "0.0", right: str = "") -> Contract11:
    """The instrument as answers name it; what stands for no `strike` and no `right` differs between messages."""
    return Contract11(
        con_id=found.con_id,
        symbol=found.ib_symbol,
        security_type=found.security_type,
        last_trade_date=found.last_trade_date,
        strike=strike_text(found) or strike,
        right=found.right or right,
        multiplier=multiplier_text(found),
        exchange=exchange,
        currency=found.currency,
        local_symbol=found.local_symbol,
        trading_class=found.trading_class,
    )


def strike_text(found: Listing) -> str:
    """An option's strike with one decimal place at least, `500.0` as recorded; empty for all else."""
    return str(float(found.strike)) if found.security_type == "OPT" else ""


def multiplier_text(found: Listing) -> str:
    """What one contract holds, `50`; empty for what is no contract."""
    return f"{found.multiplier:f}" if found.security_type in ("FUT", "OPT") else ""


def is_expired(found: Listing, today: date) -> bool:
    """Whether the instrument does not trade any more on `today`."""
    return found.expiry is not None and found.expiry < today


@dataclass(frozen=True, slots=True)
class _Search:
    """One contract looked for on one day."""

    master: InstrumentMaster
    contract: Contract
    today: date
    include_expired: bool = False
    spot: Spot | None = None

    def found(self) -> Iterator[Listing]:
        """What fits, found one by one: whoever needs one or two looks no further."""
        for one in self._candidates():
            if _fits(one, self.contract) and (self.include_expired or not is_expired(one, self.today)):
                yield one

    def _candidates(self) -> Iterator[Listing]:
        contract = self.contract
        if contract.con_id:
            return self._single(self.master.by_con_id(contract.con_id))
        match contract.security_type:
            case "STK":
                return self._stock()
            case "CASH":
                return self._pairs()
            case "IND":
                return self._single(self.master.by_symbol(contract.symbol or contract.local_symbol))
            case "FUT":
                return self._futures()
            case "CONTFUT":
                return islice(self._futures(), 1)
            case "OPT":
                return self._options()
        return self._single(None)

    @staticmethod
    def _single(found: Listing | None) -> Iterator[Listing]:
        if found is not None:
            yield found

    def _stock(self) -> Iterator[Listing]:
        # IBKR knows `BRK B` and not `BRK.B`; neither does the emulator.
        symbol = self.contract.symbol or self.contract.local_symbol
        return self._single(None if "." in symbol else self.master.stock(symbol))

    def _pairs(self) -> Iterator[Listing]:
        wanted = self.contract
        pairs = (one for one in self.master if one.security_type == "CASH")
        return (one for one in pairs if one.ib_symbol == wanted.symbol or one.symbol == wanted.local_symbol)

    def _futures(self) -> Iterator[Listing]:
        """All months of the root; a local symbol `ESZ6` names root, month and last digit of the year."""
        symbol = self.contract.symbol or self.contract.local_symbol[:-2] or self.contract.trading_class
        try:
            yield from self.master.futures(symbol, self.today)
            if self.include_expired:
                yield from self.master.expired_futures(symbol, self.today)
        except KeyError:
            return

    def _options(self) -> Iterator[Listing]:
        contract, master = self.contract, self.master
        if contract.local_symbol:
            yield from self._single(master.by_symbol(contract.local_symbol))
            return
        under = None if "." in contract.symbol else master.by_symbol(contract.symbol)
        chain = None if under is None else self._chain(under.symbol)
        if chain is None:
            return
        strike, right = _number(contract.strike), _RIGHTS.get(contract.right.upper())
        rights = [one for one in ("C", "P") if right in ("", one)]
        expiries = (day for day in chain.expirations if _expiry_text_fits(f"{day:%Y%m%d}", contract.last_trade_date))
        for expiry, price, one in product(expiries, (strike,) if strike else chain.strikes, rights):
            yield from self._single(master.option(chain.under, expiry, price, one))

    def _chain(self, under: str) -> OptionChain | None:
        spot = None if self.spot is None else self.spot(under)
        return self.master.option_chain(under, self.today, spot=spot)


def _check_type(contract: Contract, *, continuous: bool) -> None:
    kind = contract.security_type
    if contract.is_combination:
        raise RequestError(codes.NO_COMBINATION)
    is_known = kind in _TYPES or (kind == CONTINUOUS and continuous)
    if not is_known and not (contract.con_id and not kind):
        raise RequestError(codes.NO_SECURITY_TYPE)


def _fits(found: Listing, contract: Contract) -> bool:
    """Whether the instrument agrees with every field that is filled."""
    return (
        contract.security_type in ("", found.security_type, CONTINUOUS if found.security_type == "FUT" else "")
        and contract.symbol in ("", found.ib_symbol)
        and contract.local_symbol in ("", found.local_symbol)
        and contract.trading_class in ("", found.trading_class)
        and contract.currency in ("", found.currency)
        and contract.exchange in ("", found.exchange, *found.valid_exchanges)
        and _primary_fits(found, contract)
        and _expiry_fits(found, contract.last_trade_date)
        and _option_fits(found, contract)
        and (not contract.multiplier or _number(contract.multiplier) == found.multiplier)
    )


def _primary_fits(found: Listing, contract: Contract) -> bool:
    primary = _OLD_NAMES.get(contract.primary_exchange, contract.primary_exchange)
    return primary in ("", "SMART", found.primary_exchange or found.exchange)


def _expiry_fits(found: Listing, wanted: str) -> bool:
    """`202612` is a contract month, `20261218` the last trading day, which a time may follow."""
    if found.security_type == "FUT" and len(wanted) == _MONTH_DIGITS:
        return wanted == found.contract_month
    return _expiry_text_fits(found.last_trade_date, wanted)


def _expiry_text_fits(day: str, wanted: str) -> bool:
    return day.startswith(wanted[:_DAY_DIGITS]) and len(wanted) in (0, _MONTH_DIGITS, *range(_DAY_DIGITS, 40))


def _option_fits(found: Listing, contract: Contract) -> bool:
    if found.security_type != "OPT":
        return True
    right = _RIGHTS.get(contract.right.upper())
    return right in ("", found.right) and _number(contract.strike) in (Decimal(0), found.strike)


def _number(text: str) -> Decimal:
    """A number of a contract's text fields; 0 where it is empty, and one that fits nothing where it is none."""
    try:
        return Decimal(text) if text else Decimal(0)
    except InvalidOperation:
        return Decimal(-1)
