from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models


class Project(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    name = models.CharField(max_length=50)
    budget = models.DecimalField(max_digits=8, decimal_places=2, default=0)


class Task(models.Model):
    class Priority(models.IntegerChoices):
        LOW = 1, "Low"
        HIGH = 2, "High"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    project = models.ForeignKey(Project, models.SET_NULL, null=True, blank=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True)
    title = models.CharField(max_length=80, help_text="What is to be done")
    notes = models.TextField(blank=True)
    done = models.BooleanField(default=False)
    due = models.DateField(null=True, blank=True)
    remind_at = models.DateTimeField(null=True, blank=True)
    effort = models.DecimalField("hours", max_digits=5, decimal_places=2, null=True, blank=True)
    priority = models.IntegerField(choices=Priority, default=Priority.LOW)
    percent = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(100)])
    tags = models.JSONField(default=list, blank=True)
    secret = models.CharField(max_length=50, default="hunter2")
    watchers = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="watched_tasks")

    class Meta:
        ordering = ["title"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "title"], name="planner_task_title"),
            models.CheckConstraint(
                condition=models.Q(done=False) | models.Q(percent=100),
                name="planner_task_done",
                violation_error_message="What is done is done to 100 percent.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.secret})"

    def clean(self) -> None:
        if self.title == self.notes != "":
            raise ValidationError({"notes": "Say more than the title."})
        if self.secret == "forbidden":
            raise ValidationError({"secret": "Not hunter2, please."})


class Comment(models.Model):
    task = models.ForeignKey(Task, models.CASCADE)
    text = models.CharField(max_length=200)


class Invoice(models.Model):
    task = models.ForeignKey(Task, models.PROTECT)


class Book(models.Model):
    isbn = models.CharField("ISBN", max_length=13, primary_key=True)
    title = models.CharField(max_length=80)
    cover = models.FileField(blank=True)
    scan = models.BinaryField(default=b"")
