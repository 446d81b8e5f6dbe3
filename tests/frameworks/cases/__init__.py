"""The frameworks: every module here has a ``CASE``."""

from __future__ import annotations

import importlib
import pkgutil

from tests.frameworks.case import Case

CASES: list[Case] = [
    importlib.import_module(f"{__name__}.{module.name}").CASE
    for module in pkgutil.iter_modules(__path__)
]
