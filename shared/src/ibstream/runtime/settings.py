"""Everything that can be configured: `config/settings.yaml`, overridden by `SA_…` environment variables and secret files.

A nested name is joined by two underscores: `broker.ibkr.port` is `SA_BROKER__IBKR__PORT`. A secret may also be a file of
that name (lower case) in `/run/secrets`. What is unknown, malformed or contradictory stops the start with an error that
names the setting, where its value came from, and what to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from ibstream.runtime.errors import ConfigurationError
from ibstream.runtime.logging import LogFormat
from ibstream.runtime.risk_settings import REQUIRED_LIVE, RiskSettings, Section

PREFIX = "SA_"
CONFIG_VARIABLE = "SA_CONFIG"
"""Names the settings file, where it is not found by itself."""
SECRETS_DIRECTORY = Path("/run/secrets")
_SECRETS = {"redis.url", "redis.quotes_url"}
_NOT_SETTINGS = {CONFIG_VARIABLE, "SA_TEST_REDIS_URL"}

LIVE_PORTS = {4001: "Gateway", 4003: "Gateway container", 7496: "TWS"}
PAPER_PORTS = {4002: "Gateway", 4004: "Gateway container", 7497: "TWS"}
PAPER_ACCOUNT_PREFIX = "DU"

Provider = Literal["ibkr", "simulated", "stub"]

_HOUR_AND_MINUTE = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _hour_and_minute(value: object) -> object:
    if not isinstance(value, str) or (value and not _HOUR_AND_MINUTE.fullmatch(value)):
        raise ValueError('it must be a time of 24 hours in quotes, as in "23:50", or empty')
    return value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("it must be a time zone of the tz database, as in America/New_York") from None
    return name


class IbkrSettings(Section):
    """Where the Gateway is and who we are to it."""

    host: str = "127.0.0.1"
    port: int = Field(4002, ge=1, le=65535)
    client_id: int = Field(1, ge=1, le=1_000_000)
    """Base: orders use it, bars add 1, quotes add 2. Never 0, which would bind the orders of people at their screens."""
    account_id: str = ""
    requests_per_s: int = Field(45, ge=1, le=1000)
    """Messages of broker, data and feed together: IBKR allows 50 a second, more where market data lines were bought."""
    connect_timeout_s: float = Field(20.0, gt=0, le=300)
    probe_interval_s: float = Field(8.0, ge=1.1, le=300)
    probe_timeout_s: float = Field(5.0, gt=0, le=60)
    auto_restart_time: Annotated[str, BeforeValidator(_hour_and_minute)] = ""
    """When the Gateway restarts itself every day, "HH:MM"; empty for never."""
    auto_restart_zone: Annotated[str, AfterValidator(_zone)] = "America/New_York"
    """The Gateway's own time zone."""


class BrokerSettings(Section):
    """The broker, and the connection that all three services share."""

    provider: Provider = "ibkr"
    paper_trading: bool = True
    confirm_live: str = ""
    requests_per_s: int = Field(20, ge=1, le=1000)
    order_valid_for_s: float = Field(30.0, gt=0, le=86400)
    requests_waiting_max: int = Field(10_000, ge=1, le=1_000_000)
    """Bounds the memory: beyond it new requests are refused with `overloaded`. Cancels always find room."""
    reconcile_interval_s: float = Field(60.0, ge=1, le=3600)
    """How often orders, executions and positions are compared with IBKR's while nothing is unclear."""
    on_position_mismatch: Literal["block", "report"] = "block"
    """Whether orders that open or enlarge a position are refused where the fills and IBKR disagree about what is held."""
    journal_durability: Literal["auto", "required", "off"] = "auto"
    """Whether an order waits until its journal is on Redis' disk (WAITAOF): where Redis can; or not at all without; or never."""
    ibkr: IbkrSettings = IbkrSettings()


class DataSettings(Section):
    """Historical bars."""

    requests_per_s: int = Field(10, ge=1, le=1000)
    request_timeout_s: float = Field(60.0, gt=0, le=600)
    bars_per_chunk: int = Field(500, ge=1, le=10_000)


