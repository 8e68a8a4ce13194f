"""rill completion: print what makes a shell complete `rill`'s commands, flags and their values.

It is made from the parsers of this version, which takes a second or two; the shell then asks nobody.
What is no command, flag or choice is completed as the name of a file.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from server.rill.commands import commands, parser_of
from stream.process import reports_errors, run_main


@dataclass(frozen=True)
class Flag:
    """A flag.

    Attributes:
        names: as in ("-h", "--help").
        takes_value: whether a value follows it.
        choices: of the value; none: any.
        help: a line.
    """

    names: tuple[str, ...]
    takes_value: bool
    choices: tuple[str, ...]
    help: str


@dataclass(frozen=True)
class Entry:
    """What may follow a command.

    Attributes:
        words: behind `rill`.
        subcommands: the words that may come next, and what each does.
        flags: of the command.
    """

    words: str
    subcommands: dict[str, str]
    flags: tuple[Flag, ...]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill completion",
        description="Print a script that completes rill in a shell.",
        epilog="""\
bash:  rill completion bash > ~/.local/share/bash-completion/completions/rill
zsh:   rill completion zsh > ~/.rill-completion.zsh, and in ~/.zshrc after compinit:
       source ~/.rill-completion.zsh
fish:  rill completion fish > ~/.config/fish/completions/rill.fish""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=SCRIPTS)
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    print(SCRIPTS[arguments.shell](list(entries())), end="")
    return 0


def entries() -> Iterator[Entry]:
    """Yield what may follow each command and its subcommands, `rill` itself first."""
    known = commands()
    first = {words: command.summary for words, command in known.items() if " " not in words}
    targets: dict[str, dict[str, str]] = {}
    for words, command in known.items():
        if " " in words:
            group, target = words.split()
            targets.setdefault(group, {})[target] = command.summary
            first.setdefault(group, "a model for " + ", ".join(targets[group]))
    yield Entry(
        "", first, (Flag(("-h", "--help"), False, (), "help"), Flag(("--version",), False, (), ""))
    )
    for group, under in targets.items():
        yield Entry(group, under, ())
    for words, command in known.items():
        yield from _entries(words, parser_of(command))


def _entries(words: str, parser: argparse.ArgumentParser) -> Iterator[Entry]:
    subcommands: dict[str, argparse.ArgumentParser] = {}
    values: dict[str, str] = {}
    flags = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            subcommands |= action.choices
        elif action.option_strings:
            choices = tuple(map(str, action.choices or ()))
            takes_value = action.nargs != 0
            text = parser._get_formatter()._expand_help(action) if action.help else ""
            flags.append(Flag(tuple(action.option_strings), takes_value, choices, text))
        else:
            values |= dict.fromkeys(map(str, action.choices or ()), "")
    summaries = {name: sub.description or "" for name, sub in subcommands.items()}
    yield Entry(words, summaries | values, tuple(flags))
    for name, sub in subcommands.items():
        yield from _entries(f"{words} {name}", sub)


def bash(found: list[Entry]) -> str:
    """Return the script for bash."""
    commands_ = [shlex.quote(entry.words) for entry in found if entry.words]
    choices, next_words = [], []
    for entry in found:
        for flag in entry.flags:
            if flag.takes_value:
                cases = "|".join(shlex.quote(f"{entry.words} {name}") for name in flag.names)
                words = shlex.quote(" ".join(flag.choices))
                choices.append(f"        {cases}) offers={words}; flags= ;;")
        words = shlex.quote(" ".join(entry.subcommands))
        flags = shlex.quote(" ".join(name for flag in entry.flags for name in flag.names))
        next_words.append(f"        {shlex.quote(entry.words)}) offers={words}; flags={flags} ;;")
    return BASH % ("|".join(commands_), "\n".join(next_words), "\n".join(choices))


def zsh(found: list[Entry]) -> str:
    """Return the script for zsh, which runs that of bash."""
    return f"autoload -U +X bashcompinit && bashcompinit\n{bash(found)}"


def fish(found: list[Entry]) -> str:
    """Return the script for fish."""
    lines = []
    for entry in found:
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in entry.words.split())
        deeper = " ".join(entry.subcommands)
        here = f"{seen}; and not __fish_seen_subcommand_from {deeper}" if deeper else seen
        condition = shlex.quote(here if entry.words else "__fish_use_subcommand")
        for word, text in entry.subcommands.items():
            lines.append(f"complete -c rill -f -n {condition} -a {word} -d {_short(text)}")
        for flag in entry.flags:
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in flag.names
            )
            value = f" -x -a {shlex.quote(' '.join(flag.choices))}" if flag.choices else " -r"
            value = value if flag.takes_value else ""
            lines.append(f"complete -c rill -n {condition} {names}{value} -d {_short(flag.help)}")
    return "\n".join([*lines, ""])


def _short(text: str) -> str:
    return shlex.quote(text.partition(";")[0].partition(" (default")[0])


# zsh runs it too: there `words` is a variable of its own, and a length in ${...:1:n} begins with a digit or `$`.
BASH = """\
_rill() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local command= word offers= flags=
    for word in "${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
        case "${command:+$command }$word" in
        %s) command="${command:+$command }$word" ;;
        esac
    done
    case "$command" in
%s
    esac
    case "$command $previous" in
%s
    esac
    case $current in
        -*) offers=$flags ;;
    esac
    COMPREPLY=($(compgen -W "$offers" -- "$current"))
}
complete -o default -F _rill rill
"""
SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}


if __name__ == "__main__":
    run_main(main)
