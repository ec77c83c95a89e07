"""Settings: one file says all there is, the environment overrides it, and what is wrong stops the start by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from ibstream.runtime import settings as module
from ibstream.runtime.errors import EXIT_CONFIGURATION, ConfigurationError
from ibstream.runtime.risk_settings import REQUIRED_LIVE
from ibstream.runtime.settings import Settings, load_settings, refuse_wrong_account

REPOSITORY = Path(__file__).resolve().parents[3]
PASSWORD = "hunter2"

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a settings file and make it the one that is read."""

    def to_file(text: str) -> Path:
        file = tmp_path / "settings.yaml"
        file.write_text(text, encoding="utf-8")
        monkeypatch.setenv("SA_CONFIG", str(file))
        return file

    return to_file


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for secret files."""
    directory = tmp_path / "run-secrets"
    directory.mkdir()
    monkeypatch.setattr(module, "SECRETS_DIRECTORY", directory)
    return directory


def refused() -> str:
    """Load the settings, which must fail, and return what was said."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert caught.value.exit_status == EXIT_CONFIGURATION
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "a traceback would show the values"
    return str(caught.value)


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting: dotted name and value, secrets and paths as text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def plain(model: BaseModel) -> dict[str, Any]:
    """A model as a settings file would say it."""

    def as_written(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return plain(value)
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        if isinstance(value, tuple):
            return list(value)
        return str(value) if isinstance(value, Path) else value

    return {name: as_written(getattr(model, name)) for name in type(model).model_fields}


def test_the_file_and_the_code_have_the_same_defaults(write: Write) -> None:
    """Key by key, both ways: a service without the file behaves as the file says, and the file hides nothing."""
    said = yaml.safe_load((REPOSITORY / "config" / "settings.yaml").read_text(encoding="utf-8"))
    write("{}")
    assert dict(leaves(said)) == dict(leaves(plain(load_settings())))


def test_the_file_has_the_order_of_the_code() -> None:
    """So that both can be read side by side."""
    said = yaml.safe_load((REPOSITORY / "config" / "settings.yaml").read_text(encoding="utf-8"))
    assert list(said) == list(Settings.model_fields)


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("SA_BROKER__PROVIDER", "simulated", "broker.provider", "simulated"),
        ("SA_BROKER__PAPER_TRADING", "true", "broker.paper_trading", True),
        ("SA_BROKER__IBKR__HOST", "gateway", "broker.ibkr.host", "gateway"),
        ("SA_BROKER__IBKR__PORT", "7497", "broker.ibkr.port", 7497),
        ("SA_BROKER__IBKR__CLIENT_ID", "31", "broker.ibkr.client_id", 31),
        ("SA_BROKER__IBKR__ACCOUNT_ID", "DU7", "broker.ibkr.account_id", "DU7"),
        ("sa_broker__ibkr__port", "7497", "broker.ibkr.port", 7497),
        ("SA_REDIS__URL", "redis://a:1/0", "redis.url", "redis://a:1/0"),
        ("SA_REDIS__QUOTES_URL", "redis://b:1/0", "redis.quotes_url", "redis://b:1/0"),
        ("SA_FEED__SHARDS", "16", "feed.shards", 16),
        ("SA_LOGGING__LEVEL", "debug", "logging.level", "debug"),
        ("SA_BROKER__ON_POSITION_MISMATCH", "report", "broker.on_position_mismatch", "report"),
        ("SA_BROKER__JOURNAL_DURABILITY", "required", "broker.journal_durability", "required"),
        ("SA_BROKER__REQUESTS_WAITING_MAX", "7", "broker.requests_waiting_max", 7),
        ("SA_BROKER__RECONCILE_INTERVAL_S", "5", "broker.reconcile_interval_s", 5.0),
        ("SA_BROKER__IBKR__AUTO_RESTART_TIME", "23:50", "broker.ibkr.auto_restart_time", "23:50"),
        ("SA_BROKER__IBKR__AUTO_RESTART_ZONE", "Europe/Zurich", "broker.ibkr.auto_restart_zone", "Europe/Zurich"),
        ("SA_RISK__ORDER_NOTIONAL_MAX", "2500.50", "risk.order_notional_max", Decimal("2500.50")),
        ("SA_RISK__QUOTE_AGE_S_MAX", "", "risk.quote_age_s_max", None),
        ("SA_RISK__SYMBOLS_ALLOWED", "AAPL, BRK.B", "risk.symbols_allowed", ["AAPL", "BRK.B"]),
        ("SA_RISK__SYMBOLS_DENIED", '["AAPL","MSFT"]', "risk.symbols_denied", ["AAPL", "MSFT"]),
        ("SA_RISK__SHORT_ALLOWED", "false", "risk.short_allowed", False),
        ("SA_RISK__ACCOUNT_OPEN_ORDERS_MAX", "20", "risk.account_open_orders_max", 20),
    ],
)
def test_the_environment_overrides_the_file(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str, expected: object
) -> None:
    """One variable changes one setting and no other."""
    before = dict(leaves(plain(load_settings())))
    monkeypatch.setenv(variable, value)
    assert dict(leaves(plain(load_settings()))) == {**before, name: expected}


