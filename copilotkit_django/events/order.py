"""The order events may come in: what the verifiers of AG-UI 0.0.59 and 1.0 both accept."""

from collections.abc import Callable
from typing import Any, Final

Event = dict[str, Any]
Step = tuple[str | None, str]


class OrderError(ValueError):
    """An event that may not come now. The text is ours and may be shown to the client."""


class RunOrder:
    """Follows a stream of valid events and knows what is open in it.

    A stream holds one run after the other. The open things are dicts in the order of their
    starts, holding the events that opened them; after a terminal event all of them are empty.
    """

    __slots__ = (
        "_closed_subagents",
        "_failed",
        "_owners",
        "answered",
        "calls",
        "finished",
        "reasonings",
        "spans",
        "started",
        "steps",
        "subagents",
        "texts",
        "tool_calls",
    )

    def __init__(self) -> None:
        self.started = False
        """A RUN_STARTED was seen in this stream."""
        self.finished = False
        """A terminal event was seen, and no RUN_STARTED since."""
        self.texts: dict[str, Event] = {}
        self.tool_calls: dict[str, Event] = {}
        """Tool calls without TOOL_CALL_END."""
        self.calls: dict[str, Event] = {}
        """Tool calls that still lack their end, their result or both."""
        self.answered: set[str] = set()
        """Ids in ``calls`` that have their result and lack their end."""
        self.reasonings: dict[str, Event] = {}
        self.spans: dict[str, Event] = {}
        """What REASONING_START opened; a span and a message in it may share one id."""
        self.steps: dict[Step, Event] = {}
        """Keyed by subagent and name: an agent and its subagent may have steps of one name."""
        self.subagents: dict[str, Event] = {}
        self._failed = False
        self._reset()

    def check(self, event: Event) -> None:
        """Take the next event of the stream, or raise OrderError and stay as before."""
        kind = event["type"]
        # Nothing is open outside a run, so these two need no look at the state of the run.
        if kind == "TEXT_MESSAGE_CONTENT":
            if event["messageId"] in self.texts and "subagentRunId" not in event:
                return
        elif (
            kind == "TOOL_CALL_ARGS"
            and event["toolCallId"] in self.tool_calls
            and "subagentRunId" not in event
        ):
            return
        self._check_run(kind)
        rule = _RULES.get(kind)
        if rule is not None:
            rule(self, event)

    def before(self, event: Event) -> list[Event]:
        """Return the events to send first so that clients of AG-UI 1.0 accept ``event`` as well.

        0.0.59 and the agents written for it do not look at the order of reasoning events, 1.0
        does: what is open is closed before RUN_FINISHED and before it starts anew, and what was
        never opened is opened. ``check`` holds every event to the rules of 1.0, so give it
        these events, then the event. Empty for every other event.
        """
        kind = event["type"]
        if not self.started or self.finished:
            return []
        if kind == "RUN_FINISHED":
            return self.closing_events()
        if kind not in _REASONING:
            return []
        message_id = event["messageId"]
        opener, closer, needs_open = _REASONING[kind]
        opened = self.spans if opener == "REASONING_START" else self.reasonings
        if (message_id in opened) is needs_open:
            return []
        if not needs_open:
            return [{"type": closer, "messageId": message_id}]
        start: Event = {"type": opener, "messageId": message_id}
        if opener == "REASONING_MESSAGE_START":
            start["role"] = "reasoning"
        if "subagentRunId" in event:
            start["subagentRunId"] = event["subagentRunId"]
        return [start]

    def closing_events(self) -> list[Event]:
        """Return the ends of open reasoning, which only 1.0 asks for before RUN_FINISHED.

        Open texts, tool calls, steps and subagents are not closed: RUN_FINISHED while they are
        open is an error to every client.
        """
        return [
            *({"type": "REASONING_MESSAGE_END", "messageId": key} for key in self.reasonings),
            *({"type": "REASONING_END", "messageId": key} for key in self.spans),
        ]

    def _reset(self) -> None:
        self.texts.clear()
        self.tool_calls.clear()
        self.calls.clear()
        self.answered.clear()
        self.reasonings.clear()
        self.spans.clear()
        self.steps.clear()
        self.subagents.clear()
        self._closed_subagents: set[str] = set()
        self._owners: dict[tuple[str, str], str | None] = {}

    def _check_run(self, kind: str) -> None:
        if kind == "RUN_STARTED":
            if self.started and not self.finished:
                raise OrderError("RUN_STARTED while a run is open: it must end first.")
        elif self.finished:
            if self._failed:
                raise OrderError(f"{kind} after RUN_ERROR: the run is over.")
            if kind != "RUN_ERROR":
                raise OrderError(f"{kind} after RUN_FINISHED: the run is over.")
        elif not self.started and kind != "RUN_ERROR":
            raise OrderError(f"{kind} before RUN_STARTED: a run starts with RUN_STARTED.")

    def _own(self, what: str, entity_id: str, event: Event) -> None:
        """Refuse an event that names another subagent than the one a thing belongs to."""
        owner = event.get("subagentRunId")
        if owner is not None and self._owners.get((what, entity_id), owner) != owner:
            raise OrderError(
                f"{event['type']}: {what} {entity_id!r} does not belong to subagent {owner!r}."
            )

    def _claim(self, what: str, entity_id: str, event: Event) -> None:
        self._own(what, entity_id, event)
        self._owners.setdefault((what, entity_id), event.get("subagentRunId"))

    def _seed(self, messages: list[Event], *, overwrite: bool) -> None:
        """Learn whose the messages of a snapshot or of the run's input are."""
        for message in messages:
            owner = message.get("subagentRunId")
            role = message["role"]
            what = role if role in ("reasoning", "activity") else "message"
            keys = [(what, message["id"])]
            keys += (("tool call", call["id"]) for call in message.get("toolCalls") or ())
            for key in keys:
                if overwrite or key not in self._owners:
                    self._owners[key] = owner

    def _run_started(self, event: Event) -> None:
        self._reset()
        self.started, self.finished, self._failed = True, False, False
        self._seed((event.get("input") or {}).get("messages") or [], overwrite=False)

    def _run_finished(self, event: Event) -> None:
        for what, opened in (
            ("steps", [name for _, name in self.steps]),
            ("text messages", self.texts),
            ("reasoning messages", self.reasonings),
            ("reasoning spans", self.spans),
            ("tool calls", self.tool_calls),
            ("subagents", self.subagents),
        ):
            if opened:
                names = ", ".join(repr(name) for name in list(opened)[:5])
                raise OrderError(f"RUN_FINISHED while {what} are open: {names}.")
        self.finished = True
        self._reset()

    def _run_error(self, event: Event) -> None:
        self.finished = self._failed = True
        self._reset()

    def _text_start(self, event: Event) -> None:
        message_id = event["messageId"]
        if message_id in self.texts:
            raise OrderError(f"TEXT_MESSAGE_START: message {message_id!r} is open already.")
        self._claim("message", message_id, event)
        self.texts[message_id] = event

    def _text_go_on(self, event: Event) -> None:
        message_id = event["messageId"]
        if message_id not in self.texts:
            raise OrderError(f"{event['type']}: message {message_id!r} is not open.")
        self._own("message", message_id, event)
        if event["type"] == "TEXT_MESSAGE_END":
            del self.texts[message_id]

    def _call_start(self, event: Event) -> None:
        call_id = event["toolCallId"]
        if call_id in self.tool_calls:
            raise OrderError(f"TOOL_CALL_START: tool call {call_id!r} is open already.")
        parent = ("message", event.get("parentMessageId"))
        owner = event.get("subagentRunId")
        if parent in self._owners:
            inherited = self._owners[parent]
            if owner is not None and owner != inherited:
                raise OrderError(
                    f"TOOL_CALL_START: message {parent[1]!r} does not belong to subagent {owner!r}."
                )
            if self._owners.get(("tool call", call_id), inherited) != inherited:
                raise OrderError(
                    f"TOOL_CALL_START: tool call {call_id!r} and message {parent[1]!r}"
                    " do not belong to the same subagent."
                )
            owner = inherited
        self._own("tool call", call_id, event)
        self._owners.setdefault(("tool call", call_id), owner)
        self.tool_calls[call_id] = event
        self.calls[call_id] = event
        self.answered.discard(call_id)

    def _call_go_on(self, event: Event) -> None:
        call_id = event["toolCallId"]
        if call_id not in self.tool_calls:
            raise OrderError(f"{event['type']}: tool call {call_id!r} is not open.")
        self._own("tool call", call_id, event)
        if event["type"] == "TOOL_CALL_END":
            del self.tool_calls[call_id]
            if call_id in self.answered:
                self.answered.remove(call_id)
                del self.calls[call_id]

    def _call_result(self, event: Event) -> None:
        self._owners[("message", event["messageId"])] = event.get("subagentRunId")
        call_id = event["toolCallId"]
        if call_id in self.tool_calls:
            self.answered.add(call_id)
        else:
            self.calls.pop(call_id, None)

    def _reasoning_start(self, event: Event) -> None:
        message_id = event["messageId"]
        is_span = event["type"] == "REASONING_START"
        opened = self.spans if is_span else self.reasonings
        if message_id in opened:
            raise OrderError(f"{event['type']}: reasoning {message_id!r} is open already.")
        self._claim("reasoning", message_id, event)
        opened[message_id] = event

    def _reasoning_go_on(self, event: Event) -> None:
        message_id = event["messageId"]
        is_span = event["type"] == "REASONING_END"
        opened = self.spans if is_span else self.reasonings
        if message_id not in opened:
            raise OrderError(f"{event['type']}: reasoning {message_id!r} is not open.")
        self._own("reasoning", message_id, event)
        if event["type"] != "REASONING_MESSAGE_CONTENT":
            del opened[message_id]

    def _encrypted_value(self, event: Event) -> None:
        entity_id = event["entityId"]
        if event["subtype"] == "tool-call":
            self._own("tool call", entity_id, event)
        elif ("message", entity_id) in self._owners:
            self._own("message", entity_id, event)
        else:
            self._own("reasoning", entity_id, event)

    def _activity_snapshot(self, event: Event) -> None:
        key = ("activity", event["messageId"])
        if event.get("replace") is not False or key not in self._owners:
            self._owners[key] = event.get("subagentRunId")

    def _activity_delta(self, event: Event) -> None:
        self._own("activity", event["messageId"], event)

    def _messages_snapshot(self, event: Event) -> None:
        self._seed(event["messages"], overwrite=True)

    def _step_started(self, event: Event) -> None:
        step = (event.get("subagentRunId"), event["stepName"])
        if step in self.steps:
            raise OrderError(f"STEP_STARTED: step {step[1]!r} is open already.")
        self.steps[step] = event

    def _step_finished(self, event: Event) -> None:
        step = (event.get("subagentRunId"), event["stepName"])
        if step not in self.steps:
            raise OrderError(f"STEP_FINISHED: step {step[1]!r} is not open.")
        del self.steps[step]

    def _subagent_started(self, event: Event) -> None:
        subagent_id = event["subagentRunId"]
        if subagent_id in self.subagents:
            raise OrderError(f"SUBAGENT_STARTED: subagent {subagent_id!r} is open already.")
        if subagent_id in self._closed_subagents:
            raise OrderError(f"SUBAGENT_STARTED: subagent {subagent_id!r} has ended in this run.")
        parent = event.get("parentSubagentRunId")
        if (
            parent is not None
            and parent not in self.subagents
            and parent not in self._closed_subagents
        ):
            raise OrderError(f"SUBAGENT_STARTED: there is no subagent {parent!r} in this run.")
        self.subagents[subagent_id] = event

    def _subagent_ended(self, event: Event) -> None:
        subagent_id = event["subagentRunId"]
        if subagent_id not in self.subagents:
            raise OrderError(f"{event['type']}: subagent {subagent_id!r} is not open.")
        del self.subagents[subagent_id]
        self._closed_subagents.add(subagent_id)


