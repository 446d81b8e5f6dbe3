"""Agents made of one async generator function, and what a run context tells them."""

from __future__ import annotations

import pytest
from ag_ui.core import RunAgentInput

from copilotkit_django.agents import Agent, FunctionAgent, RunContext, RunInput, agent
from tests.talk import run_input, user_message


@agent
async def greeter(context):
    """Greets.

    At length.
    """
    yield context.started()


@agent(name="other", description="Says it.", capabilities={"streaming": {"supported": True}})
async def configured(context):
    yield context.started()


def context_of(**fields):
    return RunContext(RunInput.from_wire(run_input(**fields)), agent_id="default")


async def test_agent__bare_decorator():
    """Name and description default to the function's."""
    assert isinstance(greeter, FunctionAgent)
    assert greeter.name == "greeter"
    assert greeter.description.startswith("Greets.")
    assert await greeter.capabilities() is None


async def test_agent__configured_decorator():
    """What the decorator is told wins."""
    assert configured.name == "other"
    assert configured.description == "Says it."
    assert await configured.capabilities() == {"streaming": {"supported": True}}


async def test_run__yields_events():
    """The function is called with the context of the run."""
    context = context_of(run="r7")

    events = [event async for event in greeter.run(context)]

    assert events == [{"type": "RUN_STARTED", "threadId": "t1", "runId": "r7"}]


def test_clone__shares_the_function():
    """A function has no state, so nothing is copied."""
    assert greeter.clone() is greeter


async def coroutine(context):
    return None


@pytest.mark.parametrize("function", [coroutine, lambda context: None, None, 7])
def test_agent__no_generator(function):
    """Anything but an async generator function is refused where it is written."""
    with pytest.raises(TypeError, match="async generator function"):
        FunctionAgent(function)


def test_clone__default():
    """The default clone shares nothing with the registered agent."""

    class Remembering(Agent):
        def __init__(self):
            self.heard = []

        async def run(self, context):
            yield context.started()

    registered = Remembering()
    clone = registered.clone()
    clone.heard.append("x")

    assert registered.heard == []


class TestContext:
    def test_shortcuts(self):
        """The ids, the messages and the state of the input are at hand."""
        context = context_of(text="hi", thread="t7", run="r7", state={"n": 1})

        assert (context.thread_id, context.run_id) == ("t7", "r7")
        assert [message["content"] for message in context.messages] == ["hi"]
        assert context.state == {"n": 1}

    @pytest.mark.parametrize(
        ("messages", "expected"),
        [
            ([], ""),
            ([{"id": "a", "role": "assistant", "content": "x"}], ""),
            ([user_message("one"), user_message("two")], "two"),
            ([user_message("one"), {"id": "a", "role": "assistant"}], "one"),
            (
                [
                    {
                        "id": "u",
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "a"},
                            {"type": "binary", "mimeType": "image/png", "id": "f"},
                            {"type": "text", "text": "b"},
                        ],
                    }
                ],
                "ab",
            ),
        ],
    )
    def test_last_user_text(self, messages, expected):
        """The newest text of the user, whatever form it has."""
        assert context_of(messages=messages).last_user_text == expected

    def test_borders_of_a_run(self):
        """The events every run begins and ends with come with the ids of the run."""
        context = context_of()
        ids = {"threadId": "t1", "runId": "r1"}

        assert context.started(parentRunId="r0") == {
            "type": "RUN_STARTED",
            **ids,
            "parentRunId": "r0",
        }
        assert context.finished(result=1) == {"type": "RUN_FINISHED", **ids, "result": 1}


class TestInput:
    def test_to_wire__round_trip(self):
        """An input is sent on as it came."""
        wire = run_input(
            parentRunId="r0",
            protocolVersion="1.0",
            resume=[{"interruptId": "i", "status": "resolved"}],
        )

        assert RunInput.from_wire(wire).to_wire() == wire

    def test_to_wire__absent_fields(self):
        """What the client left out is left out again."""
        wire = run_input(state=..., forwardedProps=...)

        assert RunInput.from_wire(wire).to_wire() == wire

    def test_to_wire__null(self):
        """Null properties are not the same as none, and neither are they for an echo."""
        wire = run_input(forwardedProps=None)

        assert RunInput.from_wire(wire).to_wire() == wire

    @pytest.mark.parametrize("nothing", [..., None])
    def test_for_agent__nothing_sent(self, nothing):
        """An agent always finds properties, and None where there is no state."""
        wire = run_input(state=nothing, forwardedProps=nothing)

        found = RunInput.from_wire(wire).for_agent()

        assert found.forwarded_props == {}
        assert found.state is None
        assert found.to_wire() == run_input(state=...)

    @pytest.mark.parametrize("value", [{}, {"a": 1}, "text", [1], 0, False])
    def test_for_agent__as_sent(self, value):
        """What the client sent is not touched."""
        wire = run_input(state=value, forwardedProps=value)

        assert RunInput.from_wire(wire).for_agent().to_wire() == wire

    def test_for_agent__not_its_business(self):
        """Activity messages and the run before this one stay between server and client."""
        activity = {"id": "a1", "role": "activity", "activityType": "PLAN", "content": {}}
        said = {"id": "u1", "role": "user", "content": "hi"}
        sent = RunInput.from_wire(run_input(messages=[activity, said], parentRunId="r0"))

        assert sent.for_agent().to_wire() == run_input(messages=[said])
        assert sent.to_wire()["messages"] == [activity, said]

    def test_to_model(self):
        """The input is there as the model of ag-ui-protocol, too."""
        model = RunInput.from_wire(run_input(state=..., forwardedProps=...)).to_model()

        assert isinstance(model, RunAgentInput)
        assert model.thread_id == "t1"
        assert model.messages[0].content == "hi"
