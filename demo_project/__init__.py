"""A small product built on copilotkit_django: three agents, one page, no API key."""
