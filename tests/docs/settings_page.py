"""Writes docs/reference/settings.md out of `copilotkit_django.conf.Options`.

python -m tests.docs.settings_page
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from typing import Any

from copilotkit_django.conf import Options

from .pages import DOCS

PAGE = DOCS / "reference" / "settings.md"

INTRODUCTION = """\
# Settings

<!-- Made by `make docs` out of copilotkit_django/conf.py. Change the texts there. -->

All settings are keys of one dict, `COPILOTKIT`. A key that does not exist and a value that cannot
be used are errors of `manage.py check`, and keep the ASGI application from starting. Each setting
is also a keyword argument of `copilotkit_django.runtime.Runtime`, in lower case.
"""

MIB = 1024 * 1024


def page() -> str:
    """The text of the whole page."""
    return "\n".join([INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    for field in dataclasses.fields(Options):
        yield f"## {field.name.upper()}\n"
        yield f"Default: `{shown(_default(field))}`\n"
        yield f"{_wrapped(field.metadata['doc'])}\n"
        if field.metadata["importable"] and "dotted path" not in field.metadata["doc"]:
            yield "The value may be a dotted path.\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def shown(value: Any) -> str:
    """A default as somebody would write it in a settings module."""
    if isinstance(value, int) and not isinstance(value, bool) and value and value % MIB == 0:
        return f"{value // MIB} * 1024 * 1024"
    return repr(value).replace("'", '"')


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
