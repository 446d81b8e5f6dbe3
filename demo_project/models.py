from typing import Any

from django.db import models
from django.db.models.functions import Now


class Todo(models.Model):
    """One entry of a visitor's to-do list."""

    scope = models.CharField(
        max_length=255, db_index=True, help_text="Whose list this is, as the runtime names them."
    )
    title = models.CharField(max_length=200)
    done = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("pk",)
        verbose_name = "to-do"

    def __str__(self) -> str:
        return self.title

    def to_state(self) -> dict[str, Any]:
        """This entry as the page sees it in the shared state."""
        return {"id": self.pk, "title": self.title, "done": self.done}
