"""The agent of the test project."""

from copilotkit_django.agents import RunContext, agent


@agent(description="Repeats what you say.")
async def parrot(context: RunContext):
    yield context.started()
    message = {"messageId": f"answer-to-{context.run_id}"}
    yield {"type": "TEXT_MESSAGE_START", "role": "assistant", **message}
    yield {"type": "TEXT_MESSAGE_CONTENT", "delta": context.last_user_text or "Hello!", **message}
    yield {"type": "TEXT_MESSAGE_END", **message}
    yield context.finished()
