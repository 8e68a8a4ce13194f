"""The mutants of a module of rtl/: every constant, operator, signedness, choice, enable, register and order, changed one at a time.

1. A number, and a number by name, becomes one more, and one less; a bit its opposite.
2. A comparison takes the other side of equality, or its opposite; an operator becomes its neighbour; a shift goes the other way.
3. `signed` and `$signed` are left out.
4. A choice `a ? b : c` takes the other one.
5. The condition of an `if`, which enables a register or saturates a value, is always true, and always false.
6. A register that only delays another one is read a clock early.
7. A statement is left out; neighbours that write the same change places; so do the first two parts of a concatenation.

Widths are left alone: a wider register is no fault, and what a narrower one loses the lint of Verilator names. So are
parameters of a module, which who instantiates it gives, and comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.export.hardware.mutation import Mutant, numbered, parts_of

__all__ = ["mutants"]

SWAPPED = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "+": "-", "-": "+", "*": "+", "/": "*", "%": "/",
    "<<": ">>", ">>": "<<", "<<<": ">>>", ">>>": "<<<",
    "&": "|", "|": "&", "&&": "||", "||": "&&", "!": "", "~": "", "++": "--",
}  # fmt: skip
TOKEN = re.compile(
    r"""\d*'s?[hbd][0-9a-fA-F_]+|'[01]|\$?[A-Za-z_]\w*|\d+|'\(|<<<|>>>|<<|>>|\+:|[<>=!]=|\+\+|--|&&|\|\||"[^"]*"|[^\s\w]"""
)
SIZED = re.compile(r"(?P<size>\d*)'(?P<signed>s?)(?P<base>[hbd])(?P<digits>[0-9a-fA-F_]+)")
BASES = {"h": 16, "b": 2, "d": 10}
NAME = re.compile(r"(?!_)[A-Z][A-Z0-9_]*")
OPERAND = re.compile(r"\w+|'[01]|\d*'s?[hbd]\w+|[)\]}]")  # what a binary operator follows
WIDTH = r"\w*(WIDTH|ADDR)"
RANGE = re.compile(r"\[(?P<high>[^\[\]:]+):(?P<low>[^\[\]:]+)\]")
DELAY = re.compile(r"^\s*(?P<to>\w+) <= (?P<of>\w+(\[\d+\])?);$", re.M)
ASSIGNMENT = re.compile(r"(?P<target>\w+(\[[^\]=]*\])?) (<=|=) [^;]+;|assign [^;]+;", re.S)


def mutants(source: str) -> list[Mutant]:
    """Return all mutants of a file with one module, in the order of its text."""
    module = re.search(r"^module (\w+)", source, flags=re.M)
    assert module
    code = _blanked(source)
    changes = {
        *_of_tokens(RANGE.sub(_spaces, code), source),
        *_of_ranges(code),
        *_of_conditions(code),
        *_of_delays(code),
        *_of_statements(code, source),
    }
    found = [
        Mutant(source.count("\n", 0, begin) + 1, module[1], source[begin:end], new, begin, end)
        for begin, end, new in sorted(changes)
        if source[begin:end] != new
    ]
    return numbered(found)


