from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path

from copilotkit_django.runtime import Runtime, get_runtime
from demo_project.agents.almanac_endpoint import almanac_endpoint
from demo_project.agents.dice_endpoint import dice_endpoint
from demo_project.views import page, studio_page

#: A second endpoint: its pages draw, those of the first do not. Threads are in the same store.
studio = Runtime(
    agents="demo_project.agents.registry.studio_for",
    a2ui=True,
    open_generative_ui=True,
    runner=get_runtime().runner,
)

urlpatterns = [
    path("", page, name="page"),
    path("studio", studio_page, name="studio"),
    path("api/studio", studio.urls),
    path("agents/dice", dice_endpoint, name="dice"),
    path("admin/", admin.site.urls),
    path(
        "sign-in",
        LoginView.as_view(
            template_name="admin/login.html",
            next_page="page",
            redirect_authenticated_user=True,
            extra_context={"site_header": "CopilotKit on Django", "title": "Sign in"},
        ),
        name="sign-in",
    ),
    path("sign-out", LogoutView.as_view(next_page="page"), name="sign-out"),
    path("api/copilotkit", include("copilotkit_django.urls")),
    path("agents/almanac", almanac_endpoint, name="almanac"),
    # Only in DEBUG; `runserver` needs no such line, other ASGI servers do.
    *staticfiles_urlpatterns(),
]
