"""The values that the reader of pickles makes: records that do nothing, and known kinds of data.

Nothing here calls what a file names. `CALLS` maps the names of a few functions and classes to functions of this
module, which check their arguments and rebuild the same data. Everything else becomes an `Inert` record.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from .reader import Reader

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""Start of a PyTorch file of the form before version 1.6, in which storages are pickled to this day."""

DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}


@dataclass(frozen=True)
class Name:
    """The name of a class or function in a pickle, such as "torch.device". It was not imported."""

    text: str


class Inert:
    """What a pickle makes of a class or function that is not known here. It has no behavior."""

    __slots__ = ("name", "arguments", "keywords", "state", "entries", "elements")

    def __init__(self, name: str, arguments: tuple[Any, ...]):
        self.name, self.arguments = name, arguments
        self.keywords: Any = None
        self.state: Any = None
        """What the pickle sets as the object's attributes, usually a dictionary."""
        self.entries: dict[Any, Any] = {}
        self.elements: list[Any] = []

    def __repr__(self) -> str:
        return f"<Inert {self.name[:80]}>"


class Array:
    """A NumPy array, whose contents come after it in a pickle. `value` is None until then, or for objects."""

    __slots__ = ("value",)

    def __init__(self, value: np.ndarray[Any, Any] | None = None):
        self.value = value

    def fill(self, reader: Reader, state: Any) -> None:
        """Take (version, shape, type, whether in Fortran's order, bytes), as arrays are pickled."""
        shape, dtype, fortran, data = state[-4:]
        if type(data) is str:  # Python 2 had no other type for bytes
            data = _encode(reader, data)
        self.value = array(data, dtype, shape, "F" if fortran else "C")


class Storage:
    """The numbers that tensors view, (n,)."""

    __slots__ = ("data",)

    def __init__(self, data: Tensor):
        self.data = data


def as_key(value: Any) -> Any:
    """Check a key of a dictionary: text, bytes or a number that no other of its kind can collide with on purpose.

    Raises:
        ValueError: It is something else.
    """
    if value is None or type(value) in (str, bytes, bool, float):
        return value
    if type(value) is int and abs(value) < 2**60:  # larger ones can be chosen to have equal hashes
        return value
    raise ValueError(f"a key of type {type(value).__name__}")


def call(reader: Reader, function: object, arguments: tuple[Any, ...]) -> object:
    """What a call in a pickle gives: a known kind of data, or a record of the call."""
    if not isinstance(function, Name):
        return Inert(f"{type(function).__name__}()", arguments)
    reader.spend(len(arguments))
    known = CALLS.get(function.text)
    return known(reader, *arguments) if known else Inert(function.text, arguments)


# ---- containers and text


def _dictionary(reader: Reader, *arguments: Any) -> dict[Any, Any]:
    if not arguments:
        return {}
    (items,) = arguments
    if type(items) is dict:
        reader.spend(len(items))
        return dict(items)
    pairs = _list(reader, items)
    if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise ValueError("a dictionary of something else than pairs")
    return {as_key(key): value for key, value in pairs}


def _reconstructor(reader: Reader, kind: Any, base: Any, state: Any) -> Any:
    """An object as protocols 0 and 1 write it: its class, the class of plain data it extends, and those data."""
    is_dictionary = isinstance(kind, Name) and CALLS.get(kind.text) is _dictionary
    return call(reader, kind, (state,) if is_dictionary and state is not None else ())


def _list(reader: Reader, items: Any = ()) -> list[Any]:
    if type(items) not in (list, tuple, set):
        raise ValueError("a list of something else")
    reader.spend(len(items))
    return list(items)


def _set(reader: Reader, items: Any = ()) -> set[Any]:
    return {as_key(item) for item in _list(reader, items)}


def _empty(reader: Reader) -> bytes:
    """Empty bytes, which protocols 0 to 2 write as a call."""
    return b""


def _encode(reader: Reader, text: Any, encoding: Any = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ValueError("text in another encoding than latin1")
    return reader.once(text, lambda: text.encode("latin-1"))


# ---- arrays


def dtype_of(value: Any) -> np.dtype[Any]:
    """The type of a pickled array of plain numbers.

    Raises:
        ValueError: It is a type of objects, text or records.
    """
    if not isinstance(value, Inert) or value.name != "numpy.dtype" or not value.arguments:
        raise ValueError("an array without a type")
    code = value.arguments[0]
    match = re.fullmatch(r"[<>=|]?([biuf])([1248])", code if type(code) is str else "")
    if not match:
        raise ValueError("an array of other things than numbers")
    order = value.state[1] if type(value.state) is tuple and len(value.state) > 1 else "="
    return np.dtype((order if order in ("<", ">") else "=") + match[1] + match[2])


def array(data: Any, dtype: Any, shape: Any, order: str = "C") -> np.ndarray[Any, Any]:
    """A read-only array over bytes of the file.

    Raises:
        ValueError: The bytes do not fit the shape, or the type is not one of numbers.
    """
    kind = dtype_of(dtype)
    if type(data) is not bytes or type(shape) is not tuple or len(shape) > 8:
        raise ValueError("an array without bytes or shape")
    if not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise ValueError("an array with an impossible shape")
    if len(data) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"an array with {len(data)} bytes for the shape {shape}")
    return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")


