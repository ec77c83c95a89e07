"""Renew the locks beside this file: `make lock`, or `python requirements/lock.py [--keep]`.

What is wanted stands in the pyproject.toml of each distribution, in the root's dependency groups, and nowhere else.
Our own distributions are replaced by what they declare before anything is resolved, so that their names are never
looked up in a registry, where a stranger could take them.

Every lock holds for Python 3.11 and later on any platform, and all locks agree on every version: the others are
resolved within dev.txt, so what the tests ran is what the images hold.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
PYTHON_VERSION_MIN = "3.11"
HEADER = "# Written by `make lock` from the pyproject.toml files; change those, not this. They ask for:\n"
INPUT = "declared"


class Lock(NamedTuple):
    """What one lock is for: our distributions with their extras, groups of the root, and whether it builds packages."""

    distributions: tuple[str, ...]
    groups: tuple[str, ...] = ()
    build: bool = False


SYSTEM = (
    "ibstream[cli,ibkr]",
    "ibstream-broker[ibkr]",
    "ibstream-data[ibkr]",
    "ibstream-feed[ibkr]",
    "ibstream-gateway-watchdog",
    "ibstream-gateway-emulator",
)
LOCKS = {
    "dev": Lock(SYSTEM, groups=("dev",), build=True),  # first: the others take its versions
    "demo": Lock(SYSTEM, build=True),
    "build": Lock((), build=True),
    "broker": Lock(("ibstream-broker[ibkr]",)),
    "data": Lock(("ibstream-data[ibkr]",)),
    "feed": Lock(("ibstream-feed[ibkr]",)),
    "gateway-watchdog": Lock(("ibstream-gateway-watchdog",)),
    "gateway-emulator": Lock(("ibstream-gateway-emulator",)),
}


def read_workspace() -> dict[str, dict[str, Any]]:
    """Every pyproject.toml of our distributions, by canonical name."""
    paths = [ROOT / "shared/pyproject.toml", *sorted(ROOT.glob("services/*/pyproject.toml"))]
    documents = [tomllib.loads(path.read_text(encoding="utf-8")) for path in paths]
    return {canonicalize_name(document["project"]["name"]): document for document in documents}


def declared(lock: Lock) -> list[Requirement]:
    """The third-party requirements of `lock`, each as it is declared, sorted by name."""
    workspace = read_workspace()
    waiting = [Requirement(text) for text in lock.distributions]
    found: dict[str, Requirement] = {}
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        document = workspace.get(canonicalize_name(requirement.name))
        if document is None:
            found[str(requirement)] = requirement
        else:
            waiting += _of_distribution(document, requirement.extras)
    for requirement in _of_groups(lock.groups) + (_of_build(workspace) if lock.build else []):
        found[str(requirement)] = requirement
    return sorted(found.values(), key=lambda requirement: (canonicalize_name(requirement.name), str(requirement)))


def _of_distribution(document: dict[str, Any], extras: Iterable[str]) -> list[Requirement]:
    project = document["project"]
    lists = [project.get("dependencies", []), *(project["optional-dependencies"][extra] for extra in sorted(extras))]
    return [Requirement(text) for texts in lists for text in texts]


def _of_groups(names: Iterable[str]) -> list[Requirement]:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    return [Requirement(text) for name in names for text in groups[name]]


def _of_build(workspace: dict[str, dict[str, Any]]) -> list[Requirement]:
    texts = {text for document in workspace.values() for text in document["build-system"]["requires"]}
    return [*map(Requirement, sorted(texts)), *_of_groups(("build",))]


def compile_lock(name: str, *, upgrade: bool) -> None:
    """Resolve one lock with uv and write it; raises CalledProcessError when it cannot be resolved."""
    path = FOLDER / f"{name}.txt"
    command = [
        sys.executable, "-m", "uv", "pip", "compile", INPUT, "--output-file", str(path), "--quiet", "--universal",
        "--python-version", PYTHON_VERSION_MIN, "--fork-strategy", "fewest", "--generate-hashes", "--no-header",
        "--no-emit-index-url", "--no-emit-find-links", "--no-config",
    ]  # fmt: skip
    if upgrade:
        command.append("--upgrade")
    if name != "dev":
        command += ["--constraints", str(FOLDER / "dev.txt")]
    with tempfile.TemporaryDirectory() as folder:
        wanted = "".join(f"{requirement}\n" for requirement in declared(LOCKS[name]))
        Path(folder, INPUT).write_text(wanted, encoding="utf-8")
        subprocess.run(command, check=True, cwd=folder)
    path.write_text(header(LOCKS[name]) + _tidy(path.read_text(encoding="utf-8")), encoding="utf-8")


def header(lock: Lock) -> str:
    """The first lines of a lock: what was asked for, so that a test can tell without a registry when that changes."""
    return HEADER + "".join(f"#   {requirement}\n" for requirement in declared(lock)) + "\n"


def _tidy(text: str) -> str:
    """Name the origin of what we declare, and leave out that a version was held to dev.txt's."""
    kept = (line for line in text.splitlines() if not line.lstrip().startswith("#   -c "))
    return "".join(f"{line.replace(f'-r {INPUT}', 'pyproject.toml')}\n" for line in kept)


if __name__ == "__main__":
    for name in LOCKS:
        compile_lock(name, upgrade="--keep" not in sys.argv[1:])
