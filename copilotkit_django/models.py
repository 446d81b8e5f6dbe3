"""What a persistent runner keeps: threads, their runs, the raw events of recent runs.

Only the database runner writes `Run`, `Segment` and `SeenMessage` rows, in raw SQL; everybody else
reads them, or asks the runner.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from copilotkit_django.querysets import RunQuerySet, ThreadQuerySet


class Thread(models.Model):
    """A conversation of one scope.

    The id is the client's choice, so two scopes may use the same one. ``key`` identifies the
    thread among all of them, byte for byte on every database.
    """

    scope = models.CharField(_("scope"), max_length=255)
    #: Digest of ``scope``: some databases compare text without case, owners must not be mixed up.
    scope_key = models.CharField(max_length=32, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="copilotkit_threads",
        verbose_name=_("user"),
        help_text=_("Set where the scope is one user; the thread goes when the user goes."),
    )
    thread_id = models.CharField(_("thread id"), max_length=255)
    key = models.CharField(max_length=40, editable=False)
    #: What agents remember the thread by. Unlike ``key`` it stays when the thread changes hands,
    #: and no later thread of the same name has it.
    memory_key = models.CharField(max_length=40, blank=True, editable=False)
    agent_id = models.CharField(_("agent"), max_length=255, blank=True)
    name = models.CharField(_("name"), max_length=255, blank=True)
    archived = models.BooleanField(_("archived"), default=False)
    created_at = models.DateTimeField(_("created"))
    updated_at = models.DateTimeField(_("last changed"))
    last_run_at = models.DateTimeField(_("last run"), null=True, blank=True)

    # The lease. Whoever holds the thread renews it; a lease that ran out may be taken over.
    holder = models.CharField(max_length=32, blank=True, editable=False)
    #: Milliseconds since the epoch, by the clock of the database.
    lease_expires = models.BigIntegerField(default=0, editable=False)
    #: Rises with every run; the position of the last one. Writes with an older one are refused.
    fence = models.BigIntegerField(default=0, editable=False)
    #: The position of the run that shall stop.
    stop_position = models.BigIntegerField(default=0, editable=False)

    objects = ThreadQuerySet.as_manager()

    class Meta:
        verbose_name = _("thread")
        verbose_name_plural = _("threads")
        ordering = ("-last_run_at", "-thread_id")
        permissions = [
            ("view_content", _("Can read what is said on threads, and their names")),
            ("stop_thread", _("Can stop the live run of a thread")),
            ("archive_thread", _("Can archive and restore threads")),
            ("export_thread", _("Can export threads")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["key"], name="copilotkit_thread_key"),
        ]
        indexes = [
            models.Index(
                fields=["scope_key", "-last_run_at", "-thread_id"], name="copilotkit_thread_list"
            ),
            models.Index(fields=["holder", "lease_expires"], name="copilotkit_thread_lease"),
            models.Index(fields=["updated_at"], name="copilotkit_thread_stale"),
            models.Index(fields=["scope_key", "updated_at"], name="copilotkit_thread_changed"),
        ]

    def __str__(self) -> str:
        # Not the name: it is content, and this text ends up in logs and in the admin's history.
        return self.thread_id


class Run(models.Model):
    """One turn of an agent on a thread."""

    class Status(models.TextChoices):
        RUNNING = "running", _("running")
        FINISHED = "finished", _("finished")
        STOPPED = "stopped", _("stopped")
        FAILED = "failed", _("failed")
        #: The process that owned it is gone.
        LOST = "lost", _("lost")
        #: A later run took the thread; it is no part of the conversation.
        SUPERSEDED = "superseded", _("superseded")

    thread = models.ForeignKey(
        Thread, on_delete=models.CASCADE, related_name="runs", verbose_name=_("thread")
    )
    position = models.BigIntegerField(_("position"))
    #: A label of the client's. Not unique: the answer to an interrupt carries the same one again.
    run_id = models.CharField(_("run id"), max_length=255)
    #: Digest of the request body: tells a request sent twice from a second request.
    digest = models.CharField(max_length=32, editable=False)
    #: Names the claim that made the row, so that its answer may be lost and asked for again.
    token = models.CharField(max_length=32, editable=False)
    status = models.CharField(
        _("status"), max_length=16, choices=Status.choices, default=Status.RUNNING
    )
    agent_id = models.CharField(_("agent"), max_length=255)
    #: The client declared protocol 1.0; for others the events are brought down a level.
    modern = models.BooleanField(default=False, editable=False)
    error = models.TextField(_("error"), blank=True)
    usage = models.JSONField(_("usage"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    #: How many raw events the run has sent, once it has ended.
    event_count = models.BigIntegerField(_("events"), null=True, blank=True)
    #: How many of them had been stored when its process was lost; the rest is its ending.
    kept_count = models.BigIntegerField(null=True, editable=False)
    #: The run input as history keeps it: with the messages that were new to the thread.
    input = models.BinaryField(editable=False)
    #: The whole run in few events, one JSON object a line, once it has ended.
    compacted = models.BinaryField(null=True, editable=False)

    objects = RunQuerySet.as_manager()

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ("thread", "position")
        constraints = [
            models.UniqueConstraint(fields=["thread", "position"], name="copilotkit_run_position"),
        ]
        indexes = [
            # What has ended lately is looked for by every process, every few seconds.
            models.Index(fields=["ended_at"], name="copilotkit_run_ended"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} ({self.position})"


class Segment(models.Model):
    """Some raw events of a run, as they were sent: numbers ``first`` to ``last``.

    Kept while the run is live and for RESUME_SECONDS after it.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="segments")
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    data = models.BinaryField()

    class Meta:
        verbose_name = _("segment")
        verbose_name_plural = _("segments")
        constraints = [
            models.UniqueConstraint(fields=["run", "first"], name="copilotkit_segment_first"),
        ]

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


