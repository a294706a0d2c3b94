"""What a pickle asks for, read off its opcodes without building anything."""

from __future__ import annotations

import pickletools
from collections import deque
from typing import BinaryIO, final

from priorsolve.priors.errors import FAILURES, CheckpointError

_TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_FILLS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_MARK = (-1, 0)
_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET"}
_DEPTH_LIMIT = 500
_TUPLE_LIMIT = 2000
_STEP_LIMIT = 1_000_000
_AGAIN_LIMIT = 10_000_000
_BITS_LIMIT = 1024


def globals_of(stream: BinaryIO) -> list[str]:
    """The dotted names that the next pickle of `stream` would import, in order.

    Raises:
        CheckpointError: it ends too early, is no pickle, takes millions of steps, numbers its memo so high that an unpickler would fill
            the memory, or nests so deep, so often or in numbers so long that hashing its keys would crash or hang the interpreter.
    """
    names: dict[str, None] = {}
    texts: deque[str] = deque(maxlen=2)
    memo: dict[int, str] = {}
    nesting = _Nesting()
    previous = ""
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
        raise CheckpointError("is incomplete (it ends in the middle); download or copy it again") from None
    return list(names)


@final
class _Nesting:
    """How deep each value on the unpickler's stack and in its memo would be, and of how many parts a tuple; tuples alone can be keys."""

    def __init__(self) -> None:
        self.memo: dict[int, tuple[int, int]] = {}
        self._stack: list[tuple[int, int]] = []
        self._again = 0

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
            depth = max(popped[-1][0], 1 + max((value[0] for value in popped[:-1]), default=-1))
        else:
            depth = 1 + max((value[0] for value in popped), default=-1)
        parts = 1 + sum(value[1] for value in popped) if opcode.name in _TUPLES else 1
        if depth > _DEPTH_LIMIT or parts > _TUPLE_LIMIT:
            raise CheckpointError(f"nests deeper than {_DEPTH_LIMIT} levels or too often; it is damaged or made to crash its reader")
        stack.extend((depth, parts) for _ in after)

    def _more(self, value: tuple[int, int]) -> None:
        """The value once more; as a key it would be hashed once more, part by part."""
        self._again += value[1]
        if self._again > _AGAIN_LIMIT:
            raise CheckpointError("uses its tuples too often; it is damaged or made to hang its reader")
        self._stack.append(value)
