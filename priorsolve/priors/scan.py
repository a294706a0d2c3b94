"""What a pickle asks for, read off its opcodes without building anything."""

from __future__ import annotations

import codecs
import pickletools
from collections import deque
from typing import BinaryIO, NamedTuple, final

from priorsolve.priors.errors import FAILURES, CheckpointError

_TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_FILLS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_PAIRS, _ALL = slice(1, -1, 2), slice(None)
_KEYS = {"SETITEM": _PAIRS, "SETITEMS": _PAIRS, "DICT": slice(1, None, 2), "ADDITEMS": slice(-1), "FROZENSET": _ALL}
"""Which of the values that an opcode takes off the stack, the last one first, it hashes."""
_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET"}
_DEPTH_LIMIT = 500
_TUPLE_LIMIT = 2000
_STEP_LIMIT = 1_000_000
_AGAIN_LIMIT = 10_000_000
_BITS_LIMIT = 1024
_LOOKED_AT = 512
KEY_LIMIT = 5000
"""Keys that are no text, part by part. A file can choose numbers so that all hash alike, and each is compared with all before it."""
UNLIKE_KEYS = f"has more than {KEY_LIMIT} keys that are no text; it is damaged or made to hang its reader"


def globals_of(stream: BinaryIO) -> list[str]:
    """The dotted names that the next pickle of `stream` would import, in order.

    Raises:
        CheckpointError: it ends too early, is no pickle, takes millions of steps, numbers its memo so high that an unpickler would fill
            the memory, or has keys so deep, so many or of numbers so long that hashing them would crash or hang the interpreter.
    """
    names: dict[str, None] = {}
    texts: deque[str] = deque(maxlen=2)
    memo: dict[int, str] = {}
    nesting = _Nesting()
    previous, start = "", stream.tell()
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            name = opcode.name
            if steps > _STEP_LIMIT:
                raise CheckpointError(f"takes more than {_STEP_LIMIT} steps to read; it is damaged or made to hang its reader")
            if name.startswith("EXT"):
                raise CheckpointError(f"asks for extension {argument}, which is code and was not run; ask its maker for a state_dict")
            if isinstance(argument, int) and argument.bit_length() > _BITS_LIMIT:
                raise CheckpointError(f"holds a number of {argument.bit_length()} bits; it is damaged or made to hang its reader")
            index = len(nesting.memo) if name == "MEMOIZE" else argument if isinstance(argument, int) else -1
            if name in _PUTS and index > steps:
                raise CheckpointError(f"asks for a table of {index} entries after {steps} steps; it is damaged or made to fill the memory")
            nesting.step(opcode, index)
            if name in _TEXTS:
                texts.append(str(argument))
            elif name in _GETS:
                texts.append(memo.get(index, "?"))
            elif name in _PUTS and previous in _TEXTS:
                memo[index] = texts[-1]
            elif name in ("GLOBAL", "INST"):
                names[str(argument).replace(" ", ".", 1)] = None
            elif name == "STACK_GLOBAL":
                names[".".join(texts)] = None
            previous = name
    except CheckpointError:
        raise
    except FAILURES as error:
        if "unknown" in str(error):
            raise CheckpointError("is no checkpoint format known here; expected a file of torch.save or safetensors") from None
        if _is_text(stream, start):
            raise CheckpointError("is text, not a checkpoint; expected a file of torch.save or safetensors") from None
        raise CheckpointError("is incomplete (it ends in the middle); download or copy it again") from None
    return list(names)


def _is_text(stream: BinaryIO, start: int) -> bool:
    """Whether it can be read by people from there on: any letter is an opcode's, too."""
    stream.seek(start)
    try:
        text, _ = codecs.utf_8_decode(stream.read(_LOOKED_AT), "strict", False)
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\t\r\n\f" for letter in text)


class _Value(NamedTuple):
    """How deep a value would be, of how many parts a tuple, and whether it is text; tuples alone of what has parts can be keys."""

    depth: int
    parts: int
    text: bool = False


_MARK = _Value(-1, 0)


@final
class _Nesting:
    """The values on the unpickler's stack and in its memo."""

    def __init__(self) -> None:
        self.memo: dict[int, _Value] = {}
        self._stack: list[_Value] = []
        self._again = self._keys = 0

    def step(self, opcode: pickletools.OpcodeInfo, index: int) -> None:
        stack, before, after = self._stack, opcode.stack_before, opcode.stack_after
        if opcode.name in _PUTS:
            self.memo[index] = stack[-1]
            return
        if opcode.name in _GETS:
            self._more(self.memo[index])
            return
        if opcode.name == "MARK":
            stack.append(_MARK)
            return
        popped = []
        if pickletools.markobject in before:
            while (value := stack.pop()) != _MARK:
                popped.append(value)
            before = before[: before.index(pickletools.markobject)]
        popped += [stack.pop() for _ in before]
        if opcode.name == "DUP":
            stack.append(popped[0])
            self._more(popped[0])
            return
        if opcode.name in _FILLS:
            depth = max(popped[-1].depth, 1 + max((value.depth for value in popped[:-1]), default=-1))
        else:
            depth = 1 + max((value.depth for value in popped), default=-1)
        parts = 1 + sum(value.parts for value in popped) if opcode.name in _TUPLES else 1
        if opcode.name in _KEYS:
            self._keys += sum(value.parts for value in popped[_KEYS[opcode.name]] if not value.text)
            if self._keys > KEY_LIMIT:
                raise CheckpointError(UNLIKE_KEYS)
        if depth > _DEPTH_LIMIT or parts > _TUPLE_LIMIT:
            raise CheckpointError(f"nests deeper than {_DEPTH_LIMIT} levels or too often; it is damaged or made to crash its reader")
        stack.extend(_Value(depth, parts, opcode.name in _TEXTS) for _ in after)

    def _more(self, value: _Value) -> None:
        """The value once more; as a key it would be hashed once more, part by part."""
        self._again += value.parts
        if self._again > _AGAIN_LIMIT:
            raise CheckpointError("uses its tuples too often; it is damaged or made to hang its reader")
        self._stack.append(value)
