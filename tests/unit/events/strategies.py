"""Random agent output: from events in perfect order to things no agent should yield."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from copilotkit_django.events.order import OrderError, RunOrder

Event = dict[str, Any]

# Fixed values and few of them, as drawing a fresh one costs many times what testing it does.
# Lone surrogates belong to it: deltas end in the middle of an emoji.
texts = st.sampled_from(
    ["", "a", "b", "é\n\n", "\u2028", "\x00", "😀", "\ud83d", "\ude00", "x" * 99]
)
_scalars = (None, True, False, 0, 1, -1, 2**53, 2**64, 0.5, -1e300, "", "a", "\ud83d")
scalars = st.sampled_from(_scalars)
json_values = st.sampled_from(
    [*_scalars, [], {}, [None], [[0], {"": None}], {"n": 1}, {"n": [1, 2], "list": {"/~": None}}]
).map(copy.deepcopy)
metadata = st.sampled_from([{}, {"a": 1}, {"a": None, "b": [2]}, {"b": {"a": 3}}])


def ids(prefix: str, count: int = 3) -> st.SearchStrategy[str]:
    """A few ids, so that events meet; prefixes keep things of different kinds apart."""
    return st.sampled_from([f"{prefix}{n}" for n in range(count)])


message_ids, call_ids, result_ids = ids("m"), ids("c"), ids("t", 6)
reasoning_ids, activity_ids, subagent_ids = ids("r"), ids("a", 2), ids("s", 2)
pointers = st.sampled_from(["", "/n", "/n/0", "/n/-", "/list", "/list/0", "/list/-", "/~0~1"])


def _operation(op: str) -> st.SearchStrategy[Event]:
    parts: dict[str, Any] = {"op": st.just(op), "path": pointers}
    if op in ("add", "replace", "test"):
        parts["value"] = json_values
    if op in ("move", "copy"):
        parts["from"] = pointers
    return st.fixed_dictionaries(parts)


patches = st.lists(
    st.sampled_from(["add", "add", "replace", "remove", "move", "copy", "test"]).flatmap(
        _operation
    ),
    max_size=3,
)
states = (
    st.fixed_dictionaries({"n": json_values, "list": st.lists(scalars, max_size=3)}) | json_values
)


def _event(kind: str, required: Event | None = None, optional: Event | None = None) -> Any:
    return st.fixed_dictionaries(
        {"type": st.just(kind), **(required or {})},
        optional={"metadata": metadata, **(optional or {})},
    )


tool_calls = st.fixed_dictionaries(
    {
        "id": call_ids,
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": texts, "arguments": texts}),
    }
)
content_parts = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts})
    | st.fixed_dictionaries(
        {
            "type": st.sampled_from(["image", "document"]),
            "source": st.sampled_from(
                [
                    {"type": "url", "value": "https://example.org/a.png"},
                    {"type": "data", "value": "AA==", "mimeType": "image/png"},
                    {"type": "file", "value": "file-1", "provider": "p"},
                ]
            ),
        },
        optional={"metadata": json_values},
    )
    | st.just({"type": "binary", "mimeType": "image/png", "data": "AA=="}),
    max_size=3,
)
messages = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"id": message_ids, "role": st.just("assistant")},
            optional={
                "content": texts | st.none(),
                "toolCalls": st.lists(tool_calls, max_size=2, unique_by=lambda call: call["id"]),
            },
        ),
        st.fixed_dictionaries(
            {"id": ids("u"), "role": st.just("user"), "content": texts | content_parts}
        ),
        st.fixed_dictionaries(
            {
                "id": result_ids,
                "role": st.just("tool"),
                "toolCallId": call_ids,
                "content": texts | content_parts,
            }
        ),
        st.fixed_dictionaries(
            {"id": reasoning_ids, "role": st.just("reasoning"), "content": texts}
        ),
        st.fixed_dictionaries(
            {
                "id": activity_ids,
                "role": st.just("activity"),
                "activityType": texts,
                "content": st.dictionaries(texts, json_values, max_size=2),
            }
        ),
    ),
    max_size=4,
    unique_by=lambda message: message["id"],
)
run_inputs = st.fixed_dictionaries(
    {"threadId": st.just("t1"), "runId": st.just("r1"), "messages": messages},
    optional={"tools": st.just([]), "context": st.just([]), "state": json_values},
)
_owner: Event = {"subagentRunId": subagent_ids}
_run_ids: Event = {"threadId": st.just("t1"), "runId": st.just("r1")}

run_started = _event("RUN_STARTED", _run_ids, {"input": run_inputs})
run_finished = _event(
    "RUN_FINISHED",
    _run_ids,
    {
        "result": json_values,
        "outcome": st.sampled_from(
            [
                {"type": "success"},
                {"type": "success", "pendingToolCallIds": ["c0"]},
                {"type": "cancelled"},
                {"type": "interrupt", "interrupts": [{"id": "i", "reason": "r", "message": None}]},
            ]
        ),
    },
)
run_error = _event("RUN_ERROR", {"message": texts}, {"code": texts})

text_events = st.one_of(
    _event("TEXT_MESSAGE_START", {"messageId": message_ids}, {"name": texts}),
    _event("TEXT_MESSAGE_CONTENT", {"messageId": message_ids, "delta": texts}),
    _event("TEXT_MESSAGE_END", {"messageId": message_ids}),
)
call_events = st.one_of(
    _event(
        "TOOL_CALL_START",
        {"toolCallId": call_ids, "toolCallName": texts},
        {"parentMessageId": message_ids},
    ),
    _event("TOOL_CALL_ARGS", {"toolCallId": call_ids, "delta": texts}),
    _event("TOOL_CALL_END", {"toolCallId": call_ids}),
    _event(
        "TOOL_CALL_RESULT",
        {"messageId": result_ids, "toolCallId": call_ids, "content": texts | content_parts},
    ),
)
state_events = st.one_of(
    _event("STATE_SNAPSHOT", {"snapshot": states}), _event("STATE_DELTA", {"delta": patches})
)
reasoning_events = st.one_of(
    _event("REASONING_START", {"messageId": reasoning_ids}),
    _event("REASONING_MESSAGE_START", {"messageId": reasoning_ids, "role": st.just("reasoning")}),
    _event("REASONING_MESSAGE_CONTENT", {"messageId": reasoning_ids, "delta": texts}),
    _event("REASONING_MESSAGE_END", {"messageId": reasoning_ids}),
    _event("REASONING_END", {"messageId": reasoning_ids}),
    _event(
        "REASONING_ENCRYPTED_VALUE",
        {
            "subtype": st.sampled_from(["message", "tool-call"]),
            "entityId": message_ids | call_ids | reasoning_ids,
            "encryptedValue": texts,
        },
    ),
)
other_events = st.one_of(
    _event("STEP_STARTED", {"stepName": ids("step", 2)}),
    _event("STEP_FINISHED", {"stepName": ids("step", 2)}),
    _event("CUSTOM", {"name": texts, "value": json_values}),
    _event("RAW", {"event": json_values}),
    _event(
        "ACTIVITY_SNAPSHOT",
        {
            "messageId": activity_ids,
            "activityType": texts,
            "content": st.dictionaries(texts, json_values, max_size=2),
        },
        {"replace": st.booleans()},
    ),
    _event("ACTIVITY_DELTA", {"messageId": activity_ids, "activityType": texts, "patch": patches}),
)
subagent_events = st.one_of(
    _event(
        "SUBAGENT_STARTED",
        {"subagentRunId": subagent_ids, "name": texts},
        {"parentSubagentRunId": subagent_ids},
    ),
    _event("SUBAGENT_FINISHED", {"subagentRunId": subagent_ids}),
    _event("SUBAGENT_ERROR", {"subagentRunId": subagent_ids, "message": texts}),
)
chunk_events = st.one_of(
    _event("TEXT_MESSAGE_CHUNK", None, {"messageId": message_ids, "delta": texts}),
    _event(
        "TOOL_CALL_CHUNK",
        None,
        {"toolCallId": call_ids, "toolCallName": texts, "delta": texts},
    ),
    _event("REASONING_MESSAGE_CHUNK", None, {"messageId": reasoning_ids, "delta": texts}),
)
snapshot_events = _event("MESSAGES_SNAPSHOT", {"messages": messages})


#: Whose the things are in a run that makes sense; all others belong to the agent itself.
OWNERS = {"m2": "s0", "c2": "s0", "r2": "s1", "a1": "s1"}
_MAKERS = frozenset(
    (
        *("TEXT_MESSAGE_START", "TEXT_MESSAGE_CHUNK", "TOOL_CALL_START", "TOOL_CALL_CHUNK"),
        *("REASONING_START", "REASONING_MESSAGE_START", "REASONING_MESSAGE_CHUNK"),
        "ACTIVITY_SNAPSHOT",
    )
)


def _owned(thing: Event, name: Any, *, always: bool) -> Event:
    owner = OWNERS.get(name) if isinstance(name, str) else None
    if owner is not None and (always or "subagentRunId" in thing):
        return {**thing, "subagentRunId": owner}
    return {key: value for key, value in thing.items() if key != "subagentRunId"}


def consistent(event: Any) -> Any:
    """The event with everything attributed to whom it belongs to, whenever it is mentioned."""
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return event
    kind = event["type"]
    if kind == "MESSAGES_SNAPSHOT" and isinstance(event.get("messages"), list):
        return {**event, "messages": [_consistent_message(item) for item in event["messages"]]}
    if kind == "RUN_STARTED" and isinstance(event.get("input"), dict):
        echo = event["input"]
        if isinstance(echo.get("messages"), list):
            echo = {**echo, "messages": [_consistent_message(item) for item in echo["messages"]]}
        return {**event, "input": echo}
    for key in ("toolCallId", "messageId", "entityId"):
        if key in event:
            event = _owned(event, event[key], always=kind in _MAKERS)
            break
    parent = event.get("parentMessageId")
    if isinstance(parent, str) and OWNERS.get(parent) != event.get("subagentRunId"):
        return {key: value for key, value in event.items() if key != "parentMessageId"}
    return event


def _consistent_message(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    message = _owned(message, message.get("id"), always=True)
    owner = message.get("subagentRunId")
    calls = message.get("toolCalls")
    if isinstance(calls, list) and any(OWNERS.get(call["id"]) != owner for call in calls):
        del message["toolCalls"]
    return message


@st.composite
def attributed(draw: Any, events: st.SearchStrategy[Event]) -> Event:
    """An event that may name the subagent it comes from."""
    event = draw(events)
    if draw(st.integers(0, 5)) == 0 and not event["type"].startswith("RUN_"):
        event.setdefault("subagentRunId", draw(subagent_ids))
    return event


content_events = st.one_of(
    text_events, text_events, call_events, call_events, state_events, reasoning_events, other_events
)
proper_events = attributed(
    st.one_of(
        content_events,
        content_events,
        subagent_events,
        chunk_events,
        snapshot_events,
        run_finished,
        run_started,
        run_error,
    )
)


@st.composite
def broken_events(draw: Any) -> Any:
    """Something that is nearly an event, or no event at all."""
    event = draw(proper_events)
    how = draw(st.integers(0, 5))
    if how == 0:
        return draw(json_values | st.just(object()))
    if how == 1:
        return {**event, "type": draw(json_values | st.just("SOMETHING_NEW"))}
    key = draw(st.sampled_from(sorted(event)))
    if how == 2:
        return {name: value for name, value in event.items() if name != key}
    if how == 3:
        return {**event, draw(texts): draw(json_values)}
    if how == 4:
        return {**event, "timestamp": draw(json_values), "name": None, "rawEvent": None}
    return {**event, key: draw(json_values)}


@st.composite
def agent_output(draw: Any, *, attributed_well: bool = False) -> list[Any]:
    """Whatever an agent may yield: mostly events where they belong, some out of order or broken."""
    order = RunOrder()
    items: list[Any] = []
    for number in range(draw(st.integers(0, 30))):
        if number == 0 and draw(st.integers(0, 9)):
            event = draw(run_started)
        else:
            event = draw(broken_events() if draw(st.integers(0, 29)) == 29 else proper_events)
        if attributed_well:
            event = consistent(event)
        try:
            order.check(event)
        except OrderError:
            if draw(st.integers(0, 9)):
                continue
        except (AttributeError, KeyError, TypeError):
            pass
        items.append(event)
    return items


@st.composite
def orderly(
    draw: Any, events: st.SearchStrategy[Event] = content_events, runs: int = 2
) -> list[Event]:
    """Runs in proper order, the last one possibly without an end: random events that fit."""
    order = RunOrder()
    stream: list[Event] = []

    def put(event: Event) -> None:
        if event["type"] == "MESSAGES_SNAPSHOT" and (order.texts or order.tool_calls):
            return  # Says nothing clear about what is being streamed.
        for item in (*order.before(event), event):
            try:
                order.check(item)
            except OrderError:
                return
            stream.append(item)

    for _ in range(draw(st.integers(1, runs))):
        put(draw(run_started))
        for _ in range(draw(st.integers(0, 25))):
            put(draw(events))
        if draw(st.integers(0, 2)) == 0:
            put(draw(run_error))
        else:
            for message_id in list(order.texts):
                put({"type": "TEXT_MESSAGE_END", "messageId": message_id})
            for call_id in list(order.tool_calls):
                put({"type": "TOOL_CALL_END", "toolCallId": call_id})
            put(draw(run_finished))
        if not order.finished:
            break
    return stream


OPEN_IDS = [f"{prefix}{n}" for prefix in "mc" for n in range(3)]
"""Ids of all that can be open at the end of a random stream and needs an end."""
