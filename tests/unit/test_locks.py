"""The locks under requirements/ say what the pyproject.toml files ask for, with hashes and without addresses."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).resolve().parents[2] / "requirements"
lock = SimpleNamespace(**runpy.run_path(str(FOLDER / "lock.py")))  # a script, no package
ENTRY = re.compile(r"^(?=[a-z0-9])", re.MULTILINE)
PIN = re.compile(r"(?P<name>[a-z0-9.-]+)==(?P<version>\S+)")


def read_lock(name: str) -> dict[str, tuple[str, str]]:
    """Version and text of every entry of a lock, by canonical name."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    entries = ENTRY.split(text)[1:]
    pins = [(PIN.match(entry), entry) for entry in entries]
    assert all(pin for pin, _ in pins), "every entry is pinned to one version"
    return {canonicalize_name(pin["name"]): (pin["version"], entry) for pin, entry in pins if pin}


def declared(name: str) -> list[Requirement]:
    """What the pyproject.toml files ask for, for one lock."""
    requirements: list[Requirement] = lock.declared(lock.LOCKS[name])
    return requirements


def test_there_is_a_lock_for_every_entry_of_the_script() -> None:
    """No lock is missing, and none is left over that nothing renews."""
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(lock.LOCKS)


def test_every_service_has_a_lock_for_its_image() -> None:
    """The Dockerfile installs requirements/$SERVICE.txt."""
    assert {path.name for path in (FOLDER.parent / "services").iterdir()} <= set(lock.LOCKS)


@pytest.mark.parametrize("name", lock.LOCKS)
def test_a_lock_is_in_step_with_the_declarations(name: str) -> None:
    """It was made for what is declared now, and holds each of it at a version that the declaration allows."""
    made_for, _, _ = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").partition("\n\n")
    assert made_for == lock.header(lock.LOCKS[name]).rstrip(), "run `make lock`"
    locked = read_lock(name)
    for requirement in declared(name):
        version, _ = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version)


@pytest.mark.parametrize("name", lock.LOCKS)
def test_a_lock_holds_hashes_and_no_address(name: str) -> None:
    """Each entry has a hash; no URL, index, path or option stands in a lock, so it holds for anyone's registry."""
    assert [package for package, (_, entry) in read_lock(name).items() if "--hash=sha256:" not in entry] == []
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    without_hashes = re.sub(r"--hash=sha256:[0-9a-f]{64}", "", text)
    assert re.findall(r"://|^\s*-.*|\s@\s", without_hashes, re.MULTILINE) == []


@pytest.mark.parametrize("name", lock.LOCKS)
def test_our_own_distributions_are_in_no_lock(name: str) -> None:
    """A name of ours is never asked of a registry, where a stranger could take it."""
    ours = set(lock.read_workspace())
    assert ours & set(read_lock(name)) == set()


@pytest.mark.parametrize("name", lock.LOCKS)
def test_all_locks_agree_with_the_one_that_is_tested(name: str) -> None:
    """What an image holds is what the tests ran."""
    tested = read_lock("dev")
    assert {package: version for package, (version, _) in read_lock(name).items()}.items() <= {
        package: version for package, (version, _) in tested.items()
    }.items()


def test_the_images_hold_no_tools() -> None:
    """Nothing of the development and build groups gets into an image, unless a service asks for it itself."""
    tools = {canonicalize_name(requirement.name) for requirement in declared("build")} | {
        "pytest",
        "mypy",
        "ruff",
        "uv",
    }
    for path in (FOLDER.parent / "services").iterdir():
        assert tools & set(read_lock(path.name)) == set()
