"""The rules of who may import whom: each is kept, and each is shown to bite by planting one import that breaks it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ["shared/src", *(f"services/{path.name}/src" for path in sorted((ROOT / "services").iterdir()))]
KEPT = re.compile(r"^(?P<name>.+) (?P<verdict>KEPT|BROKEN)\b", re.MULTILINE)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of every package and of the configuration, in which a test may plant what it likes."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for source in SOURCES:
        shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def plant(tree: Path, module: str, line: str) -> None:
    """Append an import to a module that exists."""
    relative = Path(*module.split("."))
    found = [
        path
        for source in SOURCES
        for path in (tree / source / relative.with_suffix(".py"), tree / source / relative / "__init__.py")
        if path.is_file()
    ]
    assert len(found) == 1, f"{module} is no module of this tree"
    with found[0].open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def broken_contracts(tree: Path) -> set[str]:
    """Names of the contracts that import-linter finds broken in `tree`, all others having been checked and kept."""
    path = os.pathsep.join(str(tree / source) for source in SOURCES)
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()",
         "--no-cache", "--no-logo"],
        cwd=tree, env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    verdicts = {match["name"]: match["verdict"] for match in KEPT.finditer(done.stdout)}
    assert set(verdicts) == set(contract_names().values()), done.stdout + done.stderr
    broken = {name for name, verdict in verdicts.items() if verdict == "BROKEN"}
    assert done.returncode == (1 if broken else 0)
    return broken


def contract_names() -> dict[str, str]:
    """Every contract of pyproject.toml: its name by its id."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract["name"] for contract in document["tool"]["importlinter"]["contracts"]}


VIOLATIONS = [
    ("layers", "ibstream.bus.publisher", "import ibstream.cli"),
    ("layers", "ibstream.contracts.base", "import ibstream.simulation"),
    ("layers", "ibstream.client", "import ibstream_broker.domain"),
    ("layers", "ibstream_broker.service", "import ibstream_data"),
    ("contracts-msgspec-alone", "ibstream.contracts.base", "import pydantic"),
    ("contracts-msgspec-alone", "ibstream.contracts.orders", "import typer"),
    ("redis-only-in-bus", "ibstream.runtime.health", "import redis.asyncio"),
    ("redis-only-in-bus", "ibstream_gateway_watchdog.service", "import redis"),
    ("ib-async-only-in-adapters", "ibstream_broker.service", "import ib_async"),
    ("ib-async-only-in-adapters", "ibstream.simulation.market", "from ib_async import Contract"),
    ("pure-domains", "ibstream_broker.domain", "import asyncio"),
    ("pure-domains", "ibstream_feed.domain", "import ibstream.runtime.clock"),
    ("pure-domains", "ibstream_data.domain", "import structlog"),
    ("pure-domains", "ibstream_gateway_watchdog.domain", "import socket"),
]


def test_the_tree_as_it_stands_keeps_every_contract(tree: Path) -> None:
    """What is in the repository breaks no import rule."""
    assert broken_contracts(tree) == set()


@pytest.mark.parametrize(("contract", "module", "line"), VIOLATIONS)
def test_a_forbidden_import_breaks_its_contract_and_no_other(tree: Path, contract: str, module: str, line: str) -> None:
    """Each contract notices an import that it forbids."""
    plant(tree, module, line)
    assert broken_contracts(tree) == {contract_names()[contract]}


def test_every_contract_is_proved_by_a_violation() -> None:
    """A contract added to pyproject.toml needs a planted violation here."""
    assert {contract for contract, _, _ in VIOLATIONS} == set(contract_names())


def python_files() -> Iterator[Path]:
    """Every module of every package."""
    for source in SOURCES:
        yield from sorted((ROOT / source).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Every absolute import below `tree` with the top-level name it imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node, (node.module or "").partition(".")[0]


def run_at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported: not function bodies, not what only type checkers read."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.stmt):
            yield node
        waiting += ast.iter_child_nodes(node)


def ib_async_at_import(source: str) -> list[int]:
    """Lines of `source` that import ib_async as soon as the module is imported."""
    tree = ast.parse(source)
    early = {id(node) for node in run_at_import(tree)}
    return [node.lineno for node, name in imports(tree) if name == "ib_async" and id(node) in early]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import ib_async", [1]),
        ("class A:\n    from ib_async import IB", [2]),
        ("try:\n    import ib_async\nexcept ImportError:\n    pass", [2]),
        ("def connect():\n    import ib_async", []),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ib_async import IB", []),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import ib_async", [4]),
    ],
)
def test_an_early_import_of_ib_async_is_told_from_a_late_one(source: str, lines: list[int]) -> None:
    """The check below sees imports in classes and try blocks, and lets functions and TYPE_CHECKING blocks pass."""
    assert ib_async_at_import(source) == lines


def test_ib_async_is_imported_only_when_a_gateway_is_wanted() -> None:
    """Without SA_BROKER__PROVIDER=ibkr ib_async need not be installed: no module imports it by being imported."""
    early = {
        str(path.relative_to(ROOT)): ib_async_at_import(path.read_text(encoding="utf-8")) for path in python_files()
    }
    assert {path: lines for path, lines in early.items() if lines} == {}


def test_ib_async_stays_in_its_adapters() -> None:
    """Only ibstream.ibkr and the adapters of that name mention ib_async at all, type checking included."""
    users = {
        path.relative_to(ROOT).as_posix()
        for path in python_files()
        if any(name == "ib_async" for _, name in imports(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert users, "nothing imports ib_async: this test has lost its subject"
    assert {user for user in users if not re.search(r"/ibstream/ibkr/|/adapters/ibkr(_\w+)?(\.py|/)", user)} == set()


def test_contracts_import_the_standard_library_and_msgspec_alone() -> None:
    """A user who wants the messages needs msgspec and nothing else."""
    allowed = sys.stdlib_module_names | {"msgspec", "ibstream"}
    folder = ROOT / "shared/src/ibstream/contracts"
    found = {name for path in folder.glob("*.py") for _, name in imports(ast.parse(path.read_text(encoding="utf-8")))}
    assert found - allowed == set()


def tracked_files() -> list[Path]:
    """Every file that git knows; skips the test where this is no checkout."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so what belongs to the repository cannot be told")
    done = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_place_on_one_machine() -> None:
    """Installing works with anyone's registry and anyone's folders, so none stands in the repository."""
    words = ["py" + "pi.org", "python" + "hosted", "registry." + "npmjs", "debian" + ".org", "/ro" + "ot/", "/wo" + "rk/",
             "/Us" + "ers/"]  # fmt: skip
    pattern = re.compile("|".join(map(re.escape, words)))
    found = {
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked_files()
        if (match := pattern.search(path.read_text(encoding="utf-8", errors="ignore")))
    }
    assert found == set()
