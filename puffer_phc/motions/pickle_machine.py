"""The pickle instructions that plain data need, interpreted one by one.

Only the *lexer* is the standard library's (``pickletools``). There is no import, no attribute access and no
call here except of the functions in :mod:`puffer_phc.motions.pickle_objects`.
"""

from __future__ import annotations

import codecs
import io
import pickletools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from puffer_phc.motions import pickle_objects as objects
from puffer_phc.motions.pickle_objects import PickleFault
from puffer_phc.motions.streams import ByteStream

_MAX_INSTRUCTIONS = 30_000_000  # an object of ~64 bytes each at most: 2 GB
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_KEY_TYPES = (str, bytes, int, float, bool, type(None))  # hashing nested tuples can take for ever

PersistentLoad = Callable[[object], object]


def interpret(stream: ByteStream, persistent_load: PersistentLoad | None = None) -> Any:
    """The value of one pickle in ``stream``; the stream is left behind it.

    Args:
        stream: positioned at the pickle's first instruction.
        persistent_load: resolves references to data outside the pickle; None refuses them.

    Raises:
        PickleFault: the pickle is damaged or wants more than plain data.
        StreamFault: the data end early or are too large.
    """
    machine = _Machine(stream, persistent_load)
    for count, (opcode, argument) in enumerate(_instructions(stream)):
        if count > _MAX_INSTRUCTIONS:
            raise PickleFault(f"it has more than {_MAX_INSTRUCTIONS} pickle instructions")
        if opcode.name == "STOP":
            break
        step = _STEPS.get(opcode.name)
        if step is None:
            raise PickleFault(f"it uses the pickle instruction {opcode.name}, which no motion needs")
        step(machine, argument)
    return machine.pop()


def _instructions(stream: ByteStream) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    """As ``pickletools.genops``, which takes all texts of Python 2 for ASCII: they may be the raw bytes of an array."""
    while True:
        opcode = _OPCODES.get(stream.read(1))
        if opcode is None:
            raise PickleFault("damaged or cut-short pickle (unknown instruction, or an end before STOP)")
        if opcode.name == "STRING":
            yield opcode, _quoted(stream.readline())
        else:
            yield opcode, None if opcode.arg is None else opcode.arg.reader(stream)  # type: ignore[arg-type]


def _quoted(line: bytes) -> str:
    """The text of a line ``'...'`` with escapes, its bytes as characters of latin-1."""
    text = line.rstrip(b"\n")
    if len(text) < 2 or text[:1] not in (b"'", b'"') or text[-1:] != text[:1]:
        raise PickleFault("damaged pickle (a text without quotes)")
    return codecs.escape_decode(text[1:-1])[0].decode("latin-1")


