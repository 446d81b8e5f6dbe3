"""The pages speak the language of whoever looks at them."""

import gettext
import re
from pathlib import Path

import pytest
from django.urls import reverse

import copilotkit_django

from . import rows
from .conftest import page

CATALOGUE = Path(copilotkit_django.__file__).parent / "locale/de/LC_MESSAGES/django.po"


@pytest.mark.django_db
def test_pages(admin_client, settings):
    """Lists, conversations and timelines in German."""
    settings.LANGUAGE_CODE = "de"
    thread = rows.a_thread()
    run = rows.a_run(thread, rows.everything())

    listed = page(admin_client, reverse("admin:copilotkit_thread_changelist"))
    story = page(admin_client, reverse("admin:copilotkit_thread_change", args=[thread.pk]))
    timeline = page(admin_client, reverse("admin:copilotkit_run_change", args=[run.pk]))

    assert "Unterhaltungen" in listed
    assert "Überlegung" in story
    assert "2,5 s" in story
    assert "Zeitleiste" in timeline


def test_catalogue__compiled():
    """What is shipped compiled is what stands in the source, and nothing is left untranslated."""
    source = CATALOGUE.read_text()
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)._catalog

    texts = [
        "".join(re.findall(r'"(.*)"', text))
        for text in re.findall(r'^msgstr(?:\[\d\])? ((?:".*"\n)+)', source, re.MULTILINE)
    ]

    assert "" not in texts[1:]
    assert sorted(texts[1:]) == sorted(text for key, text in compiled.items() if key)
