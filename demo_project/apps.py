from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "demo_project"
    label = "demo"
    verbose_name = "Demo"

    def ready(self) -> None:
        from demo_project import receivers  # noqa: F401 - it registers itself