class TokenCount(models.Model):
    """The tokens an owner has used in one window of TOKEN_BUDGETS.

    Counted apart from the runs, so that deleting a conversation buys nothing back.
    """

    #: Digest of who has used them.
    owner = models.CharField(max_length=32)
    #: How long the window is and when it ends, in seconds, the latter since the epoch.
    period = models.BigIntegerField()
    ends = models.BigIntegerField()
    tokens = models.BigIntegerField()

    class Meta:
        verbose_name = _("token count")
        verbose_name_plural = _("token counts")
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "period", "ends"], name="copilotkit_token_window"
            ),
        ]
        indexes = [models.Index(fields=["ends"], name="copilotkit_token_ends")]

    def __str__(self) -> str:
        return f"{self.tokens} / {self.period} s"


class SeenMessage(models.Model):
    """The id of a message that a thread's history holds already, as a digest."""

    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="seen_messages")
    digest = models.CharField(max_length=32)

    class Meta:
        verbose_name = _("seen message")
        verbose_name_plural = _("seen messages")
        constraints = [
            models.UniqueConstraint(fields=["thread", "digest"], name="copilotkit_seen_message"),
        ]

    def __str__(self) -> str:
        return self.digest


class DeletedThread(models.Model):
    """A thread that a scope had a while ago: lists that are on screen are told to drop it."""

    #: Digest of the scope.
    scope_key = models.CharField(max_length=32)
    thread_id = models.CharField(max_length=255)
    deleted_at = models.DateTimeField()

    class Meta:
        verbose_name = _("deleted thread")
        verbose_name_plural = _("deleted threads")
        indexes = [
            models.Index(fields=["scope_key", "deleted_at"], name="copilotkit_deleted_scope"),
            models.Index(fields=["deleted_at"], name="copilotkit_deleted_stale"),
        ]

    def __str__(self) -> str:
        return self.thread_id


class Ticket(models.Model):
    """A ticket to a websocket that nobody has redeemed yet: `copilotkit_django.tickets`."""

    #: Digest of the ticket, which itself is kept nowhere.
    digest = models.CharField(max_length=64)
    #: The headers it stands for, encrypted with a key made of the ticket.
    headers = models.BinaryField()
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name = _("ticket")
        verbose_name_plural = _("tickets")
        constraints = [
            models.UniqueConstraint(fields=["digest"], name="copilotkit_ticket_digest"),
        ]
        indexes = [models.Index(fields=["expires_at"], name="copilotkit_ticket_expiry")]

    def __str__(self) -> str:
        return f"{self.digest[:8]}…"
