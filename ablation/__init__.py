"""The machinery behind the root scripts: one module per concern, imported one way (see each module's docstring).

For notebooks and scripts there are ``load_classifier``, ``load_results`` and ``run_experiment``; see
:mod:`ablation.api`, where they stand. Importing this package imports nothing else: they come when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablation.api import Classifier, load_classifier, load_results, run_experiment

__version__ = "0.1.0"
__all__ = ["Classifier", "__version__", "load_classifier", "load_results", "run_experiment"]

if not TYPE_CHECKING:  # a type checker shall see the names above, and no others

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module("ablation.api"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
