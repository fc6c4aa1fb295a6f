"""Models of torchvision and timm, if installed; never their pretrained weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from rnp_cli.architectures.family import Size

Build = Callable[[], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """No library has the model: what it could have been, and what was not asked."""

    names: tuple[str, ...]
    why: tuple[str, ...]


def find_model(name: str, size: Size) -> Build | Unusable:
    """Return how to build a library's model with these classes and input channels."""
    names: list[str] = []
    why: list[str] = []
    for library, search in _LIBRARIES.items():
        # The import of a broken installation fails in many ways: RuntimeError where
        # compiled operators are missing, OSError where a shared library is.
        try:
            package = importlib.import_module(library)
        except ModuleNotFoundError as error:
            if error.name == library:
                why.append(
                    f"For {library}'s models: pip install 'rnp-cli[{library}]' "
                    "(not installed)."
                )
                continue
            why.append(_failure(library, error))
            continue
        except Exception as error:
            why.append(_failure(library, error))
            continue
        build, known = search(package, name, size)
        if build is not None:
            return build
        names += known
    return Unusable(names=tuple(names), why=tuple(why))


def _failure(library: str, error: Exception) -> str:
    reason = f"{type(error).__name__}: {error}"
    return f"{library} is installed but cannot be imported ({reason[:200]})."


def _torchvision(package: Any, name: str, size: Size) -> tuple[Build | None, list[str]]:
    # Only classifiers: detectors would fetch the weights of their backbone.
    models = importlib.import_module("torchvision.models")
    known = list(models.list_models(module=models))
    if name not in known:
        return None, known
    build = partial(models.get_model, name, weights=None, num_classes=size.num_classes)
    return build, known


def _timm(package: Any, name: str, size: Size) -> tuple[Build | None, list[str]]:
    # Only registered names: "hf-hub:…" would ask the network.
    known = list(package.list_models())
    if name not in known:
        return None, known
    build = partial(
        package.create_model,
        name,
        pretrained=False,
        num_classes=size.num_classes,
        in_chans=size.in_channels,
    )
    return build, known


_LIBRARIES: dict[str, Callable[[Any, str, Size], tuple[Build | None, list[str]]]] = {
    "torchvision": _torchvision,
    "timm": _timm,
}
