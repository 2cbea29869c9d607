"""The reader of pickles: it gives the data that pickle gives, and executes nothing, whatever a file asks for."""

import array
import builtins
import collections
import io
import os
import pickle
import pickletools
import subprocess
import sys
import time
from datetime import date

import numpy as np
import pytest
import torch

from stylegan2.errors import InputError
from stylegan2.formats import load_generator
from stylegan2.pickles.inert import Array, Inert, Name
from stylegan2.pickles.reader import MOST_STEPS, SUPPORTED, Reader, UnsafePickle, read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def read(data):
    return Reader().read(io.BytesIO(data))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_are_what_pickle_gives(protocol):
    shared = ["shared", 1]
    value = {
        "numbers": [0, 1, -1, 255, 65536, 2**40, -(2**70), 0.5, float("inf"), True, False, None],
        "text": ["", "é 日本", "\n'\\", "x" * 300],
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "sets": [{1, 2}, {"a"}],
        "nested": {"a": {"b": [shared, shared]}},
        3: "a number as key",
        "ordered": collections.OrderedDict(a=1, b=[2]),
        "bytes": [b"", b"\x00\xff" * 200],
    }
    found = read(pickle.dumps(value, protocol=protocol))
    assert found == value
    assert found["nested"]["a"]["b"][0] is found["nested"]["a"]["b"][1]


def test_every_instruction_of_python_is_known():
    assert {opcode.name for opcode in pickletools.opcodes} == SUPPORTED


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool", ">f4"])
def test_arrays_are_what_pickle_gives(protocol, dtype):
    value = np.arange(24).reshape(2, 3, 4).astype(dtype)
    for array_ in (value, np.asfortranarray(value), value[:, ::2], value[:0]):
        found = read(pickle.dumps([array_], protocol=protocol))[0]
        assert isinstance(found, Array)
        assert found.value.dtype == array_.dtype
        np.testing.assert_array_equal(found.value, array_)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_tensors_are_what_pickle_gives(protocol, dtype):
    value = torch.arange(120).reshape(2, 3, 4, 5).to(dtype)
    tensors = [
        value,
        value.to(memory_format=torch.channels_last),
        value[:, 1:, ::2],
        value.mT,
        value[0, 0, 0, 0],
    ]
    tensors += [torch.nn.Parameter(torch.randn(3)), torch.empty(0, 3)]
    found = read(pickle.dumps(tensors, protocol=protocol))
    for a, b in zip(found, tensors, strict=True):
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
        assert torch.equal(a, b)


