"""The settings: what is accepted, what is refused and how that is said."""

from __future__ import annotations

import dataclasses
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from copilotkit_django.conf import Options, problems
from copilotkit_django.runners import InMemoryRunner
from copilotkit_django.runtime import Runtime, get_runtime
from tests.acting import Parrot

AGENTS = {"default": Parrot()}


def a_callable(*arguments):
    return None


class SomeHooks:
    def on_request(self, request):
        return None


GOOD = {
    "agents": [{}, {"default": Parrot()}, {"default": "tests.acting.Parrot"}, f"{__name__}.AGENTS"],
    "runner": [InMemoryRunner, InMemoryRunner(), "copilotkit_django.runners.InMemoryRunner"],
    "authentication": ["session", "anonymous", "anonymous-shared", a_callable],
    "thread_scope": [None, a_callable, f"{__name__}.a_callable"],
    "hooks": [None, SomeHooks, SomeHooks(), {"on_request": a_callable}, f"{__name__}.SomeHooks"],
    "before_request_middleware": [None, a_callable, f"{__name__}.a_callable"],
    "after_request_middleware": [None, a_callable, f"{__name__}.a_callable"],
    "forward_headers": [None, {}, {"allow": ["x-a"], "deny": ["x-b"], "deny_prefixes": ["x-c"]}],
    "allowed_origins": [[], ["https://app.example.com", "http://localhost:3000"], ["*"]],
    "concurrent_runs_per_owner": [None, 1, 1000],
    "max_run_seconds": [None, 1, 0.5],
    "max_events_per_run": [None, 1, 10**9],
    "max_bytes_per_run": [None, 1, 10**9],
    "max_messages": [None, 1, 10**6],
    "rate_limits": [{}, {"run": "30/m"}, {"run": {"rate": "1/s", "key": "ip"}}],
    "concurrent_runs": ["refuse", "supersede"],
    "keepalive_seconds": [0, 15, 0.5],
    "stop_grace_seconds": [0, 5, 0.5],
    "max_body_bytes": [1, 2**30],
    "body_timeout_seconds": [1, 0.5],
    "expose_error_text": [True, False, None],
    "transcription_service": [None],
    "max_audio_bytes": [1, 2**30],
    "lease_seconds": [2, 0.5],
    "resume_seconds": [0, 600],
    "store_outage_seconds": [10, 0.5],
    "debug_events": [True, False],
    "a2ui": [None, True, False, [], ["default"], {"inject_tool": True}],
    "open_generative_ui": [True, False, ["default"]],
    "expose_memory_routes": [True, False],
}

WEBHOOK = "https://hooks.example.com/copilotkit"

BAD = {
    "agents": [None, 7, ["tests.agents.nobody"], "tests.nowhere.agents", {"default": object()}],
    "runner": [None, "tests.nowhere.Runner"],
    "authentication": [None, "sesion", 7, "tests.nowhere.authenticate", WEBHOOK],
    "thread_scope": [7, "tests.nowhere.scope", "tests.talk.SECONDS", WEBHOOK],
    "hooks": ["tests.nowhere.Hooks", WEBHOOK, "http://localhost/hook"],
    "before_request_middleware": [7, "tests.nowhere.before", WEBHOOK],
    "after_request_middleware": [7, "tests.nowhere.after", WEBHOOK],
    "forward_headers": [7, {"denny": []}, {"deny": [7]}],
    "allowed_origins": [None, "https://a.example", ["a.example"], ["https://a.example/"], [7]],
    "concurrent_runs_per_owner": [0, -1, "20", 1.5, True],
    "max_run_seconds": [0, -1, "900", True],
    "max_events_per_run": [0, "many", 1e6],
    "max_bytes_per_run": [0, "64M", 1e6],
    "max_messages": [0, "many", 1e3],
    "rate_limits": [None, "30/m", {"runs": "30/m"}, {"run": "often"}],
    "concurrent_runs": ["queue", None],
    "keepalive_seconds": [-1, "15", None, True, float("nan")],
    "stop_grace_seconds": [-1, "5", None],
    "max_body_bytes": [0, -1, "64M", None, 1e6],
    "body_timeout_seconds": [0, "30", None],
    "expose_error_text": ["yes", 2],
    "transcription_service": ["tests.nowhere.Service", WEBHOOK],
    "max_audio_bytes": [0, "25M", None],
    "lease_seconds": [0, "15", None],
    "resume_seconds": [-1, "600", None],
    "store_outage_seconds": [0, "10", None],
    "debug_events": ["yes", None],
    "a2ui": ["default", 7, [7], {"inject": True}],
    "open_generative_ui": ["yes", None],
    "expose_memory_routes": ["yes", None],
}


def cases(table):
    return [
        pytest.param(name, value, id=f"{name}-{value!r:.50}")
        for name, values in table.items()
        for value in values
    ]


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Options)])
def test_options__each_explains_itself(name):
    """An option says what it does and has a default that passes its own check."""
    option = {field.name: field for field in dataclasses.fields(Options)}[name]
    default = getattr(Options(), name)

    assert option.metadata["doc"].endswith(".")
    assert list(problems({name: default})) == []


