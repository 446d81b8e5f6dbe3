"""The demo with a model in its studio: settings, and the URLs they name."""

import os

from demo_project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.browser.drawing_urls"

#: An MCP server that the test has started.
CLOCK_URL = os.environ["TEST_CLOCK_URL"]