def _scalar(reader: Reader, dtype: Any, data: Any = None) -> Any:
    return array(data, dtype, ()).item()


# ---- tensors


def _storage(reader: Reader, data: Any) -> Storage:
    return reader.once(data, lambda: _read_storage(reader, data))


def _read_storage(reader: Reader, data: Any) -> Storage:
    """A storage, which is pickled as a PyTorch file inside of the pickle.

    That file has a magic number, a version, facts about the system, the storage as a persistent id, the list of
    storages, and the numbers themselves.
    """
    if type(data) is not bytes or not data.startswith(LEGACY_MAGIC):
        raise ValueError("a storage in an unknown form")
    found: list[tuple[torch.dtype, int]] = []

    def persistent(id: object) -> object:
        kind, storage, _, _, count = id[:5] if type(id) is tuple else (None,) * 5
        name = storage.text if isinstance(storage, Name) else ""
        if kind != "storage" or name not in DTYPES or type(count) is not int or found:
            raise ValueError("a storage in an unknown form")
        found.append((DTYPES[name], count))
        return None

    file = io.BytesIO(data)
    reader.read(file), reader.read(file)
    system = reader.read(file)
    reader.read(file, persistent), reader.read(file)
    if not found or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("a storage in an unknown form")
    dtype, count = found[0]
    stated, size = int.from_bytes(file.read(8), "little"), count * dtype.itemsize
    numbers = file.read()
    if count != stated or len(numbers) != size:
        raise ValueError(f"a storage of {len(numbers)} bytes that states {size}")
    return Storage(
        torch.frombuffer(bytearray(numbers), dtype=dtype) if count else torch.empty(0, dtype=dtype)
    )


def _tensor(
    reader: Reader, storage: Any, offset: Any, size: Any, stride: Any, *_: Any
) -> Tensor:  # the rest is whether it needs gradients, and hooks
    if not isinstance(storage, Storage) or len(size) != len(stride) or len(size) > 8:
        raise ValueError("a tensor without storage")
    if not all(type(n) is int and 0 <= n < 2**40 for n in (offset, *size, *stride)):
        raise ValueError("a tensor with an impossible shape")
    count, numbers = math.prod(size), storage.data.numel()
    last = offset + sum((n - 1) * step for n, step in zip(size, stride)) if count else 0
    if count > numbers or last >= max(numbers, 1):
        raise ValueError(f"a tensor of {count} numbers in a storage of {numbers}")
    return storage.data.as_strided(size, stride, offset) if count else storage.data.new_empty(size)


def _parameter(reader: Reader, data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise ValueError("a parameter that is no tensor")
    return data


def _size(reader: Reader, sizes: Any) -> tuple[Any, ...]:
    return tuple(_list(reader, sizes))


_NUMPY = {
    "_reconstruct": lambda reader, *_: Array(),
    "scalar": _scalar,
}

CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dictionary,
    "dnnlib.util.EasyDict": _dictionary,
    "dnnlib.EasyDict": _dictionary,
    **{f"{module}.dict": _dictionary for module in ("builtins", "__builtin__")},
    **{f"{module}.list": _list for module in ("builtins", "__builtin__")},
    **{f"{module}.{kind}": _set for module in ("builtins", "__builtin__") for kind in ("set", "frozenset")},
    "copyreg._reconstructor": _reconstructor,
    "copy_reg._reconstructor": _reconstructor,
    **{f"{module}.bytes": _empty for module in ("builtins", "__builtin__")},
    "_codecs.encode": _encode,
    **{
        f"{m}.multiarray.{name}": make for m in ("numpy.core", "numpy._core") for name, make in _NUMPY.items()
    },
    **{
        f"{m}.numeric._frombuffer": lambda reader, data, dtype, shape, order: Array(
            array(data, dtype, shape, order)
        )
        for m in ("numpy.core", "numpy._core")
    },
    "torch.storage._load_from_bytes": _storage,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
}
"""What a call of one of these names gives, from the reader and the arguments of the call."""
