"""The audit of what is installed fails for what it finds, not for what it cannot reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "audit"

#: In place of pip-audit: says something, and may leave a report.
STAND_IN = """
import sys
report = {report!r}
print({said!r}, file=sys.stderr)
if report is not None:
    open(sys.argv[sys.argv.index("--output") + 1], "w").write(report)
sys.exit(1)
"""

SOUND = '{"name": "django", "version": "5.2", "vulns": []}'
SICK = (
    '{"name": "left-pad", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}'
)
UNKNOWN = '{"name": "ours", "skip_reason": "not there"}'


def of(*packages: str) -> str:
    return f'{{"dependencies": [{", ".join(packages)}]}}'


@pytest.mark.parametrize(
    ("report", "said", "status", "told"),
    [
        (of(SOUND, SOUND), "", 0, "2 packages audited, 0 unknown, 0 vulnerabilities."),
        (of(SOUND, SICK), "", 1, "left-pad 1.0: PYSEC-1, fixed in 1.1"),
        (of(SOUND, UNKNOWN), "", 0, "1 packages audited, 1 unknown"),
        (of(UNKNOWN), "", 0, "Nothing was audited: the data is not there for any of 1 packages."),
        (
            None,
            "Error: no such host (host.example)",
            0,
            "Nothing was audited: Error: no such host\n",
        ),
        (None, "", 0, "Nothing was audited: no answer"),
        ("{", "cut", 0, "Nothing was audited: cut"),
    ],
)
def test_audit(tmp_path, report, said, status, told):
    """Only a vulnerability is a failure."""
    package = tmp_path / "pip_audit"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN.format(report=report, said=said))

    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (status, "")
    assert told in done.stdout
