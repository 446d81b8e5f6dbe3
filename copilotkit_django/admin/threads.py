"""Threads in the admin: a list, the conversation, and what can be done about a thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected as ask_before_deleting
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.db import transaction
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from copilotkit_django.admin.conversation import page_of
from copilotkit_django.admin.listing import (
    AgentFilter,
    ReadOnlyAdmin,
    can_view_content,
    database_clock,
)
from copilotkit_django.admin.wording import NOTHING, badge, moment, short_id
from copilotkit_django.exceptions import StoreDown
from copilotkit_django.models import Run, Thread
from copilotkit_django.runners.base import AgentRunner, ThreadRef
from copilotkit_django.runners.export import export_thread
from copilotkit_django.runtime import get_runtime

#: A thread's runs are counted up to here.
RUNS_COUNTED = 1_000

#: An action takes so many threads at a time.
AT_ONCE = 1_000


class RunningFilter(admin.SimpleListFilter):
    """By whether a run holds the thread."""

    title = _("running")
    parameter_name = "running"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.exclude(holder="").filter(lease_expires__gte=F("database_now"))
        if self.value() == "no":
            return queryset.filter(Q(holder="") | Q(lease_expires__lt=F("database_now")))
        return queryset


@admin.register(Thread)
class ThreadAdmin(ReadOnlyAdmin):
    list_filter = (RunningFilter, "archived", "last_run_at", AgentFilter)
    filtered_by = ("running", "archived", "last_run_at", "agent", "updated_at")
    list_select_related = ("user",)
    date_hierarchy = "updated_at"
    # The order an index has; sorting all threads by something else takes as long as there are many.
    ordering = ("-updated_at",)
    sortable_by = ("changed",)
    actions = ("stop", "archive", "restore", "export", "delete_selected")

    # -- the list -------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Thread]:
        threads: QuerySet[Thread] = super().get_queryset(request)
        runs = Run.objects.filter(
            thread=OuterRef("pk"), position__gt=OuterRef("fence") - RUNS_COUNTED
        )
        count = runs.order_by().values("thread").annotate(count=Count("pk")).values("count")
        return threads.annotate(
            database_now=database_clock(threads.db), run_count=Coalesce(Subquery(count), 0)
        )

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        name = ("shown_name",) if can_view_content(request) else ()
        return ("shown_id", *name, "owner", "agent_id", "activity", "runs", "changed")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        username = f"user__{get_user_model().USERNAME_FIELD}"
        # A search for names tells what they are.
        name = ("name",) if can_view_content(request) else ()
        return ("thread_id", *name, username, "scope")

    search_help_text = _("Search by thread id, name, user or scope.")

    @admin.display(description=_("thread id"))
    def shown_id(self, thread: Thread) -> SafeString:
        return short_id(thread.thread_id)

    @admin.display(description=_("name"))
    def shown_name(self, thread: Thread) -> str:
        return thread.name or NOTHING

    @admin.display(description=_("owner"))
    def owner(self, thread: Thread) -> SafeString:
        return short_id(_owner(thread))

    @admin.display(description=_("status"))
    def activity(self, thread: Thread) -> SafeString | str:
        if thread.holder:
            is_live = thread.lease_expires >= thread.database_now  # type: ignore[attr-defined]
            return badge("live", _("live")) if is_live else badge("lost", _("lost"))
        return badge("archived", _("archived")) if thread.archived else ""

    @admin.display(description=_("runs"))
    def runs(self, thread: Thread) -> str:
        count: int = thread.run_count  # type: ignore[attr-defined]
        return f"{count}+" if count == RUNS_COUNTED < thread.fence else str(count)

    @admin.display(description=_("last changed"), ordering="updated_at")
    def changed(self, thread: Thread) -> str:
        return moment(thread.updated_at)

    # -- who may --------------------------------------------------------------------------------

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("copilotkit.stop_thread")

    def has_archive_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("copilotkit.archive_thread")

    def has_export_permission(self, request: HttpRequest) -> bool:
        # An export is nothing but content.
        return request.user.has_perm("copilotkit.export_thread") and can_view_content(request)

    # -- actions --------------------------------------------------------------------------------

    @admin.action(description=_("Stop the live run"), permissions=["stop"])
    def stop(self, request: HttpRequest, threads: QuerySet[Thread]) -> None:
        done = self._act(request, threads, _stop, _("Stopped in the admin."))
        text = ngettext("%d run is being stopped.", "%d runs are being stopped.", done) % done
        self._report(request, done, text, _("Nothing was running."))

    @admin.action(description=_("Archive"), permissions=["archive"])
    def archive(self, request: HttpRequest, threads: QuerySet[Thread]) -> None:
        done = self._act(request, threads, _archive, _("Archived in the admin."))
        text = ngettext("%d thread archived.", "%d threads archived.", done) % done
        self._report(request, done, text, _("Only threads with a finished run can be archived."))

    @admin.action(description=_("Restore from the archive"), permissions=["archive"])
    def restore(self, request: HttpRequest, threads: QuerySet[Thread]) -> None:
        done = self._act(request, threads, _restore, _("Restored in the admin."))
        text = ngettext("%d thread restored.", "%d threads restored.", done) % done
        self._report(request, done, text, _("There was nothing to restore."))

    @admin.action(description=_("Export as JSON Lines"), permissions=["export"])
    def export(self, request: HttpRequest, threads: QuerySet[Thread]) -> HttpResponseBase:
        chosen = list(threads[:AT_ONCE])
        for thread in chosen:
            self.log_change(request, thread, str(_("Exported in the admin.")))
        slug = slugify(chosen[0].thread_id)[:80] if len(chosen) == 1 else ""
        lines = (line for thread in chosen for line in export_thread(thread))
        response = StreamingHttpResponse(
            _in_steps(lines) if isinstance(request, ASGIRequest) else lines,
            content_type="application/x-ndjson",
        )
        name = f"thread-{slug}.jsonl" if slug else "threads.jsonl"
        response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
        return response

    def _act(
        self,
        request: HttpRequest,
        threads: QuerySet[Thread],
        act: Callable[[AgentRunner, ThreadRef], Awaitable[bool]],
        record: Any,
    ) -> int:
        """Do something through the runner; returns to how many threads it was done."""
        chosen = list(threads[:AT_ONCE])
        done = self._through_runner(request, chosen, act)
        for thread in done:
            self.log_change(request, thread, str(record))
        return len(done)

    def _through_runner(
        self,
        request: HttpRequest,
        threads: Iterable[Thread],
        act: Callable[[AgentRunner, ThreadRef], Awaitable[bool]],
    ) -> list[Thread]:
        runner = get_runtime().runner
        done: list[Thread] = []

        async def act_on_all() -> None:
            for thread in threads:
                if await act(runner, ThreadRef(thread.scope, thread.thread_id)):
                    done.append(thread)

        try:
            async_to_sync(act_on_all)()
        except StoreDown as error:
            self.message_user(request, str(error), messages.ERROR)
        return done

    def _report(self, request: HttpRequest, done: int, text: str, nothing: Any) -> None:
        if done:
            self.message_user(request, text, messages.SUCCESS)
        else:
            self.message_user(request, nothing, messages.WARNING)

    # -- deleting -------------------------------------------------------------------------------

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        # What hangs on a thread may be hundreds of thousands of rows, which the runner deletes.
        threads = list(objs[:AT_ONCE])
        needed = set() if self.has_delete_permission(request) else {self.opts.verbose_name}
        named = [str(thread) for thread in threads]
        return named, {self.opts.verbose_name_plural: len(named)}, needed, []

    @admin.action(description=_("Delete"), permissions=["delete"])
    def delete_selected(self, request: HttpRequest, threads: QuerySet[Thread]) -> Any:
        if not request.POST.get("post"):
            return ask_before_deleting(self, request, threads[:AT_ONCE])
        self._delete_all(request, list(threads[:AT_ONCE]))
        return None

    def _delete_all(self, request: HttpRequest, threads: list[Thread]) -> None:
        deleted: Any = self._through_runner(request, threads, _delete)
        if deleted:
            self.log_deletions(request, deleted)
        done = len(deleted)
        text = ngettext("%d thread deleted.", "%d threads deleted.", done) % done
        self._report(request, done, text, _("Nothing was deleted."))

    # The runner writes on connections of its own: a transaction that is open here makes it wait.
    @transaction.non_atomic_requests
    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        if request.method != "POST":
            return super().delete_view(request, object_id, extra_context)
        thread = self.get_object(request, unquote(object_id))
        if not self.has_delete_permission(request, thread):
            raise PermissionDenied
        if thread is None:
            return self.to_list(request)
        self._delete_all(request, [thread])
        return redirect("admin:copilotkit_thread_changelist")

    # -- pages ----------------------------------------------------------------------------------

    @transaction.non_atomic_requests
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        return super().changelist_view(request, extra_context)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        act = path("<path:object_id>/act/", view, name="copilotkit_thread_act")
        return [act, *super().get_urls()]

    @transaction.non_atomic_requests
    def act_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """One of the actions on one thread, from its page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        thread = self.get_object(request, unquote(object_id))
        name = request.POST.get("action", "")
        offered = self._offered(request)
        if not self.has_view_permission(request, thread) or name not in offered:
            raise PermissionDenied
        if thread is None:
            return self.to_list(request)
        act, _label = offered[name]
        answer: HttpResponseBase | None = act(
            self, request, self.get_queryset(request).filter(pk=thread.pk)
        )
        return answer or redirect("admin:copilotkit_thread_change", thread.pk)

    def page(
        self, request: HttpRequest, thread: Thread, *, with_content: bool, extra: dict[str, Any]
    ) -> HttpResponse:
        """The conversation, some runs at a time, the latest first of all."""
        page = page_of(
            thread,
            before=_position(request, "before"),
            after=_position(request, "after"),
            with_content=with_content,
        )
        runs = reverse("admin:copilotkit_run_changelist")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": thread,
            "thread": thread,
            "title": thread.name if with_content and thread.name else _("Thread"),
            "subtitle": str(thread),
            "owner": _owner(thread),
            "activity": self.activity(thread),
            "run_count": self.runs(thread),
            "runs_url": f"{runs}?thread__exact={thread.pk}",
            "with_content": with_content,
            "page": page,
            "buttons": self._buttons(request, thread),
            "can_delete": self.has_delete_permission(request, thread),
            "media": self.media,
            **extra,
        }
        return TemplateResponse(request, "admin/copilotkit/thread/conversation.html", context)

    def _buttons(self, request: HttpRequest, thread: Thread) -> list[tuple[str, Any]]:
        """The actions that make sense for a thread, of those that are allowed."""
        pointless = {"archive" if thread.archived else "restore"}
        if not thread.holder:
            pointless.add("stop")
        offered = self._offered(request).items()
        return [(name, label) for name, (_act, label) in offered if name not in pointless]

    def _offered(self, request: HttpRequest) -> dict[str, tuple[Any, Any]]:
        """What who asks may do to one thread; deleting has a page of its own."""
        return {
            name: (found[0], found[2])
            for name, found in self.get_actions(request).items()
            if found is not None and name != "delete_selected"
        }


def _owner(thread: Thread) -> str:
    return thread.scope if thread.user is None else thread.user.get_username()


def _position(request: HttpRequest, name: str) -> int | None:
    try:
        return int(request.GET[name][:18])
    except (KeyError, ValueError):
        return None


async def _stop(runner: AgentRunner, thread: ThreadRef) -> bool:
    return await runner.stop(thread)


async def _archive(runner: AgentRunner, thread: ThreadRef) -> bool:
    store = runner.threads
    return store is not None and await store.update(thread, archived=True) is not None


async def _restore(runner: AgentRunner, thread: ThreadRef) -> bool:
    store = runner.threads
    return store is not None and await store.update(thread, archived=False) is not None


async def _delete(runner: AgentRunner, thread: ThreadRef) -> bool:
    return runner.threads is not None and await runner.threads.delete(thread)


async def _in_steps(lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    """What a generator that reads the database yields, for a server that is asynchronous."""
    step: Callable[[], Awaitable[bytes | None]] = sync_to_async(lambda: next(lines, None))
    while (line := await step()) is not None:
        yield line
