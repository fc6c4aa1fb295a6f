"""An inert pickle machine: it follows the opcodes and executes nothing.

Names stay names, calls stay records, storages stay references. Nothing that a file
names is imported, looked up or called, so there is nothing to bypass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.named_code import NamedCode
from rnp_cli.checkpoints.nesting import refuse_deep_nesting
from rnp_cli.checkpoints.pickle_calls import construct, storage_of, storage_view
from rnp_cli.checkpoints.pickle_decoder import PickleBytes, opcodes
from rnp_cli.checkpoints.pickle_opcodes import HANDLERS
from rnp_cli.checkpoints.records import Global, StorageRecord, TensorRecord
from rnp_cli.checkpoints.refusals import hostile, malformed, over_limit, quote


@dataclass(frozen=True)
class Unpickled:
    """A pickle's object tree, and the storages it refers to."""

    root: object
    storages: dict[str, StorageRecord]


def unpickle_inertly(
    file: PickleBytes, limits: LoadLimits, named: NamedCode
) -> Unpickled:
    """Interpret one pickle up to its STOP, noting every name; raises InputRefused."""
    machine = PickleMachine(limits, named)
    root = machine.run(file)
    refuse_deep_nesting(root, limits)
    return Unpickled(root, machine.storages)


class PickleMachine:
    """Stack, marks and memo of one pickle."""

    def __init__(self, limits: LoadLimits, named: NamedCode) -> None:
        self.limits = limits
        self.named = named
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.storages: dict[str, StorageRecord] = {}
        self.tensor_count = 0

    def run(self, file: PickleBytes) -> object:
        """Follow the opcodes; return what is on the stack at STOP."""
        limits = self.limits
        for count, (name, argument) in enumerate(opcodes(file, limits)):
            if count >= limits.max_opcodes:
                raise over_limit(f"A pickle has more than {count:,} opcodes.")
            if name == "STOP":
                return self.pop()
            handler = HANDLERS.get(name)
            if handler is None:
                raise malformed(
                    f"A pickle uses the opcode {name}, which no weights file needs."
                )
            handler(self, argument)
            if len(self.stack) > limits.max_stack:
                raise over_limit("A pickle stacks up too many objects.")
        raise malformed("A pickle has no end.")

    def push(self, value: object) -> None:
        """Put an object on top."""
        self.stack.append(value)

    def pop(self) -> object:
        """Take the topmost object."""
        if not self.stack:
            raise malformed("A pickle takes an object from an empty stack.")
        return self.stack.pop()

    def top(self) -> object:
        """Look at the topmost object."""
        if not self.stack:
            raise malformed("A pickle looks at an empty stack.")
        return self.stack[-1]

    def open_mark(self) -> None:
        """Begin a run of objects."""
        if len(self.marks) >= self.limits.max_nesting:
            raise over_limit("A pickle nests too deeply.")
        self.marks.append(self.stack)
        self.stack = []

    def close_mark(self) -> list[object]:
        """End the innermost run and return its objects."""
        if not self.marks:
            raise malformed("A pickle ends a run of objects that it never began.")
        run, self.stack = self.stack, self.marks.pop()
        return run

    def remember(self, index: int) -> None:
        """Keep the topmost object under a number; large numbers cost nothing."""
        self.memo[index] = self.top()
        if len(self.memo) > self.limits.max_memo:
            raise over_limit("A pickle remembers too many objects.")

    def recall(self, index: int) -> object:
        """Return what was kept under a number."""
        if index not in self.memo:
            raise malformed("A pickle recalls an object that it never kept.")
        return self.memo[index]

    def name(self, module: object, name: object) -> Global:
        """Note a class or function by its name; what it says is judged later."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise malformed("A pickle names a class by something that is no text.")
        return self.named.note(Global(module, name))

    def call(self, function: object, args: object) -> object:
        """Record a call, or interpret it where it rebuilds a tensor."""
        made = construct(function, args, self.limits)
        if isinstance(made, TensorRecord):
            self.tensor_count += 1
            if self.tensor_count > self.limits.max_tensors:
                raise over_limit("It holds too many tensors.")
        return made

    def refer(self, persistent_id: object) -> object:
        """Record a reference to a storage."""
        made = storage_of(persistent_id)
        if not isinstance(made, StorageRecord):
            return made
        known = self.storages.setdefault(made.key, made)
        if known.nbytes != made.nbytes:
            raise malformed(f"The storage {quote(made.key)} has two sizes.")
        if isinstance(persistent_id, tuple) and persistent_id[5:] not in ((), (None,)):
            return storage_view(made, persistent_id[5])
        return made

    def refuse_class_state(self) -> NoReturn:
        """Refuse a pickle that would change a class or function."""
        raise hostile("It changes a class instead of an object's state.")
