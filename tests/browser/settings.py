"""The demo's own, but a conversation whose server died is free again after two seconds."""

from demo_project.settings import *  # noqa: F403
from demo_project.settings import COPILOTKIT

COPILOTKIT = COPILOTKIT | {"LEASE_SECONDS": 2}
