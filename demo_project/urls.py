from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path

from demo_project.agents.almanac_endpoint import almanac_endpoint
from demo_project.views import page

urlpatterns = [
    path("", page, name="page"),
    path("admin/", admin.site.urls),
    path("api/copilotkit", include("copilotkit_django.urls")),
    path("agents/almanac", almanac_endpoint, name="almanac"),
    # Only in DEBUG; `runserver` needs no such line, other ASGI servers do.
    *staticfiles_urlpatterns(),
]
