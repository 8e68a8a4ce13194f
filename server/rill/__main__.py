"""rill: one command for all that is done by hand; `server.rill.commands` lists what.

Installed as a script, it does not have the current folder on its path, so a user's own `train.py` or
`server/` there is never taken for a part of Rill, as it would be by `python -m train`. What it starts
(the engines of a server) inherits that by PYTHONSAFEPATH.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Collection
from typing import NoReturn

from server.rill.commands import COMMANDS, commands, load
from stream import __version__
from stream.process import reports_errors, run_main

USAGE = "usage: rill COMMAND ..., rill COMMAND --help, rill --version"
HELP = {"-h", "--help"}
EXAMPLE = "example: rill transcribe talk.flac"


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Run the subcommand that the first words name."""
    words = sys.argv[1:] if argv is None else argv
    known = commands()
    if words[:1] == ["--version"]:
        print(f"rill {__version__}")
        return 0
    if not words or words[0] in HELP:
        print(help_of(known))
        return 0
    for count in (1, 2):
        if command := known.get(" ".join(words[:count])):
            return load(command).main(words[count:])
    targets = [name for name in known if name.startswith(f"{words[0]} ")]
    if targets and not set(words[1:]) - HELP:
        print(help_of(targets))
        return 0
    name = " ".join(words[:2] if targets else words[:1])
    near = difflib.get_close_matches(name, targets or known, 1)
    advice = f"; did you mean {near[0]!r}?" if near else ""
    print(f"{USAGE}\nrill: error: there is no command {name!r}{advice}", file=sys.stderr)
    return 2


def help_of(names: Collection[str]) -> str:
    """Return the help that lists these subcommands by group."""
    lines = [USAGE]
    for title, group in COMMANDS.items():
        rows = [f"  {name:<15}{group[name].summary}" for name in group if name in names]
        lines += ["", f"{title}:", *rows] if rows else []
    return "\n".join([*lines, "", EXAMPLE])


def script() -> NoReturn:
    """Run the installed command `rill`."""
    os.environ["PYTHONSAFEPATH"] = "1"
    run_main(main)


if __name__ == "__main__":
    run_main(main)