def _blanked(source: str) -> str:
    """Return the file with spaces for what is left alone: comments, ports, parameters, declarations, casts, widths."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", _spaces, source, flags=re.S)
    # Of declarations the word `signed` stays: what else they say is a width.
    code = re.sub(r"^module.*?^\);", _only_signed, code, flags=re.S | re.M)
    code = re.sub(r"^ *(logic|int)\b[^=;]*;", _only_signed, code, flags=re.M)
    code = re.sub(rf"^ *localparam int {WIDTH} = [^;]*;", _spaces, code, flags=re.M)
    code = re.sub(r"^ *(localparam )?(logic|wire|int)\b[^=;]*(?==)", _only_signed, code, flags=re.M)
    code = re.sub(r"\blocalparam int \w+(?= =)", _spaces, code)
    code = re.sub(r"^ *function automatic [^;]*;", _only_signed, code, flags=re.M)
    code = re.sub(r"^ *rill_\w+ #\(.*?^ *\) \w+ \(", _spaces, code, flags=re.S | re.M)
    code = re.sub(r"\.\w+(?=[\(,\n])|^ *\.\w+,?$", _spaces, code, flags=re.M)
    code = re.sub(r": g_\w+", _spaces, code)
    code = re.sub(r"(\b\w+|\(\w+ \+ 1\))'(?=\()", _spaces, code)
    return re.sub(r"\+:\w+", _spaces, code)


def _of_ranges(code: str) -> Iterator[tuple[int, int, str]]:
    """Yield ranges of bits that lack the first, or the last one."""
    for match in RANGE.finditer(code):
        high, low = match["high"], match["low"]
        yield *match.span(), f"[({high}) - 1:{low}]"
        yield *match.span(), f"[{high}:({low}) + 1]"


def _spaces(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _only_signed(match: re.Match[str]) -> str:
    kept = {at for each in re.finditer(r"\bsigned\b", match[0]) for at in range(*each.span())}
    return "".join(
        character if at in kept or character == "\n" else " "
        for at, character in enumerate(match[0])
    )


def _of_tokens(code: str, source: str) -> Iterator[tuple[int, int, str]]:
    """Yield the changes of single tokens: numbers, operators, signedness, choices, concatenations."""
    tokens = list(TOKEN.finditer(code))
    targets = _assigning(tokens)
    for at, token in enumerate(tokens):
        text, (begin, end) = token[0], token.span()
        previous = tokens[at - 1][0] if at else ""
        if text == "signed" or text == "$signed":
            yield begin, end, ""
        elif text == "?":
            yield begin, end, "== 1'b0 ?"
        elif text == "'0":
            yield begin, end, "'1"
        elif text == "{":
            yield from _swapped_parts(source, begin)
        elif re.fullmatch(r"\d+", text) or NAME.fullmatch(text):
            yield begin, end, f"({text} + 1)"
            yield begin, end, f"({text} - 1)"
        elif SIZED.fullmatch(text):
            for new in _neighbours(text):
                yield begin, end, new
        elif text in SWAPPED and at not in targets:
            binary = bool(OPERAND.fullmatch(previous)) and previous not in (
                "return",
                "else",
                "begin",
            )
            if text == "-" and not binary:
                yield begin, end, ""
            elif text not in "*+" or binary:
                yield begin, end, SWAPPED[text]


def _assigning(tokens: list[re.Match[str]]) -> set[int]:
    """Return which of the tokens `<=` assign: the first one of a statement, outside of parentheses."""
    found, depth, open_statement = set(), 0, True
    for at, token in enumerate(tokens):
        # An instance's opening parenthesis is blank, its closing one is not.
        depth = max(0, depth + (token[0] in "([{") - (token[0] in ")]}"))
        if token[0] in (";", "begin", "end", "else", ":"):
            open_statement = True
        elif token[0] in ("<=", "=") and depth == 0 and open_statement:
            found.add(at)
            open_statement = False
    return found


def _neighbours(literal: str) -> Iterator[str]:
    """Yield a literal with its number one more and one less; of one bit, the other one."""
    match = SIZED.fullmatch(literal)
    assert match
    size, base = match["size"], match["base"]
    value = int(match["digits"], BASES[base])
    if size == "1":
        yield f"1'b{1 - value}"
        return
    for near in (value + 1, value - 1):
        if size:
            near %= 1 << int(size)
        if near >= 0:
            yield f"{size}'{match['signed']}{base}{near:{'b' if base == 'b' else 'x' if base == 'h' else 'd'}}"


def _swapped_parts(source: str, begin: int) -> Iterator[tuple[int, int, str]]:
    """Yield a concatenation whose first two parts change places."""
    parts, end = parts_of(source, begin)
    if len(parts) > 1:
        yield begin, end, "{" + ", ".join([parts[1], parts[0], *parts[2:]]) + "}"


def _of_conditions(code: str) -> Iterator[tuple[int, int, str]]:
    """Yield conditions that always hold, and never."""
    for match in re.finditer(r"\bif \(", code):
        begin = match.end() - 1
        _, end = parts_of(code, begin)
        yield begin, end, "(1'b1)"
        yield begin, end, "(1'b0)"


def _of_delays(code: str) -> Iterator[tuple[int, int, str]]:
    """Yield what reads a register that only delays another one: it reads the other one."""
    for match in DELAY.finditer(code):
        for use in re.finditer(rf"\b{match['to']}\b(?! <=)", code):
            yield *use.span(), match["of"]


def _of_statements(code: str, source: str) -> Iterator[tuple[int, int, str]]:
    """Yield assignments left out, and neighbours with one target that change places."""
    before: re.Match[str] | None = None
    for match in ASSIGNMENT.finditer(code):
        line = code[code.rfind("\n", 0, match.start()) + 1 : match.start()]
        if re.search(r"\b(wire|localparam|for)\b|\(\s*$|int n", line) or not _balanced(match[0]):
            continue
        yield *match.span(), ";"
        if (
            before
            and match["target"]
            and before["target"] == match["target"]
            and not code[before.end() : match.start()].strip()
        ):
            yield (
                before.start(),
                match.end(),
                f"{source[slice(*match.span())]} {source[slice(*before.span())]}",
            )
        before = match


def _balanced(text: str) -> bool:
    return all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}"))
