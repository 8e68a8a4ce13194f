"""Rebuild what a checkpoint's pickle describes, by a machine that cannot run anything.

Python's own unpickler imports and calls what a file names. This one does neither: `pickletools`
cuts the bytes into opcodes (protocols 0 to 5), and a small stack machine rebuilds dictionaries,
lists, tuples, numbers, strings and bytes. A global is a pair of names: `hwckpt.torch_file.allowed` lists
the few that are accepted, every other is refused by name. Tensors become `Tensor` descriptions; their
numbers lie elsewhere in the file, where `hwckpt.torch_file.container` reads them.

Limits, against files made to exhaust memory or stack: opcodes, nesting, and size of the tree when
walked (shared parts counted each time, so a file cannot make a small pickle a large tree).
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from hwckpt.torch_file.allowed import STORAGES, Global, Storage, allowed, call

OPCODES = 1_000_000  # a base model's training checkpoint has some 6000
NODES = 1_000_000
DEPTH = 64


@dataclass(frozen=True)
class Unpickled:
    """The value of a pickle, its protocol (0 where it names none), and the storages by key."""

    value: Any
    protocol: int
    storages: Mapping[str, Storage]


def unpickle(stream: IO[bytes]) -> Unpickled:
    """Read one pickle and leave the stream after it.

    Args:
        stream: of bytes; `read(n)` must allocate no more than there is (BytesIO and mmap do so).
    Raises:
        ValueError: it is not a whole pickle, names a global that no checkpoint needs, or exceeds a
            limit. Nothing was imported or called.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
            if count >= OPCODES:
                raise ValueError(f"more than {OPCODES} opcodes")
            if opcode.name == "STOP":
                break
            machine.step(opcode.name, argument, position or 0)
    except DeprecationWarning as error:  # of codecs.escape_decode, where warnings are errors
        raise ValueError(f"broken string: {error}") from error
    value = machine.pop()
    if machine.stack or machine.marks:
        raise ValueError(f"{len(machine.stack)} values are left on the stack")
    _check_size(value)
    return Unpickled(value, machine.protocol, machine.storages)


class _Machine:
    """Stack, marks and memo of one pickle; `step` executes one opcode."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.protocol = 0
        self.storages: dict[str, Storage] = {}

    def step(self, opcode: str, argument: Any, position: int) -> None:
        match opcode:
            case "PROTO":
                if argument > 5:
                    raise ValueError(f"pickle protocol {argument}; there are 0 to 5")
                self.protocol = argument
            case "FRAME":
                pass
            case "MARK":
                self.marks.append(len(self.stack))
            case "GLOBAL":
                self.push(allowed(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                if type(name) is not str or type(module) is not str:
                    raise ValueError(f"a global that is not named by strings, at byte {position}")
                self.push(allowed(module, name))
            case "INST":
                function = allowed(*argument.split(" ", 1))
                self.push(call(function, tuple(self.pop_to_mark())))
            case "OBJ":
                function, *arguments = self.pop_to_mark() or [None]
                self.push(call(function, tuple(arguments)))
            case "REDUCE" | "NEWOBJ":
                arguments, function = self.pop(), self.pop()
                self.push(call(function, arguments))
            case "BUILD":
                self.build(self.pop())
            case "BINPERSID":
                self.push(self.storage(self.pop()))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.top()
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.top()
            case "GET" | "BINGET" | "LONG_BINGET":
                if argument not in self.memo:
                    raise ValueError(f"memo has no entry {argument}, at byte {position}")
                self.push(self.memo[argument])
            case "POP":
                if self.marks and self.marks[-1] == len(self.stack):
                    self.marks.pop()
                else:
                    self.pop()
            case "POP_MARK":
                self.pop_to_mark()
            case "DUP":
                self.push(self.top())
            case "NONE":
                self.push(None)
            case "NEWTRUE":
                self.push(True)
            case "NEWFALSE":
                self.push(False)
            case "EMPTY_TUPLE":
                self.push(())
            case "EMPTY_LIST":
                self.push([])
            case "EMPTY_DICT":
                self.push({})
            case "TUPLE":
                self.push(tuple(self.pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [self.pop() for _ in range(int(opcode[-1]))]
                self.push(tuple(reversed(items)))
            case "LIST":
                self.push(self.pop_to_mark())
            case "APPEND":
                self.append([self.pop()])
            case "APPENDS":
                self.append(self.pop_to_mark())
            case "DICT":
                items = self.pop_to_mark()
                self.push({})
                self.set(items)
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self.set([key, value])
            case "SETITEMS":
                self.set(self.pop_to_mark())
            case _ if opcode in _LITERALS:
                self.push(argument)
            case _:
                raise ValueError(
                    f"refused: opcode {opcode} at byte {position} is not a checkpoint's"
                )

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("the pickle takes a value from an empty stack")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.top()
        del self.stack[-1]
        return value

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise ValueError("the pickle goes back to a mark that it never set")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def append(self, items: list[Any]) -> None:
        if type(self.top()) is not list:
            raise ValueError(f"the pickle appends to a {type(self.top()).__name__}")
        self.top().extend(items)

    def set(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError(f"the pickle sets {len(items)} items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Any other kind of key could take a hash for ever, or recurse for ever.
            if not (type(key) is str or type(key) is int and abs(key) < 2**53):
                raise ValueError(f"a dictionary key is {type(key).__name__}, wants str or int")
            target[key] = value

    def build(self, attributes: Any) -> None:
        target = self.top()
        if type(target) is not OrderedDict or type(attributes) is not dict:
            raise ValueError(f"refused: the pickle sets attributes of a {type(target).__name__}")
        if attributes.keys() - {"_metadata"}:
            raise ValueError(f"refused: the pickle sets attributes {sorted(map(str, attributes))}")
        vars(target).update(attributes)

    def storage(self, identity: Any) -> Storage:
        match identity:
            case ("storage", Global("torch", name), str(key), str(), int(count), *view):
                pass
            case _:
                raise ValueError("a persistent id is not that of a storage")
        if name not in STORAGES or count < 0 or view not in ([], [None]):
            raise ValueError(f"storage {key} is a {name} of {count} elements; not supported")
        storage = Storage(key, STORAGES[name], count)
        known = self.storages.setdefault(key, storage)
        if known.element == storage.element and known.count != storage.count:
            raise ValueError(f"storage {key} has {known.count} elements, and {count}")
        return storage


# Opcodes whose argument, decoded by pickletools, is the value itself.
_LITERALS = frozenset(
    [
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "UNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
    ]
)


def _check_size(value: Any) -> None:
    todo, nodes = [(value, 0)], 0
    while todo:
        value, depth = todo.pop()
        children: list[Any] = []
        if isinstance(value, dict):
            children = [*value.values(), *getattr(value, "__dict__", {}).values()]
        elif isinstance(value, (list, tuple)):
            children = list(value)
        nodes += len(children)
        if nodes > NODES or depth > DEPTH:
            raise ValueError(f"the pickle's tree has over {NODES} nodes, or is over {DEPTH} deep")
        todo.extend((child, depth + 1) for child in children)
