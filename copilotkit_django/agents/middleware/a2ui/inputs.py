"""What agents are told so that they can draw surfaces, and learn what was done on them.

Needs the ``a2ui`` extra.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from ag_ui_a2ui_toolkit import A2UI_SCHEMA_CONTEXT_DESCRIPTION, RENDER_A2UI_TOOL_DEF

from copilotkit_django.agents.base import RunInput
from copilotkit_django.agents.middleware.a2ui.options import A2UIOptions
from copilotkit_django.events.wire import decode, encode

#: The tool whose call tells an agent what somebody did on a surface. Nobody can call it.
ACTION_TOOL = "log_a2ui_event"

#: What a model needs to know to draw with the tool.
GUIDE = """\
Call `{tool}` to show an interface. It takes

- `surfaceId`: a text of your choice, another one for each interface;
- `components`: all components in one flat list, never left out;
- `data`: the values that components refer to by path, if any do.

A component has an `id` of its own, a `component` that is the name of its type in the catalogue, and
its properties beside these. The outermost has the id "root" and is one that holds others, such as
Column, Row or Card. Others are referred to by id: `"children": ["a", "b"]`, or `"child": "a"` where
there can be one only. No component is inside of itself.

    {{"surfaceId": "greeting", "components": [
      {{"id": "root", "component": "Column", "children": ["text", "button"]}},
      {{"id": "text", "component": "Text", "text": {{"path": "/hello"}}}},
      {{"id": "label", "component": "Text", "text": "Greet back"}},
      {{"id": "button", "component": "Button", "child": "label", "action": {{
        "event": {{"name": "greet_back", "context": {{"name": {{"path": "/name"}}}}}}}}}}
    ], "data": {{"hello": "Hello!", "name": "Ada"}}}}

- Use the types of the catalogue only. The catalogue itself is chosen for you.
- `{{"path": "/key"}}` stands for a value in `data`; inside of what is repeated `{{"path": "key"}}`
  is one of the item.
- `"children": {{"componentId": "card", "path": "/items"}}` repeats a component for each item of a
  list.
- An action is an object with an `event`, which has a `name` and the `context` you want to be told.
- Images need a URL that exists.
"""


def page_catalog(run_input: RunInput) -> str:
    """The id of the catalogue the page has, as far as it has said so."""
    for entry in run_input.context:
        if entry["description"] == A2UI_SCHEMA_CONTEXT_DESCRIPTION:
            try:
                schema = decode(entry["value"].encode(errors="surrogatepass"))
            except ValueError:
                return ""
            found = schema.get("catalogId") if isinstance(schema, dict) else None
            return found if isinstance(found, str) else ""
    return ""


def changes(run_input: RunInput, options: A2UIOptions, *, inject: bool) -> dict[str, Any]:
    """What an agent is to be given in place of fields of the input.

    ``inject``: the tool that draws surfaces is to be offered.
    """
    changed: dict[str, Any] = {}
    action = _action(run_input)
    if action is not None:
        changed["messages"] = [*run_input.messages, *_told(action)]
    context = run_input.context
    if options.schema and (options.catalog or isinstance(options.schema, list)):
        entry = _entry(A2UI_SCHEMA_CONTEXT_DESCRIPTION, encode(options.schema).decode())
        context = [*_without(context, entry["description"]), entry]
    if inject:
        tool = options.tool
        guide = _entry(f"How to draw interfaces with the tool {tool}", GUIDE.format(tool=tool))
        context = [*_without(context, guide["description"]), guide]
        offered = {**RENDER_A2UI_TOOL_DEF["function"], "name": tool}
        changed["tools"] = [*(t for t in run_input.tools if t["name"] != tool), offered]
        props = run_input.forwarded_props
        flag = options.inject_tool if isinstance(options.inject_tool, str) else True
        changed["forwarded_props"] = {
            **(props if isinstance(props, dict) else {}),
            "injectA2UITool": flag,
        }
    if context is not run_input.context:
        changed["context"] = context
    return changed


def _action(run_input: RunInput) -> dict[str, Any] | None:
    value: Any = run_input.forwarded_props
    for key in ("a2uiAction", "userAction"):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) and value else None


def _told(action: dict[str, Any]) -> list[dict[str, Any]]:
    """An action as a call of a tool and its result, which every model understands."""
    call_id = uuid4().hex
    arguments = encode(action).decode()
    about = encode(action.get("context") or {}).decode()
    component = action.get("sourceComponentId")
    where = f" (component: {component})" if component else ""
    text = (
        f'User performed action "{action.get("name") or "unknown_action"}" on surface '
        f'"{action.get("surfaceId") or "unknown_surface"}"{where}. Context: {about}'
    )
    function = {"name": ACTION_TOOL, "arguments": arguments}
    return [
        {
            "id": uuid4().hex,
            "role": "assistant",
            "content": "",
            "toolCalls": [{"id": call_id, "type": "function", "function": function}],
        },
        {"id": uuid4().hex, "role": "tool", "toolCallId": call_id, "content": text},
    ]


def _entry(description: str, value: str) -> dict[str, Any]:
    return {"description": description, "value": value}


def _without(context: list[dict[str, Any]], description: str) -> list[dict[str, Any]]:
    return [entry for entry in context if entry["description"] != description]
