"""The mutants of the C reference: every constant, operator, saturation, rounding, statement and order, changed one at a time.

1. A number, and a number by name, becomes one more, and one less.
2. A comparison takes the other side of equality, or its opposite; an operator becomes its neighbour.
3. `rhe` rounds down; `larger` and `smaller` change places; `clamp` lets through what it is given.
4. A statement is left out; two neighbours change places.

What is only there for traces, comments, sizes of arrays and lines of the preprocessor are left alone.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["Mutant", "mutants"]

SWAPPED = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "<<": ">>", ">>": "<<",
    "&": "|", "|": "&", "^": "|", "&&": "||", "||": "&&", "+=": "-=", "-=": "+=", "*=": "+=", "/=": "*=", "^=": "|=",
    "|=": "^=", ">>=": "<<=", "++": "--", "--": "++", "!": "", "~": "",
}  # fmt: skip
CALLS = {"rhe": "down", "larger": "smaller", "smaller": "larger"}
TOKEN = re.compile(
    r"0[xX][0-9a-fA-F]+|[A-Za-z_]\w*|\d+u?|->|>>=|<<=|<<|>>|[<>=!+\-*/%&|^]=|\+\+|--|&&|\|\||[^\s\w]"
)
OPERAND = re.compile(r"\w+|[)\]]")  # what a binary operator follows
TYPE = re.compile(r"u?int\d*_t|int|char|void|size_t|unsigned|rill_\w+")
DECLARED = re.compile(
    r"\s*(static )?(const )?(unsigned char|unsigned|u?int\d+_t|int|rill_\w+) [^=;(]*;?\s*$"
)
PURE = {
    "rhe",
    "down",
    "up",
    "clamp",
    "larger",
    "smaller",
    "bits",
    "dot",
    "gate",
    "any",
    "due",
    "is_quiet",
    "is_heard",
}


class Mutant(NamedTuple):
    """A change of the reference.

    Attributes:
        line: where, from 1.
        function: in which.
        old, new: the text that is replaced, and by what.
        begin, end: of the old text, in the file.
        number: of the changes with this name, from 1.
    """

    line: int
    function: str
    old: str
    new: str
    begin: int
    end: int
    number: int = 1

    @property
    def name(self) -> str:
        """Return what it is called: its function, the change without line breaks, and its number after the first."""
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        number = f" #{self.number}" if self.number > 1 else ""
        return f"{self.function}: {old} -> {new or 'nothing'}{number}"

    def of(self, source: str) -> str:
        """Return the file with the change."""
        return source[: self.begin] + self.new + source[self.end :]


class _Statement(NamedTuple):
    begin: int
    end: int
    depth: int  # of braces


def mutants(source: str) -> list[Mutant]:
    """Return all mutants of a C file, in the order of its text."""
    code = _blanked(source)
    functions = _functions(code)
    found = [
        Mutant(
            source.count("\n", 0, begin) + 1,
            next((name for at, name in reversed(functions) if at <= begin), ""),
            source[begin:end],
            new,
            begin,
            end,
        )
        for begin, end, new in (*_of_tokens(code), *_of_statements(code, source))
    ]
    found.sort(key=lambda mutant: (mutant.begin, mutant.end, mutant.new))
    return numbered(found)


def numbered(found: Iterable[Mutant]) -> list[Mutant]:
    """Return mutants with a number for each of those of one name, from 1."""
    count = collections.Counter[str]()
    made = []
    for mutant in found:
        count[mutant.name] += 1
        made.append(mutant._replace(number=count[mutant.name]))
    return made


def _blanked(source: str) -> str:
    """Return the file with spaces for what is left alone."""

    def spaces(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match.group())

    code = re.sub(r"/\*.*?\*/", spaces, source, flags=re.S)
    code = re.sub(r"^#.*$", spaces, code, flags=re.M)
    return re.sub(r"^ *RILL_TRACE\w*\(.*\);$", spaces, code, flags=re.M)


def _functions(code: str) -> list[tuple[int, str]]:
    """Return where each function begins."""
    return [
        (match.start(), match[1])
        for match in re.finditer(r"^[a-z][^;=\n]*?\b(\w+)\([^;{]*\)\n\{", code, flags=re.M)
    ]


def _bodies(code: str) -> Iterator[re.Match[str]]:
    """Yield the tokens within functions, but for those of declarations without a value."""
    depth = 0
    for match in TOKEN.finditer(code):
        depth += (match[0] == "{") - (match[0] == "}")
        if depth > 0:
            line = code[code.rfind("\n", 0, match.start()) + 1 : code.find("\n", match.start())]
            if not DECLARED.match(line):
                yield match


def _of_tokens(code: str) -> Iterator[tuple[int, int, str]]:
    """Yield the changes of single tokens: numbers, operators, calls."""
    tokens = list(_bodies(code))
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        text, (begin, end) = token[0], token.span()
        previous = before[0] if before else ""
        if re.fullmatch(r"\d+", text) or text.startswith("RILL_"):
            yield begin, end, f"({text} + 1)"
            yield begin, end, f"({text} - 1)"
        elif text in CALLS:
            yield begin, end, CALLS[text]
        elif text == "clamp":
            inner, last = parts_of(code, end)
            yield begin, last, f"({inner[0]})"
        elif text in SWAPPED:
            binary = bool(OPERAND.fullmatch(previous)) and previous not in ("return", "case")
            if text in "*&+-" and not binary:
                continue
            if text == "*" and (TYPE.fullmatch(previous) or (after and after[0] == ")")):
                continue
            yield begin, end, SWAPPED[text]


def parts_of(code: str, begin: int) -> tuple[list[str], int]:
    """Return what a bracket that opens at `begin` holds, between commas, and where it ends."""
    depth, at, start, found = 0, begin, begin + 1, []
    while True:
        depth += (code[at] in "([{") - (code[at] in ")]}")
        if (depth == 1 and code[at] == ",") or depth == 0:
            found.append(code[start:at].strip())
            start = at + 1
        at += 1
        if depth == 0:
            return found, at


def _of_statements(code: str, source: str) -> Iterator[tuple[int, int, str]]:
    """Yield statements left out, and neighbours that change places."""
    before: _Statement | None = None
    for statement in _statements(code):
        begin, end, depth = statement
        yield begin, end, ";"
        together = (
            before and before.depth == depth and not re.search(r"[{}]", code[before.end : begin])
        )
        if before and together and _depend(code[before.begin : before.end], code[begin:end]):
            first, between = source[before.begin : before.end], source[before.end : begin]
            yield before.begin, end, source[begin:end] + between + first
        before = statement


def _depend(first: str, second: str) -> bool:
    """Return whether one of two statements reads or writes what the other writes."""
    (read, written), (read_then, written_then) = _accesses(first), _accesses(second)
    pairs = [(written, read_then), (written, written_then), (read, written_then)]
    return any(
        a == b or a.startswith(f"{b}->") or b.startswith(f"{a}->")
        for one, other in pairs
        for a in one
        for b in other
    )


def _accesses(statement: str) -> tuple[set[str], set[str]]:
    """Return the variables that a statement reads, and those that it may write."""
    read, written = set(), set()
    calls = [name for name in re.findall(r"(\w+)\(", statement) if name not in PURE]
    for match in re.finditer(r"(?<![\w.>])[a-z]\w*((->|\.)\w+)*", statement):
        path, after = match[0], statement[match.end() :].lstrip()
        if after.startswith("(") or TYPE.fullmatch(path) or path in ("return", "const", "sizeof"):
            continue
        after = re.sub(r"^(\[[^\]]*\])+", "", after).lstrip()
        if (
            calls
            or re.match(r"[-+*/&|^]?=[^=]|\+\+|--", after)
            or statement[: match.start()].endswith(("++", "--"))
        ):
            written.add(path)
        read.add(path)
    return read, written


def _statements(code: str) -> Iterator[_Statement]:
    """Yield the simple statements within functions: no declarations without a value, no heads of blocks."""
    braces = parens = 0
    begin = 0
    for at, character in enumerate(code):
        braces += (character == "{") - (character == "}")
        parens += (character == "(") - (character == ")")
        if character in "{}" or (character == ";" and parens == 0):
            text = code[begin:at]
            if character == ";" and braces > 0 and text.strip() and not DECLARED.match(text):
                yield _Statement(begin + len(text) - len(text.lstrip()), at + 1, braces)
            begin = at + 1
