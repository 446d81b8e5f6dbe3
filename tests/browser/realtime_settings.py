"""The demo's own, in several processes with a channel layer between them.

Tokens for live lists are good for a second, unless REALTIME_SECONDS says otherwise.
"""

import os

from demo_project.settings import *  # noqa: F403
from demo_project.settings import COPILOTKIT
from tests.databases import channel_layers

CHANNEL_LAYERS = channel_layers(os.environ["REALTIME_REDIS"])

COPILOTKIT = COPILOTKIT | {"REALTIME_TOKEN_SECONDS": float(os.environ["REALTIME_SECONDS"])}
