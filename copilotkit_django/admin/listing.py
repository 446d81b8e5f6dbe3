"""Lists that stay fast, however long they are: no query without a bound."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import BigIntegerField, Func, QuerySet
from django.forms import BooleanField, HiddenInput
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils import formats, timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from copilotkit_django.runners.sql import Sql

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]
    AnyPaginator = Paginator[Any]
else:
    AnyAdmin = admin.ModelAdmin
    AnyPaginator = Paginator

#: How many rows a list counts and pages through; what is behind them is found by search or filter.
LISTED = 10_000

#: The agents to filter by are those of so many rows, the latest ones.
AGENTS_OF = 1_000


def can_view_content(request: HttpRequest) -> bool:
    """Whether who asks may see messages, events, state, error texts and names."""
    return request.user.has_perm("copilotkit.view_content")


def database_clock(alias: str) -> Func:
    """Now, by the clock that leases go by: milliseconds since the epoch."""
    return Func(template=Sql(alias).now_ms, output_field=BigIntegerField())


class BoundedPaginator(AnyPaginator):
    """Counts up to `LISTED`."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:LISTED].count())


class BoundedChangeList(ChangeList):
    """A page of rows, and links to years, months and days that read two rows, not all dates."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            # Everything is shown: there is nothing to "show all" of.
            self.full_result_count = self.result_count
        if not self.multi_page:
            # Rows may have come since they were counted.
            self.result_list = self.queryset[: self.list_per_page]

    @property
    def is_cut(self) -> bool:
        """Whether there are rows that no page shows."""
        return self.result_count >= LISTED

    @cached_property
    def dates(self) -> dict[str, Any] | None:
        """What ``admin/date_hierarchy.html`` shows."""
        name = str(self.date_hierarchy)
        year, month, day = self._chosen_date(name)
        bounds = self._bounds(name)
        if bounds is None:
            return None
        first, last = bounds
        if year is None and first.year == last.year:
            year = first.year
            if first.month == last.month:
                month = first.month
        if year is None:
            years = [date(number, 1, 1) for number in range(last.year, first.year - 1, -1)]
            return {"choices": [self._choice(name, it, "year") for it in years]}
        if month is None:
            months = [date(year, number, 1) for number in range(1, 13)]
            back = {"link": self._date_link(name), "title": _("All dates")}
            within = [it for it in months if first.replace(day=1) <= it <= last]
            return {"back": back, "choices": [self._choice(name, it, "month") for it in within]}
        if day is None:
            back = {"link": self._date_link(name, year), "title": str(year)}
            days = [it for it in _days(year, month) if first <= it <= last]
            return {"back": back, "choices": [self._choice(name, it, "day") for it in days]}
        shown = date(year, month, day)
        return {
            "back": self._choice(name, shown, "month"),
            "choices": [{"title": _title(shown, "day")}],
        }

    def _chosen_date(self, name: str) -> list[int | None]:
        chosen = [self.params.get(f"{name}__{part}") for part in ("year", "month", "day")]
        if not chosen[0]:
            return [None, None, None]
        # With a year, the admin has refused already what is no date.
        return [int(str(value)) if value else None for value in chosen]

    def _bounds(self, name: str) -> tuple[date, date] | None:
        """The first and the last day there is anything in the list."""
        moments = self.queryset.filter(**{f"{name}__isnull": False}).values_list(name, flat=True)
        ends = [*moments.order_by(name)[:1], *moments.order_by(f"-{name}")[:1]]
        if len(ends) < 2:
            return None
        first, last = (_local_day(moment) for moment in ends)
        return first, last

    def _choice(self, name: str, day: date, unit: str) -> dict[str, str]:
        parts = {"year": 1, "month": 2, "day": 3}[unit]
        numbers = (day.year, day.month, day.day)[:parts]
        return {"link": self._date_link(name, *numbers), "title": _title(day, unit)}

    def _date_link(self, name: str, *numbers: int) -> str:
        parts = dict(zip(("year", "month", "day"), numbers, strict=False))
        chosen = {f"{name}__{part}": number for part, number in parts.items()}
        return self.get_query_string(chosen, [f"{name}__"])


def _local_day(moment: datetime) -> date:
    return (timezone.localtime(moment) if timezone.is_aware(moment) else moment).date()


def _days(year: int, month: int) -> Iterator[date]:
    for number in range(1, 32):
        try:
            yield date(year, month, number)
        except ValueError:
            return


def _title(day: date, unit: str) -> str:
    if unit == "year":
        return str(day.year)
    form = {"month": "YEAR_MONTH_FORMAT", "day": "MONTH_DAY_FORMAT"}[unit]
    return str(capfirst(formats.date_format(day, form)))


class AgentFilter(admin.SimpleListFilter):
    """By agent, of those that have been at work lately."""

    title = _("agent")
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: AnyAdmin) -> list[tuple[str, str]]:
        rows = model_admin.model._default_manager.order_by("-pk")
        agents = {agent for agent in rows.values_list("agent_id", flat=True)[:AGENTS_OF] if agent}
        chosen = self.value()
        if chosen:
            agents.add(chosen)
        return [(agent, agent) for agent in sorted(agents)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(agent_id=chosen) if chosen else queryset


class OnePageActionForm(ActionForm):
    """Takes the rows that were ticked, never all there are."""

    select_across = BooleanField(
        label="", required=False, widget=HiddenInput({"class": "select-across"})
    )

    def clean_select_across(self) -> bool:
        return False


class ReadOnlyAdmin(AnyAdmin):
    """Rows that only a runner writes, in bounded lists."""

    action_form = OnePageActionForm
    list_max_show_all = 0
    list_per_page = 50
    paginator = BoundedPaginator
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    #: What an address may filter by. Any other column could be content, or tell of it.
    filtered_by: tuple[str, ...] = ()

    class Media:
        css: ClassVar = {"all": ("copilotkit/admin.css",)}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BoundedChangeList

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        column = lookup.partition("__")[0]
        return column in self.filtered_by and super().lookup_allowed(lookup, value, request)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of one row, or the list where it is gone."""
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            return self.to_list(request)
        return self.page(
            request, row, with_content=can_view_content(request), extra=extra_context or {}
        )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What was done to a row. Whoever may not look at any is not told which there are."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def page(
        self, request: HttpRequest, row: Any, *, with_content: bool, extra: dict[str, Any]
    ) -> HttpResponse:
        """The page of a row that is there, for somebody who may see it; ``extra`` is context."""
        raise NotImplementedError

    def to_list(self, request: HttpRequest) -> HttpResponseRedirect:
        """The answer where what was asked for is gone."""
        self.message_user(request, _("It does not exist, or not any more."), messages.WARNING)
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
