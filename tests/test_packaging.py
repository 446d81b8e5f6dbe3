"""What is shipped, seen from outside: the wheel, the sdist, and a Python without settings."""

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import copilotkit_django

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "copilotkit_django"


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository's root, without the settings of this test run."""
    inherited = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    result = python("-m", "hatchling", "build", "-d", str(folder))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    [path] = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def sdist(built):
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        yield archive


def package_files() -> set[str]:
    """Every file of the package, as it is named in the repository."""
    return {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


class TestWheel:
    def test_contents__whole_package(self, wheel):
        """Every file of the package is in the wheel, those that are not Python too."""
        assert package_files() - set(wheel.namelist()) == set()
        assert "copilotkit_django/py.typed" in wheel.namelist()

    def test_contents__nothing_else(self, wheel):
        """Neither the tests nor the demo land in somebody's site-packages."""
        top = {name.split("/")[0] for name in wheel.namelist()}

        assert top == {
            "copilotkit_django",
            f"copilotkit_django-{copilotkit_django.__version__}.dist-info",
        }

    def test_metadata(self, wheel):
        """The index shows the README, the licence and the versions that pip decides by."""
        [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]

        metadata = email.message_from_bytes(wheel.read(name))

        assert metadata["Name"] == "copilotkit-django"
        assert metadata["Version"] == copilotkit_django.__version__
        assert metadata["License-Expression"] == "MIT"
        assert metadata["Requires-Python"] == ">=3.11"
        assert metadata.get_payload(decode=True).decode() == (ROOT / "README.md").read_text()
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


class TestSdist:
    def test_contents(self, sdist):
        """A wheel can be built from the sdist alone, licence and README included."""
        names = {name.split("/", 1)[1] for name in sdist.getnames()}

        assert package_files() - names == set()
        assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names
        assert not [name for name in names if name.startswith(("tests/", "demo_project/"))]


class TestImports:
    def test_package__without_settings(self):
        """The package imports before Django knows its settings, as in a settings module."""
        result = python("-W", "error", "-c", "import copilotkit_django")

        assert result.returncode == 0, result.stderr

    def test_events__without_django(self):
        """The event functions work where Django is not even installed."""
        block = "import sys; sys.modules['django'] = None; "
        modules = [f"copilotkit_django.events.{path.stem}" for path in PACKAGE.glob("events/*.py")]
        names = [name.removesuffix(".__init__") for name in modules]

        result = python("-W", "error", "-c", f"{block}import {', '.join(names)}")

        assert result.returncode == 0, result.stderr

    def test_every_module__with_settings(self):
        """No module fails or warns on import once Django is set up, whatever came before it."""
        walk = (
            "import django, importlib, pkgutil, copilotkit_django as package; django.setup();"
            "found = pkgutil.walk_packages(package.__path__, 'copilotkit_django.');"
            "[importlib.import_module(module.name) for module in found]"
        )

        result = python("-W", "error", "-c", walk, DJANGO_SETTINGS_MODULE="tests.settings")

        assert result.returncode == 0, result.stderr