class Canary:
    """Writes the file `executed` when a pickle of it is executed. It pickles a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_classes_become_records_that_do_nothing(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value = {
        "call": Canary(os.mkdir, "executed"),
        "code": Canary(builtins.exec, "open('executed', 'w')"),
        "date": date(2020, 2, 2),
        "array": array.array("i", [1]),
        "class": io.StringIO,
        "deque": collections.deque([1, 2]),
    }
    found = read(pickle.dumps(value, protocol=protocol))
    assert not os.listdir(tmp_path)
    assert isinstance(found["call"], Inert) and found["call"].arguments == ("executed",)
    assert found["code"].name in ("builtins.exec", "__builtin__.exec")
    assert isinstance(found["class"], Name)
    assert all(isinstance(found[key], Inert) for key in ("date", "array", "deque"))


def test_nothing_is_imported(tmp_path):
    (tmp_path / "evil.py").write_text("open('executed', 'w')\n", encoding="utf-8")
    (tmp_path / "x.pkl").write_bytes(b"cevil\nf\n(tR.")
    code = "from stylegan2.pickles import read_pickle; print(read_pickle('x.pkl').name); import sys; "
    code += "print('evil' in sys.modules)"
    paths = os.pathsep.join([str(tmp_path), os.getcwd(), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["evil.f", "False"]
    assert not (tmp_path / "executed").exists()


def big_storage(stated):
    """A tensor whose storage states a size."""
    data = pickle.dumps(torch.zeros(4))
    return data.replace(b"K\x04Ntq\x04Q", b"J" + stated.to_bytes(4, "little") + b"Ntq\x04Q")


EMPTY_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(NNNtR"
HOSTILE = {
    "reduce": b"cos\nsystem\n(S'touch executed'\ntR.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0etouch executed\x85R.",
    "inst": b"(S'touch executed'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'touch executed'\no.",
    "newobj": b"\x80\x02cos\nsystem\nS'touch executed'\n\x85\x81.",
    "newobj_ex": b"\x80\x04cos\nsystem\nS'touch executed'\n\x85}\x92.",
    "build on a record": b"cos\nsystem\n(tR}S'__class__'\ncos\nsystem\nsb.",
    "build of attributes": b"cos\nsystem\n(tR(NS'__reduce__'\ntb.",
    "call of a record": b"cos\nsystem\n(tR(S'touch executed'\ntR.",
    "call of a list": b"](tR.",
    "getattr": b"cbuiltins\ngetattr\n(cos\nS'system'\ntR(S'touch executed'\ntR."[:-1] + b".",
}
REFUSED = {
    "text": b"Hello, this is no pickle.\n",
    "html": b"<!DOCTYPE html><html>Not found</html>",
    "ext1": b"\x80\x02\x82\x01.",
    "ext4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "persistent id": b"Pabc\n.",
    "binary persistent id": b"K\x01Q.",
    "out of band": b"\x80\x05\x97.",
    "protocol 9": b"\x80\x09N.",
    "build on a name": b"cos\nsystem\n}b.",
    "build on a list": b"]}b.",
    "memo without entry": b"g5\n.",
    "empty stack": b"R.",
    "no mark": b"t.",
    "no end": b"]",
    "odd entries": b"}(K\x01u.",
    "append to a number": b"K\x01K\x02a.",
    "list as key": b"}]K\x01s.",
    "call without tuple": b"cos\nsystem\n]R.",
    "huge bytes": b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"abc.",
    "huge text": b"X\xff\xff\xff\x7fabc.",
    "huge integer": b"\x8b\xff\xff\xff\x7fabc.",
    "huge frame and no more": b"\x80\x04\x95" + (2**62).to_bytes(8, "little"),
    "decimal digits": b"L" + b"9" * 100_000 + b"L\n.",
    "colliding keys": b"}(" + b"".join(pickle.dumps(k * (2**61 - 1), 2)[2:-1] + b"N" for k in range(1, 3)) + b"u.",
    "lists of lists": b"]q\x00" + b"(h\x00h\x00l" * (MOST_STEPS // 3),
    "dictionaries of one list": (
        b"\x80\x02ccollections\nOrderedDict\nq\x00](" + b"K\x01K\x02\x86" * 1000 + b"eq\x01"
        + b"h\x00h\x01\x85R" * 1500 + b"."
    ),
    "array of objects": pickle.dumps(np.array([Canary(os.mkdir, "executed")], dtype=object)),
    "array without bytes": EMPTY_ARRAY + b"(K\x01(K\x02tcnumpy\ndtype\n(S'f4'\ntRI00\nS'abc'\ntb.",
    "array of a huge shape": EMPTY_ARRAY + b"(K\x01(L1099511627776L\ntcnumpy\ndtype\n(S'f4'\ntRI00\nS''\ntb.",
    "huge storage": big_storage(2**31 - 1),
    "tensor outside of its storage": pickle.dumps(torch.zeros(4), 2).replace(b"K\x04\x85", b"K\x09\x85", 1),
    "tensor of endless strides": pickle.dumps(torch.zeros(1).expand(4), 2).replace(b"K\x04\x85", b"M\xff\xff\x85"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_call_is_not_executed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(HOSTILE[name])
    read_pickle(tmp_path / "x.pkl")
    with pytest.raises(InputError):
        load_generator(tmp_path / "x.pkl")
    assert os.listdir(tmp_path) == ["x.pkl"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_data_do_not_need_is_refused_soon(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(REFUSED[name])
    start = time.monotonic()
    with pytest.raises(UnsafePickle):
        read_pickle(tmp_path / "x.pkl")
    assert time.monotonic() - start < 30
    assert os.listdir(tmp_path) == ["x.pkl"]
    with pytest.raises(InputError) as refused:
        load_generator(tmp_path / "x.pkl")
    assert len(str(refused.value)) < 1000


def test_a_memo_index_takes_no_memory():
    assert read(b"K\x01r\xff\xff\xff\x7fj\xff\xff\xff\x7f.") == 1


def test_one_storage_that_is_named_often_is_read_once():
    """Otherwise a megabyte that a file names a thousand times would become a gigabyte."""
    tensor = torch.arange(2**18)
    _, (data,) = tensor.__reduce_ex__(2)[1][0].__reduce__()
    program = b"\x80\x03ctorch.storage\n_load_from_bytes\np8\n0" + pickle.dumps(data, 3)[2:-1]
    found = read(program + b"p9\n0(" + b"g8\ng9\n\x85R" * 1000 + b"l.")
    assert len(found) == 1000 and all(entry is found[0] for entry in found)
    assert torch.equal(found[0].data, tensor)
