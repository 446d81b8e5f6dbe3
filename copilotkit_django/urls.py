"""``path("api/copilotkit", include("copilotkit_django.urls"))``: the default endpoint.

Mount it without a slash at the end: the official client posts single-route requests to the very
URL it was given. With a slash everything else works too.
"""

from __future__ import annotations

from collections.abc import Callable

from django.urls import URLPattern, re_path

from copilotkit_django.runtime import Runtime, get_runtime
from copilotkit_django.views import endpoint_view


def patterns_for(find_runtime: Callable[[], Runtime]) -> list[URLPattern]:
    """The URL patterns of an endpoint: everything below the mount point is one view's."""
    return [re_path(r"^(?P<path>[\s\S]*)\Z", endpoint_view(find_runtime), name="endpoint")]


app_name = "copilotkit"
urlpatterns = patterns_for(get_runtime)
