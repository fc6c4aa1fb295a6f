"""What each pickle opcode does to the inert machine.

The extension-registry opcodes are missing on purpose: no weights file has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rnp_cli.checkpoints.pickle_calls import dict_key
from rnp_cli.checkpoints.records import Global, ItemSet, Stub, TensorRecord
from rnp_cli.checkpoints.refusals import malformed

if TYPE_CHECKING:
    from rnp_cli.checkpoints.pickle_machine import PickleMachine

_HIGHEST_PROTOCOL = 5
Handler = Callable[["PickleMachine", Any], None]


def _proto(machine: PickleMachine, argument: int) -> None:
    if argument > _HIGHEST_PROTOCOL:
        raise malformed(f"It uses the unknown pickle protocol {argument}.")


def _frame(machine: PickleMachine, argument: int) -> None:
    """Frames only help buffering."""


def _push(machine: PickleMachine, argument: object) -> None:
    machine.push(argument)


def _constant(value: object) -> Handler:
    return lambda machine, _: machine.push(value)


def _fresh(make: Callable[[], object]) -> Handler:
    return lambda machine, _: machine.push(make())


def _from_run(make: Callable[[list[object]], object]) -> Handler:
    return lambda machine, _: machine.push(make(machine.close_mark()))


def _tuple_of(count: int) -> Handler:
    def handler(machine: PickleMachine, _: object) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(items)))

    return handler


def _dict_of(run: list[object]) -> dict[object, object]:
    table: dict[object, object] = {}
    _set_items(table, run)
    return table


def _set_items(target: object, run: list[object]) -> None:
    table = target.entries if isinstance(target, Stub) else target
    if not isinstance(table, dict) or len(run) % 2:
        raise malformed("A pickle sets items where there is no table.")
    for key, value in zip(run[::2], run[1::2], strict=True):
        table[dict_key(key)] = value


def _append(target: object, run: list[object]) -> None:
    items = target.elements if isinstance(target, Stub) else target
    if not isinstance(items, list):
        raise malformed("A pickle appends to something that is no list.")
    items.extend(run)


def _add(target: object, run: list[object]) -> None:
    items = target.elements if isinstance(target, Stub) else target
    if isinstance(items, ItemSet):
        items = items.items
    if not isinstance(items, list):
        raise malformed("A pickle adds to something that is no set.")
    items.extend(run)


def _one(act: Callable[[object, list[object]], None], count: int) -> Handler:
    def handler(machine: PickleMachine, _: object) -> None:
        run = [machine.pop() for _ in range(count)][::-1]
        act(machine.top(), run)

    return handler


def _many(act: Callable[[object, list[object]], None]) -> Handler:
    def handler(machine: PickleMachine, _: object) -> None:
        run = machine.close_mark()
        act(machine.top(), run)

    return handler


def _pop(machine: PickleMachine, _: object) -> None:
    if machine.stack:
        machine.pop()
    else:
        machine.close_mark()


def _pop_mark(machine: PickleMachine, _: object) -> None:
    machine.close_mark()


def _global(machine: PickleMachine, argument: tuple[str, str]) -> None:
    machine.push(machine.name(*argument))


def _stack_global(machine: PickleMachine, _: object) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push(machine.name(module, name))


def _reduce(machine: PickleMachine, _: object) -> None:
    args, function = machine.pop(), machine.pop()
    machine.push(machine.call(function, args))


def _newobj_ex(machine: PickleMachine, _: object) -> None:
    keywords, args, cls = machine.pop(), machine.pop(), machine.pop()
    if not isinstance(args, tuple):
        raise malformed("A pickle calls something with arguments that are no tuple.")
    machine.push(machine.call(cls, (*args, keywords) if keywords else args))


def _inst(machine: PickleMachine, argument: tuple[str, str]) -> None:
    cls = machine.name(*argument)
    machine.push(machine.call(cls, tuple(machine.close_mark())))


def _obj(machine: PickleMachine, _: object) -> None:
    run = machine.close_mark()
    if not run:
        raise malformed("A pickle makes an object of no class.")
    machine.push(machine.call(run[0], tuple(run[1:])))


def _build(machine: PickleMachine, _: object) -> None:
    """Keep an object's state; state beside a dict or tensor is of no use here."""
    state, target = machine.pop(), machine.top()
    if isinstance(target, Global):
        machine.refuse_class_state()
    if isinstance(target, Stub):
        target.state = state
    elif not isinstance(target, dict | TensorRecord | ItemSet):
        raise malformed("A pickle gives state to a plain value.")


_LITERALS = (
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
    "UNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
)

HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(_LITERALS, _push),
    "PROTO": _proto,
    "FRAME": _frame,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_LIST": _fresh(list),
    "EMPTY_DICT": _fresh(dict),
    "EMPTY_SET": _fresh(lambda: ItemSet([])),
    "TUPLE": _from_run(tuple),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "LIST": _from_run(list),
    "DICT": _from_run(_dict_of),
    "FROZENSET": _from_run(ItemSet),
    "APPEND": _one(_append, 1),
    "APPENDS": _many(_append),
    "SETITEM": _one(_set_items, 2),
    "SETITEMS": _many(_set_items),
    "ADDITEMS": _many(_add),
    "MARK": lambda machine, _: machine.open_mark(),
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": lambda machine, _: machine.push(machine.top()),
    "PUT": lambda machine, index: machine.remember(index),
    "BINPUT": lambda machine, index: machine.remember(index),
    "LONG_BINPUT": lambda machine, index: machine.remember(index),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "GET": lambda machine, index: machine.push(machine.recall(index)),
    "BINGET": lambda machine, index: machine.push(machine.recall(index)),
    "LONG_BINGET": lambda machine, index: machine.push(machine.recall(index)),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _newobj_ex,
    "INST": _inst,
    "OBJ": _obj,
    "BUILD": _build,
    "BINPERSID": lambda machine, _: machine.push(machine.refer(machine.pop())),
}