class FeedSettings(Section):
    """Streaming quotes."""

    symbols_file: Path = Path("symbols/sp500.txt")
    market_data_lines: int = Field(100, ge=1, le=10_000)
    """IBKR's, of this Gateway's user; feed processes on one Gateway share them evenly."""
    sampling_lines: int = Field(10, ge=0, le=1000)
    """Of the lines: kept for the snapshots that go through the rest of the list in turn; 0 for none."""
    tick_by_tick_lines: int = Field(3, ge=0, le=100)
    depth_lines: int = Field(3, ge=0, le=100)
    """Feed processes on one Gateway share both evenly, one stream each at least."""
    market_data_type: Literal["live", "frozen", "delayed", "delayed_frozen"] = "delayed"
    """What is asked for where live data is not to be had; live is given wherever it is."""
    stale_after_s: float = Field(60.0, ge=1, le=86400)
    """A symbol silent for so long in its exchange's regular hours is asked for again, and stale where nothing comes."""
    requests_per_s: int = Field(15, ge=1, le=1000)
    """Feed processes on one Gateway share them evenly."""
    reconnect_interval_s: float = Field(5.0, gt=0, le=300)
    instances_max: int = Field(8, ge=1, le=32)
    """Feed processes that share the list; more stand by."""
    shards: int = Field(8, ge=1, le=256)
    last_values_interval_s: float = Field(0.25, ge=0.01, le=60)
    keep_entries: int = Field(10_000, ge=100, le=10_000_000)
    keep_s: float = Field(0, ge=0, le=604_800)
    """Entries of a shard that are kept: about so many; or, where `keep_s` is not 0, those of so many seconds."""
    decoder: Literal["fast", "stock"] = "fast"
    """Who reads ticks off the wire: the feed itself, or ib_async, of which it then reads them."""
    receive_buffer_bytes: int = Field(65_536, ge=4096, le=16_777_216)
    """Of the socket to the Gateway: what waits there is old before it is read."""


class WatchdogSettings(Section):
    """Health and the HTTP API."""

    http_host: str = "127.0.0.1"
    http_port: int = Field(8000, ge=0, le=65535)
    probe_interval_s: float = Field(5.0, ge=0.5, le=300)
    probe_timeout_s: float = Field(3.0, gt=0, le=60)


class SimulationSettings(Section):
    """The market of the simulated and stub providers."""

    seed: int = Field(7, ge=0)


class RedisSettings(Section):
    """The bus."""

    url: SecretStr = SecretStr("")
    quotes_url: SecretStr = SecretStr("")
    embedded_port: int = Field(6390, ge=1, le=65535)
    data_dir: Path = Path(".ibstream")

    @property
    def bus_url(self) -> str:
        """Where the services find the bus: `redis.url`, or the embedded server where that is empty."""
        return self.url.get_secret_value() or f"redis://127.0.0.1:{self.embedded_port}/0"

    @property
    def quotes_bus_url(self) -> str:
        """Where quotes go: `redis.quotes_url`, or the bus itself where that is empty."""
        return self.quotes_url.get_secret_value() or self.bus_url


class MetricsSettings(Section):
    """The health endpoint of each service: /livez, /readyz, /metrics."""

    host: str = "127.0.0.1"
    port_broker: int = Field(9101, ge=0, le=65535)
    port_data: int = Field(9102, ge=0, le=65535)
    port_feed: int = Field(9103, ge=0, le=65535)


