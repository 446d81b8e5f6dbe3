"""The page of system checks has all of them, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import copilotkit_django

from .pages import DOCS

PAGE = (DOCS / "reference" / "checks.md").read_text(encoding="utf-8")
CODE = Path(copilotkit_django.__file__).parent

#: Ids as the code names them, whole or as the part that stands behind the dot.
NAMED = re.compile(r"\"(?:copilotkit\.)?([EWI]\d{3})\"")


def test_page__complete():
    """Every id in the code has a line on the page, and every line an id in the code."""
    sources = [*(CODE / "checks").glob("*.py"), CODE / "conf.py"]
    used = {found for path in sources for found in NAMED.findall(path.read_text())}
    told = re.findall(r"^\| `copilotkit\.(\w+)` \|", PAGE, re.MULTILINE)

    assert sorted(used) == sorted(told)


def test_page__in_order():
    """Errors come before warnings, and those before the rest, each by number."""
    for section in PAGE.split("\n## ")[1:]:
        told = re.findall(r"^\| `copilotkit\.(\w)(\d+)` \|", section, re.MULTILINE)

        assert told == sorted(told, key=lambda id: ("EWI".index(id[0]), id[1]))


def test_page__deployment():
    """What only --deploy says stands in the section of its own."""
    always, deployment = PAGE.split("\n## ")[1:]
    source = (CODE / "checks" / "deployment.py").read_text()

    assert set(re.findall(r"`copilotkit\.(\w+)`", deployment)) == set(NAMED.findall(source))
    assert not set(re.findall(r"`copilotkit\.(\w+)`", always)) & set(NAMED.findall(source))
