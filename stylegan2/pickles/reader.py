"""A reader of pickles that imports nothing and calls nothing that a file names.

A pickle is a program for a small machine with a stack. Python's own reader imports and calls whatever the
program names. This reader takes the instructions from `pickletools` and keeps to data. Numbers, text and plain
containers are built. `inert.py` rebuilds a few known kinds of values, such as tensors and arrays. Every other
class or function becomes an `Inert` record of its name and its arguments.

The number of steps is limited, and no step makes more than a small object or a view of bytes of the file.
So time and memory are bounded by the size of the file and by `MOST_STEPS`.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from pickletools import genops
from typing import IO, Any, TypeVar, cast

from .inert import Array, Inert, Name, as_key, call

T = TypeVar("T")

MOST_STEPS = 500_000
"""Most instructions and copied items of a pickle. G, D and G_ema of 1024×1024 pixels take 51,000."""

LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}
EMPTY: dict[str, Callable[[], object]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
REFUSED = {
    "EXT1": "a code of the extension registry",
    "EXT2": "a code of the extension registry",
    "EXT4": "a code of the extension registry",
    "PERSID": "a persistent id",
    "BINPERSID": "a persistent id",
    "NEXT_BUFFER": "data outside of the file",
    "READONLY_BUFFER": "data outside of the file",
}


class UnsafePickle(ValueError):
    """A pickle asks for something that reading data does not need, or is no pickle."""


def read_pickle(path: str | Path) -> object:
    """Read the first pickle of a file without executing any of it.

    Raises:
        UnsafePickle: The file is no pickle, or asks for something that data do not need.
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        if not file.read(1):
            raise UnsafePickle("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return Reader().read(view)


class Reader:
    """Reads one pickle after the other, with one budget of steps for all."""

    def __init__(self) -> None:
        self.steps = 0
        self.made: dict[int, tuple[object, Any]] = {}

    def once(self, source: object, make: Callable[[], T]) -> T:
        """What `make` makes of a source. It is called once for each source, which the pickle can give again."""
        if id(source) not in self.made:
            self.made[id(source)] = source, make()
        made: T = self.made[id(source)][1]
        return made

    def read(
        self, file: IO[bytes] | mmap.mmap, persistent: Callable[[object], object] | None = None
    ) -> object:
        """Read one pickle and leave the file at its end.

        Args:
            file: A mapped file or one in memory, whose `read` never allocates more than it returns.
            persistent: Gives the object of a persistent id. None refuses such ids.

        Raises:
            UnsafePickle: See `read_pickle`.
        """
        machine = _Machine(self, persistent)
        try:
            for opcode, argument, _ in genops(cast(IO[bytes], file)):
                self.spend(1)
                machine.step(opcode.name, argument)
            return machine.result
        except UnsafePickle:
            raise
        except Exception as error:  # an invalid program fails in many ways
            text = str(error)[:200]
            raise UnsafePickle(f"it is no valid pickle ({type(error).__name__}: {text})") from error

    def spend(self, steps: int) -> None:
        """Count steps against the budget."""
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise UnsafePickle(f"it takes more than {MOST_STEPS:,} steps, which no network needs")


class _Machine:
    """The machine of one pickle: a stack, marked places of it, and a memo."""

    def __init__(self, reader: Reader, persistent: Callable[[object], object] | None):
        self.reader, self.persistent = reader, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.result: object = None

    def step(self, name: str, argument: Any) -> None:
        """Execute one instruction."""
        if name in LITERALS:
            self.stack.append(argument)
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif "PERSID" in name and self.persistent:
            self.stack.append(self.persistent(argument if name == "PERSID" else self.stack.pop()))
        elif name in REFUSED:
            raise UnsafePickle(f"it asks for {REFUSED[name]}")
        else:
            getattr(self, f"do_{name}")(argument)

    def marked(self) -> list[Any]:
        """Take what lies above the last mark from the stack."""
        items, self.stack = self.stack, self.below.pop()
        return items

    # ---- the stack and the memo

    def do_PROTO(self, version: int) -> None:
        if version > 5:
            raise UnsafePickle(f"its protocol is {version}, expected at most 5")

    def do_FRAME(self, size: int) -> None:
        pass  # frames only group reads

    def do_STOP(self, _: None) -> None:
        self.result = self.stack.pop()

    def do_MARK(self, _: None) -> None:
        self.below.append(self.stack)
        self.stack = []

    def do_POP(self, _: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def do_POP_MARK(self, _: None) -> None:
        self.marked()

    def do_DUP(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    def do_MEMOIZE(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_PUT(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def do_GET(self, index: int) -> None:
        self.stack.append(self.memo[index])

    do_BINPUT = do_LONG_BINPUT = do_PUT
    do_BINGET = do_LONG_BINGET = do_GET

    # ---- containers

    def do_BYTEARRAY8(self, value: bytearray) -> None:
        self.stack.append(bytes(value))

    def do_LIST(self, _: None) -> None:
        items = self.marked()
        self.stack.append(items)

    def do_TUPLE(self, _: None) -> None:
        items = self.marked()
        self.stack.append(tuple(items))

    def do_TUPLE1(self, _: None, count: int = 1) -> None:
        if len(self.stack) < count:
            raise IndexError("the stack is too short")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def do_TUPLE2(self, _: None) -> None:
        self.do_TUPLE1(None, 2)

    def do_TUPLE3(self, _: None) -> None:
        self.do_TUPLE1(None, 3)

    def do_DICT(self, _: None) -> None:
        items = self.marked()
        self.stack.append({as_key(k): v for k, v in _pairs(items)})

    def do_FROZENSET(self, _: None) -> None:
        items = self.marked()
        self.stack.append({as_key(item) for item in items})

    def do_APPEND(self, _: None) -> None:
        self.append([self.stack.pop()])

    def do_APPENDS(self, _: None) -> None:
        self.append(self.marked())

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            target = target.elements
        if type(target) is not list:
            raise UnsafePickle("it appends to what is no list")
        target.extend(items)

    def do_ADDITEMS(self, _: None) -> None:
        items = self.marked()
        if type(self.stack[-1]) is not set:
            raise UnsafePickle("it adds to what is no set")
        self.stack[-1].update(map(as_key, items))

    def do_SETITEM(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def do_SETITEMS(self, _: None) -> None:
        self.set_items(self.marked())

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            target = target.entries
        if type(target) is not dict:
            raise UnsafePickle("it sets entries of what is no dictionary")
        target.update((as_key(key), value) for key, value in _pairs(items))

    # ---- classes and calls, which stay names and records

    def do_GLOBAL(self, names: str) -> None:
        self.stack.append(Name(names.replace(" ", ".", 1)))

    def do_STACK_GLOBAL(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise UnsafePickle("a name in it is no text")
        self.stack.append(Name(f"{module}.{name}"))

    def do_REDUCE(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.call(function, arguments)

    do_NEWOBJ = do_REDUCE

    def do_NEWOBJ_EX(self, _: None) -> None:
        keywords = self.stack.pop()
        self.do_REDUCE(None)
        if keywords and isinstance(self.stack[-1], Inert):
            self.stack[-1].keywords = keywords

    def do_INST(self, names: str) -> None:
        items = self.marked()
        self.call(Name(names.replace(" ", ".", 1)), tuple(items))

    def do_OBJ(self, _: None) -> None:
        items = self.marked()
        self.call(items[0], tuple(items[1:]))

    def call(self, function: object, arguments: object) -> None:
        if type(arguments) is not tuple:
            raise UnsafePickle("it calls something without arguments")
        self.stack.append(call(self.reader, function, arguments))

    def do_BUILD(self, _: None) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif isinstance(target, Array):
            target.fill(self.reader, state)
        elif type(target) is not dict:  # a known kind of dictionary, whose attributes are of no use
            raise UnsafePickle(f"it sets attributes of a value of type {type(target).__name__}")


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    if len(items) % 2:
        raise UnsafePickle("a key in it has no value")
    return list(zip(items[::2], items[1::2]))


SUPPORTED = {
    *chain(LITERALS, EMPTY, REFUSED),
    *(name[3:] for name in dir(_Machine) if name.startswith("do_")),
}
"""Names of all instructions that the machine knows. A test compares them with those of Python."""
