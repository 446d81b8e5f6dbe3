"""The unhurried demo's, but a conversation whose server died is free again after two seconds."""

from tests.browser.unhurried import *  # noqa: F403
from tests.browser.unhurried import COPILOTKIT

COPILOTKIT = COPILOTKIT | {"LEASE_SECONDS": 2}
