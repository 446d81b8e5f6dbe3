"""The URLs of the demo, with the built-in agent behind those of the studio."""

from django.conf import settings
from django.urls import path

from copilotkit_django.agents.builtin import BuiltInAgent
from copilotkit_django.runtime import Runtime, get_runtime
from demo_project import urls

clock = {"url": settings.CLOCK_URL, "server_id": "clock", "allow_private_addresses": True}

studio = Runtime(
    agents={"studio": BuiltInAgent("openai/gpt-5-mini", name="Studio")},
    mcp_apps=[clock],
    a2ui={"inject_tool": True},
    open_generative_ui=True,
    runner=get_runtime().runner,
)

urlpatterns = [path("api/studio", studio.urls), *urls.urlpatterns]
