"""The table of what frameworks can do, from the outcomes of the scenarios."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.frameworks.case import SCENARIOS, Case

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "frameworks.md"

HEAD = """\
# Agent frameworks

What each framework can do when it is hosted in this process. The test suite writes this page: it
plays each scenario against the real framework and the real client of a model provider, through an
endpoint, and notes what came of it.

"""


class Table:
    """Collects outcomes; rows of frameworks that were not tried in full stay as they are."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}
        self._found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def note(self, case: Case, scenario: str, report: pytest.TestReport) -> None:
        self._cases[case.title] = case
        outcome = "no" if hasattr(report, "wasxfail") and report.skipped else report.outcome
        self._found[case.title][scenario].add(outcome)

    def write(self) -> bool:
        """Bring the page up to date; true if it had to be changed."""
        before = PAGE.read_text() if PAGE.exists() else ""
        rows, reasons = _read(before)
        for title, found in self._found.items():
            outcomes = {scenario: found.get(scenario, set()) for scenario in SCENARIOS}
            if any(each not in ({"passed"}, {"no"}) for each in outcomes.values()):
                continue
            case = self._cases[title]
            cells = ["no" if each == {"no"} else "yes" for each in outcomes.values()]
            module = f"`{case.adapter}`"
            rows[title] = f"| {title} {case.version()} | {module} | {' | '.join(cells)} |"
            reasons[title] = [
                f"- {SCENARIOS[scenario]}: {text}"
                for scenario, text in {**case.notes, **case.cannot}.items()
            ]
        page = _page(rows, reasons)
        if page == before or not rows:
            return False
        PAGE.write_text(page)
        return True


def _read(page: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    rows = {
        re.sub(r" \S+$", "", line.split(" | ")[0].removeprefix("| ")): line
        for line in page.splitlines()
        if line.startswith("| ") and "`" in line and not line.startswith("| Framework |")
    }
    reasons: dict[str, list[str]] = {}
    for section in page.split("\n## ")[1:]:
        title, _, rest = section.partition("\n")
        reasons[title] = [line for line in rest.splitlines() if line.startswith("- ")]
    return rows, reasons


def _page(rows: dict[str, str], reasons: dict[str, list[str]]) -> str:
    titles = sorted(rows, key=str.lower)
    columns = ["Framework", "`copilotkit_django.contrib`", *SCENARIOS.values()]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *(rows[t] for t in titles)]
    sections = [
        f"\n## {title}\n\n" + "\n".join(reasons[title]) for title in titles if reasons.get(title)
    ]
    return HEAD + "\n".join([*lines, *sections]) + "\n"