class LoggingSettings(Section):
    """What is logged and how."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    format: LogFormat = "auto"


class Settings(BaseSettings):
    """All settings of all services; every process reads the same ones."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, case_sensitive=False
    )

    broker: BrokerSettings = BrokerSettings()
    risk: RiskSettings = RiskSettings()
    data: DataSettings = DataSettings()
    feed: FeedSettings = FeedSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    simulation: SimulationSettings = SimulationSettings()
    redis: RedisSettings = RedisSettings()
    metrics: MetricsSettings = MetricsSettings()
    logging: LoggingSettings = LoggingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then secret files, then the settings file."""
        sources: list[PydanticBaseSettingsSource] = [env_settings]
        if SECRETS_DIRECTORY.is_dir():
            sources.append(
                NestedSecretsSettingsSource(
                    file_secret_settings, secrets_dir=SECRETS_DIRECTORY, secrets_nested_delimiter="__"
                )
            )
        file = find_settings_file()
        if file is not None:
            sources.append(YamlConfigSettingsSource(settings_cls, yaml_file=file))
        return tuple(sources)

    @property
    def symbols_path(self) -> Path:
        """The symbol list; a relative `feed.symbols_file` is taken from the folder of the settings file."""
        return find_config_dir() / self.feed.symbols_file


def load_settings() -> Settings:
    """Read, check and return the settings; raise `ConfigurationError` with all that is wrong at once."""
    _refuse_unknown_names(os.environ, "in the environment")
    _refuse_unknown_names(_secret_files(), f"in {SECRETS_DIRECTORY}")
    try:
        settings = Settings()
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(problem) for problem in error.errors())) from None
    except SettingsError as error:  # its text holds no value
        raise ConfigurationError(f"{error}: it is no JSON; set one variable per setting instead") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{find_settings_file()} is not valid YAML: {error}") from None
    except ValueError:
        raise ConfigurationError(f"{find_settings_file()} is not valid: it must map sections to settings") from None
    _refuse_contradictions(settings)
    return settings


def find_settings_file() -> Path | None:
    """`$SA_CONFIG`, else `config/settings.yaml` here, else the one of the checkout this package runs from, else None."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(f"{CONFIG_VARIABLE} names {named}, which is no file; correct or unset it")
        return Path(named)
    relative = Path("config") / "settings.yaml"
    checkout = Path(__file__).resolve().parents[4]
    return next((root / relative for root in (Path.cwd(), checkout) if (root / relative).is_file()), None)


def find_config_dir() -> Path:
    """The folder of the settings file, where `symbols/` lies too."""
    file = find_settings_file()
    if file is None:
        raise ConfigurationError(
            f"no config/settings.yaml here; run from the checkout or set {CONFIG_VARIABLE} to its path"
        )
    return file.resolve().parent


def _secret_files() -> list[str]:
    return [file.name for file in SECRETS_DIRECTORY.iterdir()] if SECRETS_DIRECTORY.is_dir() else []


def _refuse_unknown_names(names: Iterable[str], where: str) -> None:
    """A typing error in a variable's name must not silently leave the default in force."""
    sections = {name.upper() for name in Settings.model_fields}
    for given in sorted(names):
        name = given.upper()
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS:
            continue
        if name.removeprefix(PREFIX).split("__")[0] not in sections or "__" not in name:
            raise ConfigurationError(
                f"{given} {where} is no setting of ibstream; see config/settings.yaml for the names"
            )


def _explain(problem: Mapping[str, Any]) -> str:
    path = [str(part) for part in problem["loc"]]
    name = ".".join(path)
    variable = PREFIX + "__".join(path).upper()
    source, is_secret = _source_of(variable)
    if problem["type"] == "extra_forbidden":
        return f"{name}: no such setting (from {source}); see config/settings.yaml for the names"
    is_secret = is_secret or any(f"{secret}.".startswith(f"{name}.") for secret in _SECRETS)
    given = f", got {problem['input']!r}" if isinstance(problem["input"], str | int | float) and not is_secret else ""
    instead = f" or set {variable}" if len(path) > 1 else ""
    return f"{name}: {problem['msg']}{given} (from {source}); correct it there{instead}"


def _source_of(variable: str) -> tuple[str, bool]:
    """Where a value came from, and whether that place is for secrets."""
    if variable in {key.upper() for key in os.environ}:
        return variable, False
    for file in _secret_files():
        if file.upper() == variable:
            return str(SECRETS_DIRECTORY / file), True
    return str(find_settings_file() or "the defaults"), False


def _refuse_contradictions(settings: Settings) -> None:
    """Paper by default, live only on purpose and within limits; and no more messages than IBKR takes."""
    broker = settings.broker
    if broker.provider != "ibkr":
        return
    _refuse_wrong_port(broker)
    if not broker.paper_trading and not broker.confirm_live:
        raise ConfigurationError(
            "live trading wants to be confirmed: set SA_BROKER__CONFIRM_LIVE to the id of the account to trade"
        )
    if broker.ibkr.account_id:
        refuse_wrong_account(settings, broker.ibkr.account_id)
    if not broker.paper_trading:
        _refuse_unlimited(settings.risk)
    _refuse_too_many_requests(settings)