def test_every_setting_can_be_overridden(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name of the file has its variable, formed as the file's first lines say."""
    said = yaml.safe_load((REPOSITORY / "config" / "settings.yaml").read_text(encoding="utf-8"))
    write("{}")
    for name, value in leaves(said):
        monkeypatch.setenv("SA_" + name.replace(".", "__").upper(), "" if value is None else str(value))
    assert dict(leaves(plain(load_settings()))) == dict(leaves(said))


def test_the_file_overrides_the_code(write: Write) -> None:
    """What the file does not say keeps its default."""
    write("broker:\n  ibkr:\n    client_id: 40\n")
    loaded = load_settings()
    assert loaded.broker.ibkr.client_id == 40
    assert loaded.broker.ibkr.port == 4002


def test_where_the_bus_is() -> None:
    """The embedded server's address where no URL is set; quotes go to the same server unless they have their own."""
    loaded = load_settings()
    assert loaded.redis.bus_url == loaded.redis.quotes_bus_url == "redis://127.0.0.1:6390/0"
    other = loaded.redis.model_copy(update={"url": SecretStr("redis://a"), "quotes_url": SecretStr("redis://q")})
    assert (other.bus_url, other.quotes_bus_url) == ("redis://a", "redis://q")


def test_the_symbols_file_lies_beside_the_settings(write: Write) -> None:
    """A relative path is taken from the folder of the settings file, an absolute one as it is."""
    assert load_settings().symbols_path.is_file()
    file = write("feed:\n  symbols_file: mine.txt\n")
    assert load_settings().symbols_path == file.parent / "mine.txt"


# What is wrong, and what is said about it


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("SA_BROKER__IBKR__PORT", "four", "broker.ibkr.port"),
        ("SA_BROKER__IBKR__PORT", "", "broker.ibkr.port"),
        ("SA_BROKER__IBKR__PORT", "65536", "broker.ibkr.port"),
        ("SA_BROKER__IBKR__CLIENT_ID", "0", "broker.ibkr.client_id"),
        ("SA_BROKER__PROVIDER", "alpaca", "broker.provider"),
        ("SA_BROKER__PAPER_TRADING", "perhaps", "broker.paper_trading"),
        ("SA_FEED__SHARDS", "0", "feed.shards"),
        ("SA_LOGGING__LEVEL", "loud", "logging.level"),
        ("SA_BROKER__IBKR__AUTO_RESTART_TIME", "11:50 PM", "broker.ibkr.auto_restart_time"),
        ("SA_BROKER__IBKR__AUTO_RESTART_TIME", "24:00", "broker.ibkr.auto_restart_time"),
        ("SA_BROKER__IBKR__AUTO_RESTART_ZONE", "New York", "broker.ibkr.auto_restart_zone"),
        ("SA_BROKER__IBKR__AUTO_RESTART_ZONE", "../etc", "broker.ibkr.auto_restart_zone"),
        ("SA_BROKER__ON_POSITION_MISMATCH", "ignore", "broker.on_position_mismatch"),
        ("SA_BROKER__JOURNAL_DURABILITY", "true", "broker.journal_durability"),
        ("SA_RISK__ORDER_QUANTITY_MAX", "0", "risk.order_quantity_max"),
        ("SA_RISK__ORDER_NOTIONAL_MAX", "-1", "risk.order_notional_max"),
        ("SA_RISK__ORDER_NOTIONAL_MAX", "NaN", "risk.order_notional_max"),
        ("SA_RISK__ORDER_NOTIONAL_MAX", "Infinity", "risk.order_notional_max"),
        ("SA_RISK__PRICE_COLLAR_PERCENT", "101", "risk.price_collar_percent"),
        ("SA_RISK__STRATEGY_OPEN_ORDERS_MAX", "1.5", "risk.strategy_open_orders_max"),
        ("SA_RISK__SYMBOLS_ALLOWED", "AAPL,brk b", "risk.symbols_allowed"),
        ("SA_RISK__SYMBOLS_ALLOWED", "[AAPL", "risk.symbols_allowed"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str
) -> None:
    """The error says which setting, what was given, and in which variable."""
    monkeypatch.setenv(variable, value)
    said = refused()
    assert said.startswith(f"{name}: ")
    assert f"got {value!r} (from {variable})" in said


def test_a_wrong_value_in_the_file_names_the_file(write: Write) -> None:
    """And the variable that would override it."""
    file = write("broker:\n  ibkr:\n    port: four\n")
    said = refused()
    assert said.startswith("broker.ibkr.port: ")
    assert f"got 'four' (from {file})" in said
    assert "SA_BROKER__IBKR__PORT" in said


def test_all_that_is_wrong_is_said_at_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to start three times to find three mistakes."""
    file = write("data:\n  bars_per_chunk: 0\nfeed:\n  shardz: 3\n")
    monkeypatch.setenv("SA_BROKER__IBKR__PORT", "four")
    lines = refused().splitlines()
    assert [line.partition(":")[0] for line in sorted(lines)] == [
        "broker.ibkr.port",
        "data.bars_per_chunk",
        "feed.shardz",
    ]
    assert sum(str(file) in line for line in lines) == 2


@pytest.mark.parametrize(
    "variable", ["SA_BROKR__PROVIDER", "SA_BROKER", "SA_PORT", "SA_", "SA_BROKER_IBKR__PORT", "sa_nothing__x"]
)
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A typing error must not leave the default in force."""
    monkeypatch.setenv(variable, "x")
    assert f"{variable} in the environment is no setting" in refused()


@pytest.mark.parametrize("name", ["SA_BROKER__IBKR__PROT", "SA_BROKER__PROVIDR", "SA_REDIS__PASSWORD"])
def test_an_unknown_setting_of_a_known_section_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Below the sections too, with the variable it came from and without its value."""
    monkeypatch.setenv(name, PASSWORD)
    said = refused()
    assert f"no such setting (from {name})" in said
    assert PASSWORD not in said


def test_an_unknown_setting_in_the_file_is_refused(write: Write) -> None:
    """Sections and settings alike."""
    file = write("brocker: {}\nredis:\n  uri: x\n")
    said = refused()
    assert f"brocker: no such setting (from {file})" in said
    assert f"redis.uri: no such setting (from {file})" in said


def test_variables_of_others_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the prefix is ours, and the two names that are no settings are known."""
    monkeypatch.setenv("SAMBA_HOST", "x")
    monkeypatch.setenv("MY_SA_BROKER", "x")
    monkeypatch.setenv("SA_TEST_REDIS_URL", "redis://x")
    assert load_settings().broker.provider == "ibkr"


@pytest.mark.parametrize("text", ["broker: [", "a: b: c", "broker:\n\tport: 1", "- broker", "just words", "'open"])
def test_a_file_that_is_no_mapping_is_refused(write: Write, text: str) -> None:
    """Broken YAML and YAML of another shape: the error names the file."""
    file = write(text)
    assert f"{file} is not valid" in refused()


def test_a_file_in_another_encoding_is_refused(write: Write) -> None:
    """Bytes that are no UTF-8 are said to be so."""
    file = write("")
    file.write_bytes(b"broker: \xff\xfe")
    assert f"{file} is not valid YAML" in refused()


def test_an_empty_file_means_the_defaults(write: Write) -> None:
    """A file of comments is a file."""
    write("# nothing\n")
    assert load_settings().broker.ibkr.port == 4002


def test_a_section_that_is_no_mapping_is_refused(write: Write) -> None:
    """And what stands there is not shown, because it could be a secret."""
    file = write(f"redis: redis://:{PASSWORD}@host\nbroker:\n")
    said = refused()
    assert "redis: " in said
    assert "broker: " in said
    assert str(file) in said
    assert PASSWORD not in said


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SA_CONFIG` that names nothing is a mistake, not a reason to use the defaults."""
    monkeypatch.setenv("SA_CONFIG", str(tmp_path / "nowhere.yaml"))
    said = refused()
    assert "SA_CONFIG" in said
    assert "nowhere.yaml" in said


def test_the_file_is_found_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`config/settings.yaml` where the command runs comes before the checkout's."""
    monkeypatch.delenv("SA_CONFIG")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings.yaml").write_text("feed:\n  shards: 3\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings().feed.shards == 3
    monkeypatch.chdir(tmp_path / "config")
    assert module.find_settings_file() == REPOSITORY / "config" / "settings.yaml"


def test_broken_json_in_a_section_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a traceback and without the value."""
    monkeypatch.setenv("SA_BROKER__IBKR", f"{{{PASSWORD}")
    said = refused()
    assert "broker" in said
    assert PASSWORD not in said


# Secrets


def test_secrets_come_from_files(secrets: Path) -> None:
    """A file of the variable's name in lower case; the final line break is not part of it; other files are left alone."""
    (secrets / "sa_redis__url").write_text(f"redis://:{PASSWORD}@host/0\n")
    (secrets / "tws_password").write_text("none of ours")
    assert load_settings().redis.bus_url == f"redis://:{PASSWORD}@host/0"


def test_the_environment_comes_before_secret_files_and_these_before_the_settings_file(
    write: Write, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearer, the stronger."""
    write("redis:\n  url: redis://file\n  quotes_url: redis://file\n  embedded_port: 1234\n")
    (secrets / "sa_redis__url").write_text("redis://secret")
    (secrets / "sa_redis__quotes_url").write_text("redis://secret")
    monkeypatch.setenv("SA_REDIS__URL", "redis://environment")
    redis = load_settings().redis
    assert (redis.bus_url, redis.quotes_bus_url) == ("redis://environment", "redis://secret")
    assert redis.embedded_port == 1234


@pytest.mark.parametrize("name", ["sa_redis__urll", "sa_rediss__url", "sa_redis__embedded_port"])
def test_a_wrong_secret_file_is_named_and_not_shown(secrets: Path, name: str) -> None:
    """An unknown name, an unknown section, a value that does not fit."""
    (secrets / name).write_text(PASSWORD)
    said = refused()
    assert name in said
    assert str(secrets) in said
    assert PASSWORD not in said


def test_secrets_are_not_shown(write: Write) -> None:
    """Neither by repr, nor by str, nor by a dump; nor when the setting has the wrong type."""
    write(f"redis:\n  url: redis://:{PASSWORD}@host\n  quotes_url: redis://:{PASSWORD}@host\n")
    loaded = load_settings()
    for shown in (repr(loaded), str(loaded), str(loaded.model_dump()), loaded.model_dump_json(), repr(loaded.redis)):
        assert PASSWORD not in shown
    write(f"redis:\n  url: [{PASSWORD}]\n")
    assert PASSWORD not in refused()


def test_settings_cannot_be_changed() -> None:
    """What was checked at the start holds until the end."""
    loaded = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        loaded.broker.paper_trading = False  # type: ignore[misc]


def test_a_time_without_quotes_is_explained(write: Write) -> None:
    """YAML reads 23:50 as the number 1430; the error says how to write it."""
    write("broker:\n  ibkr:\n    auto_restart_time: 23:50\n")
    assert 'in quotes, as in "23:50"' in refused()


# Risk limits, and how many messages IBKR takes


def test_a_strategy_has_its_own_limits(write: Write) -> None:
    """In the place of the general ones; null is off for it, and what it does not name is as for all."""
    write(
        "risk:\n  order_quantity_max: 100\n  order_notional_max: 5000\n  short_allowed: false\n  strategies:\n"
        "    Mean.Reversion: {order_quantity_max: 7, order_notional_max: null, symbols_allowed: [AAPL]}\n"
    )
    risk = load_settings().risk
    own, others = risk.of_strategy("Mean.Reversion"), risk.of_strategy("other")
    assert (own.order_quantity_max, own.order_notional_max, own.symbols_allowed) == (7, None, ("AAPL",))
    assert (others.order_quantity_max, others.order_notional_max, others.symbols_allowed) == (100, 5000, ())
    assert not own.short_allowed


def test_a_strategys_limit_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name in the variable, in lower case; or all of them as JSON, in any."""
    monkeypatch.setenv("SA_RISK__STRATEGIES__MEAN__ORDER_QUANTITY_MAX", "5")
    assert load_settings().risk.of_strategy("mean").order_quantity_max == 5
    monkeypatch.delenv("SA_RISK__STRATEGIES__MEAN__ORDER_QUANTITY_MAX")
    monkeypatch.setenv("SA_RISK__STRATEGIES", '{"Mean": {"order_quantity_max": 6}}')
    assert load_settings().risk.of_strategy("Mean").order_quantity_max == 6


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("risk: {strategies: {a b: {}}}", "risk.strategies.a b"),
        ("risk: {strategies: {a: {order_size_max: 1}}}", "risk.strategies.a.order_size_max"),
        ("risk: {strategies: {a: {account_open_orders_max: 1}}}", "risk.strategies.a.account_open_orders_max"),
    ],
)
def test_a_wrong_limit_of_a_strategy_is_named(write: Write, text: str, name: str) -> None:
    """Its name, and that there is no such limit of a strategy."""
    write(text)
    assert refused().startswith(name)


@pytest.mark.parametrize("lowered", [{"BROKER": 21}, {"DATA": 11}, {"FEED": 16}, {"BROKER__IBKR": 44}])
def test_more_messages_than_ibkr_takes_are_refused(monkeypatch: pytest.MonkeyPatch, lowered: dict[str, int]) -> None:
    """By the three connections together; the error names them, the sum and the ways out."""
    for section, rate in lowered.items():
        monkeypatch.setenv(f"SA_{section}__REQUESTS_PER_S", str(rate))
    said = refused()
    for name in ("broker.requests_per_s", "data.requests_per_s", "feed.requests_per_s", "broker.ibkr.requests_per_s"):
        assert name in said
    assert "SA_BROKER__IBKR__REQUESTS_PER_S" in said


def test_messages_can_be_shared_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one connection gives up another may have."""
    for section, rate in {"BROKER": 30, "DATA": 5, "FEED": 10}.items():
        monkeypatch.setenv(f"SA_{section}__REQUESTS_PER_S", str(rate))
    assert load_settings().broker.requests_per_s == 30


@pytest.mark.parametrize(("instances", "is_refused"), [(14, False), (15, False), (16, True)])
def test_each_feed_process_needs_a_message_a_second(
    monkeypatch: pytest.MonkeyPatch, instances: int, is_refused: bool
) -> None:
    """Of 15: more processes would send more than IBKR takes, or nothing. The error names both settings and the ways out."""
    monkeypatch.setenv("SA_FEED__INSTANCES_MAX", str(instances))
    if not is_refused:
        assert load_settings().feed.instances_max == instances
        return
    said = refused()
    for name in (
        "feed.instances_max 16",
        "feed.requests_per_s 15",
        "SA_FEED__INSTANCES_MAX",
        "SA_FEED__REQUESTS_PER_S",
    ):
        assert name in said


def test_without_a_gateway_nobody_counts_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no IBKR to be too fast for."""
    monkeypatch.setenv("SA_BROKER__PROVIDER", "simulated")
    monkeypatch.setenv("SA_BROKER__REQUESTS_PER_S", "100")
    assert load_settings().broker.requests_per_s == 100


# Paper by default, live only on purpose


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The risk limits that live trading wants."""
    for name in REQUIRED_LIVE:
        monkeypatch.setenv(f"SA_RISK__{name.upper()}", "10")


@pytest.mark.parametrize("port", sorted(module.LIVE_PORTS))
def test_paper_against_a_live_port(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Refused, with both ways out."""
    monkeypatch.setenv("SA_BROKER__IBKR__PORT", str(port))
    said = refused()
    assert f"broker.ibkr.port {port} is the live port" in said
    assert "SA_BROKER__IBKR__PORT" in said
    assert "SA_BROKER__PAPER_TRADING=false" in said


@pytest.mark.parametrize("port", sorted(module.PAPER_PORTS))
def test_live_against_a_paper_port(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Refused, even when it is confirmed; the default port is one of these."""
    monkeypatch.setenv("SA_BROKER__PAPER_TRADING", "false")
    monkeypatch.setenv("SA_BROKER__CONFIRM_LIVE", "U1234567")
    monkeypatch.setenv("SA_BROKER__IBKR__PORT", str(port))
    said = refused()
    assert f"broker.ibkr.port {port} is the paper port" in said
    assert "SA_BROKER__PAPER_TRADING=true" in said


def test_live_wants_to_be_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the account's id there is no live trading, on any port."""
    monkeypatch.setenv("SA_BROKER__PAPER_TRADING", "false")
    for port in ("4001", "14002"):
        monkeypatch.setenv("SA_BROKER__IBKR__PORT", port)
        assert "SA_BROKER__CONFIRM_LIVE" in refused()
        monkeypatch.setenv("SA_BROKER__CONFIRM_LIVE", "")
        assert "SA_BROKER__CONFIRM_LIVE" in refused()
        monkeypatch.delenv("SA_BROKER__CONFIRM_LIVE")


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch, limits: None) -> None:  # noqa: ARG001 - they are a part of it
    """Live port, live mode, confirmed account, risk limits."""
    monkeypatch.setenv("SA_BROKER__PAPER_TRADING", "false")
    monkeypatch.setenv("SA_BROKER__IBKR__PORT", "4001")
    monkeypatch.setenv("SA_BROKER__IBKR__ACCOUNT_ID", "U1234567")
    monkeypatch.setenv("SA_BROKER__CONFIRM_LIVE", "U1234567")


@pytest.mark.usefixtures("live")
def test_live_that_is_meant() -> None:
    """Everything that it wants is said: the start is allowed."""
    loaded = load_settings()
    assert not loaded.broker.paper_trading
    refuse_wrong_account(loaded, "U1234567")


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("missing", REQUIRED_LIVE)
def test_live_wants_risk_limits(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Each of three; the error names the one that is missing and its variable, and no other."""
    monkeypatch.delenv(f"SA_RISK__{missing.upper()}")
    said = refused()
    assert "live trading wants risk limits" in said
    assert [name for name in REQUIRED_LIVE if f"risk.{name} (SA_RISK__{name.upper()})" in said] == [missing]


@pytest.mark.usefixtures("live")
def test_live_wants_them_of_every_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy may have others, but not none."""
    monkeypatch.setenv("SA_RISK__STRATEGIES", '{"a": {"order_quantity_max": 1000}}')
    assert load_settings().risk.of_strategy("a").order_quantity_max == 1000
    monkeypatch.setenv("SA_RISK__STRATEGIES", '{"a": {"order_quantity_max": null}}')
    assert "risk.strategies.a.order_quantity_max" in refused()


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    ("paper", "confirmed", "account", "said"),
    [
        ("true", "", "U1234567", "is no paper account"),
        ("true", "U1234567", "U1234567", "is no paper account"),
        ("true", "", "F1234567", "is no paper account"),
        ("false", "DU1234567", "DU1234567", "is a paper account"),
        ("false", "U1234567", "U7654321", "SA_BROKER__CONFIRM_LIVE=U7654321"),
        ("false", "u1234567", "U1234567", "SA_BROKER__CONFIRM_LIVE=U1234567"),
    ],
)
def test_an_account_that_does_not_fit_the_mode(
    monkeypatch: pytest.MonkeyPatch, paper: str, confirmed: str, account: str, said: str
) -> None:
    """Whether it stands in the settings or is what the session turns out to have."""
    monkeypatch.setenv("SA_BROKER__PAPER_TRADING", paper)
    monkeypatch.setenv("SA_BROKER__CONFIRM_LIVE", confirmed)
    monkeypatch.setenv("SA_BROKER__IBKR__PORT", "14002")  # of a stand-in: the port says nothing
    if paper == "true" or confirmed:
        with pytest.raises(ConfigurationError, match=said):
            refuse_wrong_account(load_settings(), account)
    monkeypatch.setenv("SA_BROKER__IBKR__ACCOUNT_ID", account)
    assert said in refused()


def test_a_paper_account_in_paper_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary case."""
    monkeypatch.setenv("SA_BROKER__IBKR__ACCOUNT_ID", "DU1234567")
    refuse_wrong_account(load_settings(), "DU1234567")


@pytest.mark.parametrize("provider", ["simulated", "stub"])
def test_without_a_gateway_its_port_does_not_matter(monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    """Nothing is connected to, so nothing can contradict."""
    monkeypatch.setenv("SA_BROKER__PROVIDER", provider)
    monkeypatch.setenv("SA_BROKER__IBKR__PORT", "4001")
    assert load_settings().broker.provider == provider
