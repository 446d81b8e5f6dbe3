"""What may be set about A2UI."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured

#: The tool agents draw surfaces with, unless it is given another name.
RENDER_TOOL = "render_a2ui"

#: How much clients show of attempts that failed.
EXPOSURES = ("hidden", "collapsed", "verbose")


@dataclass(frozen=True, kw_only=True)
class A2UIOptions:
    """Options of A2UI, for the agents in ``agents`` (all if left out).

    ``enabled=False`` keeps it off even where a page has a catalogue. ``inject_tool`` offers agents
    the tool that draws surfaces, under a name of yours if it is a text; left out, it is offered to
    agents of pages with a catalogue. ``schema`` is the catalogue agents are told of, in place of
    the page's: ``{"catalogId": …, "components": {name: JSON schema}}``; surfaces are checked
    against it. ``default_catalog_id`` is the catalogue surfaces are made with, ``tool_names`` are
    tools of yours whose arguments are surfaces. ``progress_tokens`` tells pages how long the
    surface is so far; ``max_attempts`` is what they are told of retries; ``debug_exposure`` is how
    much of what went wrong they show.

    Raises `ImproperlyConfigured` for what cannot be used.
    """

    enabled: bool = True
    agents: Collection[str] | None = None
    inject_tool: bool | str | None = None
    schema: Any = None
    default_catalog_id: str = ""
    tool_names: Collection[str] = field(default=(RENDER_TOOL,))
    progress_tokens: bool = True
    max_attempts: int = 3
    debug_exposure: str | None = None

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem is not None:
            raise ImproperlyConfigured(f"A2UI: {problem}")

    def _problem(self) -> str | None:
        # What settings hold need not be what the annotations say.
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in _fields()}
        for name in ("enabled", "progress_tokens"):
            if not isinstance(values[name], bool):
                return f"{name} must be true or false."
        for name in ("agents", "tool_names"):
            names = values[name]
            if names is None and name == "agents":
                continue
            if isinstance(names, str) or not all(isinstance(each, str) for each in names):
                return f"{name} must be a list of names."
        if not (values["inject_tool"] is None or isinstance(values["inject_tool"], (bool, str))):
            return "inject_tool must be true, false, or the name of the tool."
        if not isinstance(values["default_catalog_id"], str):
            return "default_catalog_id must be a text."
        attempts = values["max_attempts"]
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            return "max_attempts must be a whole number above 0."
        if values["debug_exposure"] not in (None, *EXPOSURES):
            return f"debug_exposure must be one of {', '.join(EXPOSURES)}."
        return _schema_problem(values["schema"])

    def is_for(self, agent_id: str) -> bool:
        """Whether that agent may draw surfaces."""
        return self.enabled and (self.agents is None or agent_id in self.agents)

    def injects(self, forwarded_props: Any) -> bool:
        """Whether the agent of a run with these props is to be offered the tool."""
        if self.inject_tool is None:
            return has_catalog(forwarded_props)
        return bool(self.inject_tool)

    @property
    def tool(self) -> str:
        """The name of the tool agents are offered."""
        injected = self.inject_tool
        return injected if isinstance(injected, str) and injected else RENDER_TOOL

    @property
    def catalog(self) -> dict[str, Any] | None:
        """The components surfaces are checked against, by name; ``None``: unknown."""
        if isinstance(self.schema, Mapping) and self.schema.get("components"):
            return {"components": dict(self.schema["components"])}
        return None


def options_from(value: Any) -> dict[str, Any]:
    """The options in what settings say: true, false, a list of agent ids, or a mapping.

    Raises `ImproperlyConfigured`.
    """
    if isinstance(value, bool):
        return {"enabled": value}
    if isinstance(value, Mapping):
        known = [each.name for each in _fields()]
        for name in value:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                guess = f" Did you mean {close[0]!r}?" if close else ""
                raise ImproperlyConfigured(f"A2UI has no option {name!r}.{guess}")
        return dict(value)
    if isinstance(value, str) or not isinstance(value, Collection):
        raise ImproperlyConfigured(
            f"{value!r} is neither true or false nor a list of agent ids nor a mapping."
        )
    return {"agents": value}


def has_catalog(forwarded_props: Any) -> bool:
    """Whether the page of a run says that it has a catalogue of its own."""
    return isinstance(forwarded_props, dict) and (
        forwarded_props.get("a2uiCatalogAvailable") is True
    )


def _fields() -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(A2UIOptions)


def _schema_problem(schema: Any) -> str | None:
    if schema is None or isinstance(schema, list):
        return None
    components = schema.get("components") if isinstance(schema, Mapping) else None
    if not isinstance(components, Mapping) or not all(
        isinstance(each, Mapping) for each in components.values()
    ):
        return "schema must be a mapping with components: JSON schemas by name."
    return None
