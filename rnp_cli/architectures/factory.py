"""``--arch FILE.py:FACTORY``: the user's own code, trusted since the user names it."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from rnp_cli.architectures.architecture import Architecture
from rnp_cli.architectures.module import match_module
from rnp_cli.architectures.shapes import Shapes
from rnp_cli.errors import UsageError

_HINT = "Write --arch FILE.py:FACTORY, where FACTORY() returns a torch.nn.Module."


def is_factory(name: str) -> bool:
    """Return whether the name is ``FILE.py:FACTORY`` rather than a model's."""
    return name.endswith(".py") or ".py:" in name


def match_factory(name: str, shapes: Shapes) -> tuple[Architecture, ...]:
    """Import the file, call the factory and fit the checkpoint to its module.

    Raises UsageError where the file or the factory cannot be used, and InputRefused
    where the checkpoint does not fit.
    """
    path_text, colon, factory_name = name.rpartition(":")
    if not colon or not factory_name.isidentifier():
        raise UsageError(f"{name} names no factory.", hint=_HINT)
    path = Path(path_text).expanduser()
    if not path.is_file():
        raise UsageError(f"There is no file {path}.", hint=_HINT)
    factory = _find(path, factory_name)

    def build() -> nn.Module:
        with _siblings_importable(path):
            module: nn.Module = factory()
        return module

    return match_module(f"{path.name}:{factory_name}", build, shapes)


def _find(path: Path, factory_name: str) -> Callable[[], Any]:
    module = _import(path)
    factory = getattr(module, factory_name, None)
    if factory is None:
        own = [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and callable(value)
        ]
        listed = f" It defines {', '.join(own[:20])}." if own else ""
        raise UsageError(f"{path.name} has no {factory_name}.{listed}", hint=_HINT)
    if isinstance(factory, nn.Module) or not callable(factory):
        raise UsageError(
            f"{factory_name} in {path.name} is {type(factory).__name__}, "
            "not a function or class that makes a module.",
            hint=_HINT,
        )
    made: Callable[[], Any] = factory
    return made


def _import(path: Path) -> ModuleType:
    # A name of its own, so that the file shadows no installed module.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"rnp_architecture_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file.", hint=_HINT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is made
    with _siblings_importable(path):
        # Whatever the user's code raises, the user is the one who can act on it.
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise UsageError(
                f"Importing {path} failed: {type(error).__name__}: {error}",
                hint="The file must import without arguments, data or weights.",
            ) from error
    return module


@contextmanager
def _siblings_importable(path: Path) -> Iterator[None]:
    """Let the file import its neighbors, after everything that is installed."""
    folder = str(path.resolve().parent)
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
