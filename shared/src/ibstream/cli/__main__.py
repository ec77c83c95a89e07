"""Entry point of `ibstream`; `python -m ibstream.cli` is the same."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its status."""
    from ibstream.cli.commands import app
    from ibstream.cli.terminal import told_in_one_line

    sys.exit(told_in_one_line(app))


if __name__ == "__main__":
    main()