def _refuse_wrong_port(broker: BrokerSettings) -> None:
    port = broker.ibkr.port
    if broker.paper_trading and port in LIVE_PORTS:
        raise ConfigurationError(
            f"broker.ibkr.port {port} is the live port of the {LIVE_PORTS[port]}, but broker.paper_trading is true: "
            "set SA_BROKER__IBKR__PORT to a paper port (4002, or 7497 for TWS), or SA_BROKER__PAPER_TRADING=false to trade live"
        )
    if not broker.paper_trading and port in PAPER_PORTS:
        raise ConfigurationError(
            f"broker.ibkr.port {port} is the paper port of the {PAPER_PORTS[port]}, but broker.paper_trading is false: "
            "set SA_BROKER__IBKR__PORT to a live port (4001, or 7496 for TWS), or SA_BROKER__PAPER_TRADING=true"
        )


def _refuse_unlimited(risk: RiskSettings) -> None:
    """Real money has a limit on every order, whatever strategy it is of."""
    missing = [f"risk.{name} (SA_RISK__{name.upper()})" for name in REQUIRED_LIVE if getattr(risk, name) is None]
    missing += [
        f"risk.strategies.{strategy}.{name}"
        for strategy, own in risk.strategies.items()
        for name in REQUIRED_LIVE
        if name in own.model_fields_set and getattr(own, name) is None
    ]
    if missing:
        raise ConfigurationError(
            f"live trading wants risk limits: set {', '.join(missing)}; or SA_BROKER__PAPER_TRADING=true to trade on paper"
        )


def _refuse_too_many_requests(settings: Settings) -> None:
    """IBKR counts the messages of all connections of a user together: beyond, it delays orders or ends the session."""
    rates = {
        "broker.requests_per_s": settings.broker.requests_per_s,
        "data.requests_per_s": settings.data.requests_per_s,
        "feed.requests_per_s": settings.feed.requests_per_s,
    }
    feed = settings.feed
    if feed.instances_max > feed.requests_per_s:
        raise ConfigurationError(
            f"feed.instances_max {feed.instances_max} is more than feed.requests_per_s {feed.requests_per_s}, of which each "
            "needs one at least: lower SA_FEED__INSTANCES_MAX or raise SA_FEED__REQUESTS_PER_S"
        )
    most = settings.broker.ibkr.requests_per_s
    if sum(rates.values()) > most:
        said = " + ".join(f"{name} {rate}" for name, rate in rates.items())
        raise ConfigurationError(
            f"{said} is {sum(rates.values())}, more than broker.ibkr.requests_per_s {most} allows for all three: lower one of "
            "them; or raise SA_BROKER__IBKR__REQUESTS_PER_S, where IBKR allows this user more than 50 messages a second"
        )


def refuse_wrong_account(settings: Settings, account: str) -> None:
    """Raise `ConfigurationError` unless `account` fits the mode: `DU…` for paper, the confirmed one for live."""
    broker = settings.broker
    is_paper = account.startswith(PAPER_ACCOUNT_PREFIX)
    if broker.paper_trading and not is_paper:
        raise ConfigurationError(
            f"account {account} is no paper account ({PAPER_ACCOUNT_PREFIX}…), but broker.paper_trading is true: "
            "point SA_BROKER__IBKR__PORT at a paper Gateway, or set SA_BROKER__PAPER_TRADING=false to trade live"
        )
    if not broker.paper_trading and is_paper:
        raise ConfigurationError(
            f"account {account} is a paper account, but broker.paper_trading is false: "
            "set SA_BROKER__PAPER_TRADING=true, or point SA_BROKER__IBKR__PORT at a live Gateway"
        )
    if not broker.paper_trading and account != broker.confirm_live:
        raise ConfigurationError(
            f"broker.confirm_live does not name account {account}: set SA_BROKER__CONFIRM_LIVE={account} if that is meant"
        )
