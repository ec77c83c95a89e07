"""Write the published contracts: `python -m ibstream.contracts contracts`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from ibstream.contracts.schema import documents


def main(arguments: list[str]) -> int:
    """Write every generated file below the directory named, and remove schemas of messages that are no more."""
    if len(arguments) != 1:
        print("usage: python -m ibstream.contracts DIRECTORY", file=sys.stderr)
        return 2
    root = Path(arguments[0])
    files = documents(version("ibstream"))
    for old in root.glob("schemas/*.json"):
        if f"schemas/{old.name}" not in files:
            old.unlink()
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    print(f"{len(files)} files under {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
