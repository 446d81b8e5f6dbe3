"""What happens in the demo when something happens to conversations."""

from typing import Any

from django.dispatch import receiver

from copilotkit_django.signals import scope_merged
from demo_project.models import Todo


@receiver(scope_merged, dispatch_uid="demo.todos")
def move_todos(former_scope: str, scope: str, **facts: Any) -> None:
    """A visitor who signs in keeps their to-dos."""
    Todo.objects.filter(scope=former_scope).update(scope=scope)
