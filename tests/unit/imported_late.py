"""A module that nothing but a dotted path in the settings leads to."""

from copilotkit_django.runners import InMemoryRunner


class LateRunner(InMemoryRunner):
    pass
