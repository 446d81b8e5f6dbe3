"""The npm packages of the official clients."""

from __future__ import annotations

from pathlib import Path

from tests.npm import Packages

HERE = Path(__file__).resolve().parent

_packages = Packages(HERE)
installed, install = _packages.installed, _packages.install
