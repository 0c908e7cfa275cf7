"""torchvision's classifiers, imported without torch's compiler."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# torchvision.ops asks this module one question, and only when a detector runs. To import it loads
# torch's compiler and sympy, which takes as long as torch itself.
_COMPILER = "torch._dynamo.utils"


def torchvision_models() -> ModuleType:
    """Import :mod:`torchvision.models` without torch's compiler, which classifiers do not need."""
    if _COMPILER in sys.modules or "torchvision" in sys.modules:
        return import_module("torchvision.models")
    sys.modules[_COMPILER] = _Later(_COMPILER)
    try:
        return import_module("torchvision.models")
    finally:
        del sys.modules[_COMPILER]


class _Later(ModuleType):
    """Takes the place of a module whose functions are imported when they are called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(import_module(_COMPILER), name)(*args, **kwargs)

        return call
