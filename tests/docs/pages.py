"""The pages of the documentation, and the code on them."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"

_HEADING = re.compile(r"#+ (.+)")
_FENCE = re.compile(r"( *)```(\w*)")
_FILE = re.compile(r"# ([\w/]+)\.py$")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of Python on a page: the section it stands in, and the module it belongs to."""

    page: Path
    section: str
    #: As imported: the first line of each block names its file.
    module: str
    code: str
    line: int

    def run(self, namespace: dict[str, Any]) -> None:
        """Execute it as part of its module. Tracebacks name the line on the page."""
        padded = "\n" * self.line + self.code
        exec(compile(padded, str(self.page), "exec", dont_inherit=True), namespace)


def blocks(page: str) -> list[Block]:
    """Every block of Python on a page. Fails on one that does not say which file it is for."""
    return list(_blocks(DOCS / page))


def _blocks(path: Path) -> Iterator[Block]:
    section, language, indent, code, start = "", None, "", [], 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if language is not None and fence:
            if language == "python":
                text = textwrap.dedent("\n".join(code))
                named = _FILE.match(text.partition("\n")[0])
                assert named, f"{path}:{start}: the first line of the block names no file"
                module = named[1].replace("/", ".")
                yield Block(path, section, module, text, start)
            language = None
        elif language is not None:
            code.append(line)
        elif fence:
            indent, language, code, start = fence[1], fence[2], [], number
        elif heading := _HEADING.match(line):
            section = heading[1]
    assert language is None, f"{path}: a block is not closed ({indent!r})"


class Project:
    """The modules a reader has after following one section of a page.

    Those given as ``given`` they had before. ``settings`` is what they wrote into their settings.
    """

    def __init__(self, listing: Iterable[Block], given: Mapping[str, Mapping[str, Any]]) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._module("settings")
        try:
            for name, content in given.items():
                self._module(name).__dict__.update(content)
            for block in listing:
                block.run(self._module(block.module).__dict__)
        except BaseException:
            self.forget()
            raise
        written = self._modules.pop("settings").__dict__
        self.settings = {name: value for name, value in written.items() if name.isupper()}

    def __getitem__(self, name: str) -> ModuleType:
        return self._modules[name]

    def _module(self, name: str) -> ModuleType:
        if name not in self._modules:
            module = self._modules[name] = ModuleType(name)
            if name == "settings":
                return module
            sys.modules[name] = module
            package, _, short = name.rpartition(".")
            if package:
                parent = self._module(package)
                parent.__dict__.setdefault("__path__", [])
                setattr(parent, short, module)
        return self._modules[name]

    def forget(self) -> None:
        """Take its modules out of this process again."""
        for name in self._modules:
            sys.modules.pop(name, None)


class Page:
    """A page whose code is tested, section by section: decorate tests with ``@page("Section")``.

    What the reader is supposed to have already is ``given``, by module.
    """

    def __init__(self, path: str, **given: Mapping[str, Any]) -> None:
        self.path = path
        self._given = {name.replace("__", "."): content for name, content in given.items()}
        self.tested: set[str] = set()

    def __call__(self, section: str) -> Any:
        self.tested.add(section)
        return pytest.mark.parametrize("project", [Listing(self, section)], indirect=True, ids=[""])

    def elsewhere(self, section: str) -> Any:
        """Decorate tests of a section that make a project of their own."""
        self.tested.add(section)
        return lambda test: test

    @property
    def sections(self) -> set[str]:
        """The headings that have code under them."""
        return {block.section for block in blocks(self.path)}

    def project(self, section: str) -> Project:
        listing = [block for block in blocks(self.path) if block.section == section]
        assert listing, f"{self.path} has no code under {section!r}"
        return Project(listing, self._given)


@dataclass(frozen=True, slots=True)
class Listing:
    """The code of one section."""

    page: Page
    section: str
