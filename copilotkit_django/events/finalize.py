"""The ending of a run that did not end itself."""

from typing import Any, Final

from copilotkit_django.events.order import RunOrder
from copilotkit_django.events.wire import encode

Event = dict[str, Any]

STOPPED_MESSAGE: Final = "Run stopped by user"
INCOMPLETE_MESSAGE: Final = "Run ended without emitting a terminal event"

#: Status and reason in the results of calls that were left unanswered.
STOPPED: Final = ("stopped", "stop_requested")
FAILED: Final = ("error", "missing_terminal_event")

_ADDED_RESULTS: Final = tuple(
    f'{{"status":"{status}","reason":"{reason}",' for status, reason in (STOPPED, FAILED)
)


def finalize(
    order: RunOrder,
    *,
    thread_id: str,
    run_id: str,
    stopped: bool,
    message: str | None = None,
    code: str = "INCOMPLETE_STREAM",
) -> list[Event]:
    """Return the events that end a run properly; none if it has its terminal event.

    Whatever is open is closed and every unanswered tool call answered, then comes RUN_FINISHED
    for a stopped run (after a RUN_STARTED if the agent sent nothing), RUN_ERROR for any other.
    ``message`` goes into the tool results, the errors of subagents and RUN_ERROR; ``code`` is
    that of RUN_ERROR. ``order`` is only read: pass the events through it like the agent's.
    """
    if order.finished:
        return []
    if message is None:
        message = STOPPED_MESSAGE if stopped else INCOMPLETE_MESSAGE
    events: list[Event] = []
    if stopped and not order.started:
        events.append({"type": "RUN_STARTED", "threadId": thread_id, "runId": run_id})
    # Ends name no subagent: nobody needs it, and a snapshot may have given the message to another.
    events += ({"type": "TEXT_MESSAGE_END", "messageId": message_id} for message_id in order.texts)
    result = _tool_result(message, stopped=stopped)
    for call_id, start in order.calls.items():
        if call_id in order.tool_calls:
            events.append({"type": "TOOL_CALL_END", "toolCallId": call_id})
        if call_id not in order.answered:
            answer = {
                "type": "TOOL_CALL_RESULT",
                "toolCallId": call_id,
                "messageId": f"{call_id}-result",
                "role": "tool",
                "content": result,
            }
            events.append(_attributed(answer, start))
    events += order.closing_events()
    for (_, name), start in reversed(order.steps.items()):
        events.append(_attributed({"type": "STEP_FINISHED", "stepName": name}, start))
    # A subagent is started by one that is open before it, so the last one ends first.
    for subagent_id in reversed(order.subagents):
        events.append({"type": "SUBAGENT_ERROR", "subagentRunId": subagent_id, "message": message})
    if stopped:
        events.append({"type": "RUN_FINISHED", "threadId": thread_id, "runId": run_id})
    else:
        events.append({"type": "RUN_ERROR", "message": message, "code": code})
    return events


def is_added_result(event: Event) -> bool:
    """Whether a TOOL_CALL_RESULT was added by `finalize`: no tool has said that."""
    content = event["content"]
    return (
        event["messageId"] == f"{event['toolCallId']}-result"
        and isinstance(content, str)
        and content.startswith(_ADDED_RESULTS)
    )


def _attributed(event: Event, start: Event) -> Event:
    if "subagentRunId" in start:
        event["subagentRunId"] = start["subagentRunId"]
    return event


def _tool_result(message: str, *, stopped: bool) -> str:
    status, reason = STOPPED if stopped else FAILED
    return encode({"status": status, "reason": reason, "message": message}).decode()