@pytest.mark.parametrize(("name", "value"), cases(GOOD))
def test_options__accepted(name, value):
    """What the documentation of an option offers can be used."""
    assert list(problems({name: value})) == []
    Options.load({name: value})


@pytest.mark.parametrize(("name", "value"), cases(BAD))
def test_options__refused(name, value):
    """A value that cannot work is refused with a sentence that names its setting."""
    (problem,) = problems({name: value})

    assert problem.option == name
    assert f"COPILOTKIT['{name.upper()}']" in problem.text
    with pytest.raises(ImproperlyConfigured, match=name.upper()):
        Options.load({name: value})


def test_options__several_wrong():
    """Everything that is wrong is said at once."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Options.load({"keepalive_seconds": -1, "concurrent_runs": "queue"})

    assert "KEEPALIVE_SECONDS" in str(caught.value)
    assert "CONCURRENT_RUNS" in str(caught.value)


@override_settings(COPILOTKIT={"AGENT": {}, "AUTHENTICATION": "session"})
def test_settings__unknown_key():
    """A misspelt setting is an error that guesses what was meant."""
    with pytest.raises(ImproperlyConfigured, match="Did you mean 'AGENTS'"):
        Options.load()


@override_settings(COPILOTKIT={"ZZZZZZ": 1})
def test_settings__unknown_key_like_no_other():
    """Where nothing is similar nothing is guessed."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Options.load()

    assert "'ZZZZZZ'" in str(caught.value)
    assert "Did you mean" not in str(caught.value)


@override_settings(COPILOTKIT={7: 1})
def test_settings__key_that_is_no_text():
    """Even then the answer is an error of the configuration."""
    with pytest.raises(ImproperlyConfigured, match="'7'"):
        Options.load()


@override_settings(COPILOTKIT=["AGENTS"])
def test_settings__not_a_dict():
    """A list in place of the dict is refused by name."""
    with pytest.raises(ImproperlyConfigured, match="COPILOTKIT"):
        Options.load()


def test_settings__absent(settings):
    """A project without the dict gets the defaults."""
    del settings.COPILOTKIT

    assert Options.load().authentication == "session"


def test_authentication__misspelt():
    """A mode that is nearly one of ours is guessed."""
    (problem,) = problems({"authentication": "anonymos"})

    assert "Did you mean 'anonymous'" in str(problem)


def test_runtime__unknown_argument():
    """An unknown keyword is refused like by any function."""
    with pytest.raises(TypeError, match="'agent'"):
        Runtime(agent={})


def test_runtime__runner_of_another_kind():
    """An object that runs nothing is no runner."""
    with pytest.raises(ImproperlyConfigured, match="RUNNER"):
        Runtime(runner=object())


@override_settings(COPILOTKIT={"RUNNER": "tests.unit.imported_late.LateRunner"})
def test_dotted_path__first_use():
    """What a path names is imported when the runtime is first asked for, not with the settings."""
    sys.modules.pop("tests.unit.imported_late", None)
    assert "tests.unit.imported_late" not in sys.modules

    runner = get_runtime().runner

    assert type(runner).__name__ == "LateRunner"


def test_dotted_path__of_hooks_class():
    """A path to a class of hooks gives an instance of it."""
    runtime = Runtime(hooks=f"{__name__}.SomeHooks")

    hook = runtime.hooks.find("on_request")

    assert isinstance(hook.__self__, SomeHooks)


def test_get_runtime__overridden_settings():
    """The default runtime follows the settings, and comes back when they do."""
    with override_settings(COPILOTKIT={"KEEPALIVE_SECONDS": 3}):
        inside = get_runtime()
    outside = get_runtime()

    assert inside.options.keepalive_seconds == 3
    assert outside.options.keepalive_seconds == 15
    assert outside is get_runtime()


@pytest.mark.parametrize(
    ("option", "debug", "exposed"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_error_text__exposure(option, debug, exposed):
    """Texts of exceptions reach clients by the option, or where DEBUG is on if there is none."""
    with override_settings(DEBUG=debug):
        assert Options.load({"expose_error_text": option}).exposes_errors is exposed


def test_runtime__options_of_the_project():
    """What a runtime is not given it takes from the project's settings."""
    with override_settings(COPILOTKIT={"KEEPALIVE_SECONDS": 3, "STOP_GRACE_SECONDS": 2}):
        runtime = Runtime(keepalive_seconds=4)

    assert runtime.options.keepalive_seconds == 4
    assert runtime.options.stop_grace_seconds == 2


@pytest.mark.parametrize("hooks", [42, object(), {"on_reqest": print}, {"on_request": print, 1: 2}])
def test_hooks__without_a_hook(hooks):
    """Hooks that would never be called are a mistake in the settings."""
    (problem,) = problems({"hooks": hooks})

    assert "on_request" in problem.text