#: Per reasoning event: what opens, what closes, and whether it must be open when the event comes.
_REASONING: Final[dict[str, tuple[str, str, bool]]] = {
    "REASONING_START": ("REASONING_START", "REASONING_END", False),
    "REASONING_END": ("REASONING_START", "REASONING_END", True),
    "REASONING_MESSAGE_START": ("REASONING_MESSAGE_START", "REASONING_MESSAGE_END", False),
    "REASONING_MESSAGE_CONTENT": ("REASONING_MESSAGE_START", "REASONING_MESSAGE_END", True),
    "REASONING_MESSAGE_END": ("REASONING_MESSAGE_START", "REASONING_MESSAGE_END", True),
}

_RULES: Final[dict[str, Callable[[RunOrder, Event], None]]] = {
    "RUN_STARTED": RunOrder._run_started,
    "RUN_FINISHED": RunOrder._run_finished,
    "RUN_ERROR": RunOrder._run_error,
    "STEP_STARTED": RunOrder._step_started,
    "STEP_FINISHED": RunOrder._step_finished,
    "TEXT_MESSAGE_START": RunOrder._text_start,
    "TEXT_MESSAGE_CONTENT": RunOrder._text_go_on,
    "TEXT_MESSAGE_END": RunOrder._text_go_on,
    "TOOL_CALL_START": RunOrder._call_start,
    "TOOL_CALL_ARGS": RunOrder._call_go_on,
    "TOOL_CALL_END": RunOrder._call_go_on,
    "TOOL_CALL_RESULT": RunOrder._call_result,
    "MESSAGES_SNAPSHOT": RunOrder._messages_snapshot,
    "ACTIVITY_SNAPSHOT": RunOrder._activity_snapshot,
    "ACTIVITY_DELTA": RunOrder._activity_delta,
    "REASONING_START": RunOrder._reasoning_start,
    "REASONING_MESSAGE_START": RunOrder._reasoning_start,
    "REASONING_MESSAGE_CONTENT": RunOrder._reasoning_go_on,
    "REASONING_MESSAGE_END": RunOrder._reasoning_go_on,
    "REASONING_END": RunOrder._reasoning_go_on,
    "REASONING_ENCRYPTED_VALUE": RunOrder._encrypted_value,
    "SUBAGENT_STARTED": RunOrder._subagent_started,
    "SUBAGENT_FINISHED": RunOrder._subagent_ended,
    "SUBAGENT_ERROR": RunOrder._subagent_ended,
}
