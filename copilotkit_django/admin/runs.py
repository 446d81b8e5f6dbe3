"""Runs in the admin: a list, and a page with everything a run sent."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from copilotkit_django.admin.listing import AgentFilter, ReadOnlyAdmin
from copilotkit_django.admin.timeline import timeline_of
from copilotkit_django.admin.wording import (
    duration,
    excerpt,
    moment,
    short_id,
    status_badge,
    tokens,
)
from copilotkit_django.models import Run


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("shown_id", "thread_link", "state", "agent_id", "started", "took", "used")
    list_filter = ("status", AgentFilter, "started_at")
    list_select_related = ("thread",)
    filtered_by = ("status", "agent", "started_at", "thread")
    ordering = ("-pk",)
    sortable_by = ()
    search_fields = ("run_id", "thread__thread_id")
    search_help_text = _("Search by run id or thread id.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        return super().get_queryset(request).defer("input", "compacted", "error")

    @admin.display(description=_("run id"))
    def shown_id(self, run: Run) -> SafeString:
        return short_id(run.run_id)

    @admin.display(description=_("thread"))
    def thread_link(self, run: Run) -> SafeString:
        url = reverse("admin:copilotkit_thread_change", args=[run.thread_id])
        return format_html('<a href="{}">{}</a>', url, short_id(run.thread.thread_id))

    @admin.display(description=_("status"))
    def state(self, run: Run) -> SafeString:
        return status_badge(run)

    @admin.display(description=_("started"))
    def started(self, run: Run) -> str:
        return moment(run.started_at)

    @admin.display(description=_("duration"))
    def took(self, run: Run) -> str:
        return duration(run)

    @admin.display(description=_("tokens"))
    def used(self, run: Run) -> str:
        return tokens(run)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # A conversation without one of its runs would be another one.
        return False

    def page(
        self, request: HttpRequest, run: Run, *, with_content: bool, extra: dict[str, Any]
    ) -> HttpResponse:
        """A run, and its events a page at a time."""
        beside = Run.objects.filter(thread=run.thread_id).order_by("position").only("pk")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": run,
            "run": run,
            "thread": run.thread,
            "title": _("Run"),
            "subtitle": str(run),
            "duration": duration(run),
            "tokens": tokens(run),
            "with_content": with_content,
            "error": excerpt(run.error) if with_content else "",
            "timeline": _timeline(request, run) if with_content else None,
            "previous_run": beside.filter(position__lt=run.position).reverse()[:1],
            "next_run": beside.filter(position__gt=run.position)[:1],
            "media": self.media,
            **extra,
        }
        return TemplateResponse(request, "admin/copilotkit/run/timeline.html", context)


def _timeline(request: HttpRequest, run: Run) -> Any:
    form = "compacted" if request.GET.get("form") == "compacted" else "raw"
    try:
        start = int(request.GET.get("start", "0")[:18])
    except ValueError:
        start = 0
    return timeline_of(run, form=form, start=start)