class _Machine:
    """The pickle stack machine: a stack, a stack of marked positions, a memo."""

    def __init__(self, stream: ByteStream, persistent_load: PersistentLoad | None) -> None:
        self.stream = stream
        self.persistent_load = persistent_load
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        # A finished array takes the place of the shell that the memo still knows.
        self.stack.append(value.array if isinstance(value, objects.ArrayShell) and value.array is not None else value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise PickleFault("damaged pickle (its stack runs empty)")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """The topmost value, which must be of the given type."""
        value = self.pop()
        if not isinstance(value, kind):
            raise PickleFault(f"damaged pickle (expected a {kind.__name__})")
        self.stack.append(value)
        return value

    def pop_mark(self) -> list[Any]:
        """Everything above the last mark."""
        if not self.marks:
            raise PickleFault("damaged pickle (a mark is missing)")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _push(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


def _skip(machine: _Machine, argument: Any) -> None:
    pass


def _constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(value)


def _new(kind: type) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(kind())


def _mark(machine: _Machine, _: Any) -> None:
    machine.marks.append(len(machine.stack))


def _drop(machine: _Machine, _: Any) -> None:
    machine.pop()


def _drop_marked(machine: _Machine, _: Any) -> None:
    machine.pop_mark()


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        machine.push(tuple([machine.pop() for _ in range(count)][::-1]))

    return step


def _fill_dict(target: dict, items: list[Any]) -> None:
    if len(items) % 2:
        raise PickleFault("damaged pickle (a key without a value)")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) not in _KEY_TYPES:
            raise PickleFault(f"a dictionary key is a {type(key).__name__}")
        target[key] = value


def _dict(machine: _Machine, _: Any) -> None:
    result: dict = {}
    _fill_dict(result, machine.pop_mark())
    machine.push(result)


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _fill_dict(machine.top(dict), [key, value])


def _set_items(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    _fill_dict(machine.top(dict), items)


def _append(machine: _Machine, _: Any) -> None:
    value = machine.pop()
    machine.top(list).append(value)


def _appends(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    machine.top(list).extend(items)


def _put(machine: _Machine, index: Any) -> None:
    machine.memo[index] = machine.top(object)


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.top(object)


def _get(machine: _Machine, index: Any) -> None:
    if index not in machine.memo:
        raise PickleFault("damaged pickle (an unknown reference)")
    machine.push(machine.memo[index])


def _look_up(machine: _Machine, name: str) -> None:
    if name not in objects.ALLOWED:
        raise PickleFault(f"it asks to load {name[:80]!r}, which may run code and is refused")
    machine.push(objects.ALLOWED[name])


def _global(machine: _Machine, argument: str) -> None:
    _look_up(machine, argument.replace(" ", ".", 1))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    _look_up(machine, f"{module}.{name}")


def _call(machine: _Machine, _: Any) -> None:
    arguments, function = machine.pop(), machine.pop()
    if not isinstance(function, objects.Global) or not isinstance(arguments, tuple):
        raise PickleFault("damaged pickle (a call of something that is no function)")
    call = _torch_storage if function.name == objects.LOAD_STORAGE else function.call
    if call is None:
        raise PickleFault(f"it calls {function.name!r}, which is refused")
    result = call(*arguments)
    machine.stream.charge(_num_bytes(result))
    machine.push(result)


def _num_bytes(value: object) -> int:
    """Memory behind a value that a call or a state made (a few instructions can repeat a large one for ever)."""
    if isinstance(value, objects.Storage):
        return value.values.nbytes
    if isinstance(value, objects.ArrayShell):
        return 0 if value.array is None else value.array.nbytes
    return value.nbytes if isinstance(value, np.ndarray) else len(value) if isinstance(value, str | bytes) else 0


def _new_object(machine: _Machine, _: Any) -> None:
    arguments, kind = machine.pop(), machine.pop()
    if arguments != () or not isinstance(kind, objects.Global) or kind.name not in objects.NEW:
        raise PickleFault("it creates an object of a class that is refused")
    machine.push(objects.NEW[kind.name]())


def _build(machine: _Machine, _: Any) -> None:
    state, target = machine.pop(), machine.pop()
    if not isinstance(target, objects.ArrayShell | objects.DtypeShell | objects.JoblibShell):
        raise PickleFault("it sets the state of an object, which is refused")
    target.build(state)
    machine.stream.charge(_num_bytes(target))
    machine.push(_joblib_array(machine.stream, target) if isinstance(target, objects.JoblibShell) else target)


def _joblib_array(stream: ByteStream, shell: objects.JoblibShell) -> np.ndarray:
    """joblib writes the raw array behind the instruction that completes its wrapper: padding length, padding, data."""
    if shell.padded:
        stream.read_exactly(stream.read_exactly(1)[0])
    return objects.joblib_array(shell, stream.read_exactly(shell.num_bytes))


def _persistent(machine: _Machine, _: Any) -> None:
    if machine.persistent_load is None:
        raise PickleFault("it refers to data outside the file")
    machine.push(machine.persistent_load(machine.pop()))


def _torch_storage(data: object) -> objects.Storage:
    """Decodes the byte string of a pickled torch storage (the layout ``torch.save`` used before its zip files).

    It is magic number, version, platform, storage and list of keys, one pickle each, then per key the element count
    (int64) and the raw data. Decoding it here rather than by ``torch.load`` keeps every byte of the file inside this
    interpreter, and tensors saved on a GPU need no GPU.
    """
    if not isinstance(data, bytes | bytearray):
        raise PickleFault("a torch storage is damaged")
    stream = ByteStream(io.BytesIO(data), len(data))
    magic, _version, platform = interpret(stream), interpret(stream), interpret(stream)
    if magic != _TORCH_MAGIC or not isinstance(platform, dict) or platform.get("little_endian") is not True:
        raise PickleFault("a torch tensor was saved in an unknown layout")
    found = interpret(stream, objects.storage_type)
    keys = interpret(stream)
    if not isinstance(found, tuple) or keys != [found[1]]:
        raise PickleFault("a torch storage is damaged")
    dtype, _key, count = found
    if int.from_bytes(stream.read_exactly(8), "little", signed=True) != count:
        raise PickleFault("a torch storage is damaged")
    return objects.Storage(np.frombuffer(stream.read_exactly(count * dtype.itemsize), dtype))


_PUSH_ARGUMENT = """INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE
    BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"""

_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_PUSH_ARGUMENT.split(), _push),
    **dict.fromkeys(("PROTO", "FRAME"), _skip),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    "MEMOIZE": _memoize,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_LIST": _new(list),
    "EMPTY_DICT": _new(dict),
    "EMPTY_TUPLE": _constant(()),
    "MARK": _mark,
    "POP": _drop,
    "POP_MARK": _drop_marked,
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "DICT": _dict,
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _call,
    "NEWOBJ": _new_object,
    "BUILD": _build,
    "BINPERSID": _persistent,
}
