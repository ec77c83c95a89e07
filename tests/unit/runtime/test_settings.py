"""Settings: one file says all there is, the environment overrides it, and what is wrong stops the start by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from ibstream.runtime import settings as module
from ibstream.runtime.errors import EXIT_CONFIGURATION, ConfigurationError
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
        monkeypatch.setenv("SA_" + name.replace(".", "__").upper(), str(value))
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


# Paper by default, live only on purpose


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


def test_live_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live port, live mode, confirmed account: the start is allowed."""
    monkeypatch.setenv("SA_BROKER__PAPER_TRADING", "false")
    monkeypatch.setenv("SA_BROKER__IBKR__PORT", "4001")
    monkeypatch.setenv("SA_BROKER__IBKR__ACCOUNT_ID", "U1234567")
    monkeypatch.setenv("SA_BROKER__CONFIRM_LIVE", "U1234567")
    loaded = load_settings()
    assert not loaded.broker.paper_trading
    refuse_wrong_account(loaded, "U1234567")


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
