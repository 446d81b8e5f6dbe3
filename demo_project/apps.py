from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "demo_project"
    label = "demo"
    verbose_name = "Demo"
