from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def clear(request: HttpRequest) -> HttpResponse:
    """Forget everything between two cases: this runner lists no threads, so it clears none."""
    cache.clear()
    return HttpResponse(status=204)


urlpatterns = [
    path("api/copilotkit/threads/clear", clear),
    path("api/copilotkit", include("copilotkit_django.urls")),
]
