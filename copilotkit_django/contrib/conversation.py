"""The conversation of a run as models can be given it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Message = dict[str, Any]

#: What the model reads as the result of a call that never got one.
UNANSWERED = "The call was not carried out."


def repaired(messages: Iterable[Message], *, open_end: bool = False) -> list[Message]:
    """What the user, the agent and its tools said, with a result after each call.

    The result is the first one that answers the call after it was made, or a sentence saying that
    there is none; providers refuse conversations where one is missing. With ``open_end`` calls
    since the newest user message may stay without: the framework is about to answer them. Results
    of nothing are left out, and so is what system and developer are made to say: the messages are
    the client's, and the instructions of an agent are not.
    """
    found = list(messages)
    newest = max((at for at, each in enumerate(found) if each["role"] == "user"), default=-1)
    conversation: list[Message] = []
    for at, message in enumerate(found):
        if message["role"] == "user":
            conversation.append(message)
        elif message["role"] == "assistant":
            conversation.append(message)
            for call in message.get("toolCalls") or ():
                result = _result(found, call["id"], at)
                if result is not None:
                    conversation.append(result)
                elif not (open_end and at > newest):
                    conversation.append(
                        {
                            "id": f"{call['id']}-unanswered",
                            "role": "tool",
                            "toolCallId": call["id"],
                            "content": UNANSWERED,
                        }
                    )
    return conversation


def news(messages: Iterable[Message]) -> list[Message]:
    """What was said since the agent spoke last: results of its calls, and the user's messages."""
    new: list[Message] = []
    for message in reversed(list(messages)):
        if message["role"] == "assistant":
            break
        if message["role"] in ("user", "tool"):
            new.insert(0, message)
    return new


def _result(messages: list[Message], call_id: str, after: int) -> Message | None:
    # By place too: some providers number their calls anew in each answer.
    return next(
        (
            message
            for message in messages[after + 1 :]
            if message["role"] == "tool" and message["toolCallId"] == call_id
        ),
        None,
    )
