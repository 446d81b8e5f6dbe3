"""The to-do assistant: Django's ORM, state shared with the page, page tools, approvals."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from asgiref.sync import sync_to_async

from copilotkit_django.agents import RunContext, Tool, agent
from copilotkit_django.agents.tools import ToolCall, ToolSession, resumed
from demo_project.agents import commands, speech
from demo_project.agents.commands import find, parse
from demo_project.agents.speech import Event, say
from demo_project.agents.todo_tools import (
    change_todo,
    create_todo,
    delete_todos,
    mark_todos,
    state,
)
from demo_project.models import Todo

#: How the page names the context entry about its looks.
LOOK = "Look of the page"

HELP = """\
I keep your to-do list, and you can talk to me like this:

- **add** buy milk, call Ada and water the plants
- **what's open**, **what's done**, **show all**
- **done** milk, **done** 2, or *the plants are done*
- **reopen** milk
- **rename** milk **to** oat milk
- **delete** milk, **delete done** (I ask first)
- **make the page** blue, *dark mode*

Words in quotation marks stay together: add “salt and pepper”.
"""

HINTS = (
    "add buy stamps",
    "what's open",
    "dark mode",
    "make the page green",
    "done 1",
)


@agent(name="To-do assistant", description="Keeps a to-do list and changes the page.")
async def todo_assistant(context: RunContext) -> AsyncIterator[Event]:
    yield context.started()
    if speech.is_suggestion_run(context.input.forwarded_props):
        todos, dark = await load(context.scope), is_dark(context.input.context)
        async for event in speech.suggest(suggestions(todos, dark=dark)):
            yield event
        yield context.finished()
        return
    yield await snapshot(context.scope)
    turn = Turn(context)
    async for event in turn.events():
        yield event
    yield context.finished(**turn.ending)


async def load(scope: str) -> list[Todo]:
    return [todo async for todo in Todo.objects.filter(scope=scope)]


async def snapshot(scope: str) -> Event:
    return {"type": "STATE_SNAPSHOT", "snapshot": await sync_to_async(state)(scope)}


class Turn:
    """One answer: to a message, to a tool's result or to a decision."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.scope = context.scope
        self.session = ToolSession(context)
        #: The message all calls of this answer belong to.
        self.message = speech.new_id("msg")
        #: What RUN_FINISHED carries beside the ids.
        self.ending: dict[str, Any] = {}

    def call(self, tool: Tool, **arguments: Any) -> ToolCall:
        """A call of a tool, as a model would make it: checked, recorded, shown on the page."""
        return ToolCall(self.session, tool, arguments, parent_message_id=self.message)

    def events(self) -> AsyncIterator[Event]:
        if self.context.input.resume:
            return self.resume()
        if results := tool_results(self.context.messages):
            return say(tool_answer(results))
        command = parse(self.context.last_user_text)
        match command:
            case commands.Add():
                return self.add(command)
            case commands.Mark():
                return self.mark(command)
            case commands.Delete():
                return self.ask_to_delete(command)
            case commands.Rename():
                return self.rename(command)
            case commands.Show():
                return self.show(command)
            case commands.Appearance():
                return self.restyle(command)
            case _:
                return say(small_talk(command))

    async def add(self, command: commands.Add) -> AsyncIterator[Event]:
        added, said = [], []
        for title in command.titles:
            call = self.call(create_todo, title=title[:200])
            async for event in call.events():
                yield event
            if failed(call):
                said.append(f"{call.result.content} Try **delete done**.")
                break
            added.append(title[:200])
        if added:
            said.insert(0, f"Added {names(added)}.")
        async for event in say(" ".join(said)):
            yield event

    async def mark(self, command: commands.Mark) -> AsyncIterator[Event]:
        found = find(command.targets, await load(self.scope), prefer_done=not command.done)
        todos = [todo for todo in found.items if todo.done != command.done]
        said = []
        if todos:
            ids = [todo.pk for todo in todos]
            async for event in self.call(mark_todos, ids=ids, done=command.done).events():
                yield event
            verb = "Ticked off" if command.done else "Reopened"
            said.append(f"{verb} {names(todo.title for todo in todos)}.")
        elif found.items:
            state_word = "done" if command.done else "open"
            said.append(f"{names(todo.title for todo in found.items)} was {state_word} already.")
        elif not found.missing and not found.ambiguous:
            said.append("There is nothing to change.")
        if todos and command.done and not await self.count_open():
            said.append("That was the last one. Enjoy the rest of your day!")
        said += unclear(found)
        async for event in say(" ".join(said)):
            yield event

    async def rename(self, command: commands.Rename) -> AsyncIterator[Event]:
        found = find((command.target,), await load(self.scope))
        if not found.items:
            async for event in say(" ".join(unclear(found))):
                yield event
            return
        todo, title = found.items[0], command.title[:200]
        call = self.call(change_todo, id=todo.pk, changes={"title": title})
        async for event in call.events():
            yield event
        renamed = f"Renamed {names([todo.title])} to {names([title])}."
        async for event in say(call.result.content if failed(call) else renamed):
            yield event

    async def ask_to_delete(self, command: commands.Delete) -> AsyncIterator[Event]:
        todos = await load(self.scope)
        found: commands.Found[Todo] | None = None
        if command.which == "done":
            todos = [todo for todo in todos if todo.done]
        elif command.which == "named":
            found = find(command.targets, todos)
            todos = found.items
        if not todos:
            text = " ".join(unclear(found)) if found else ""
            async for event in say(text or "There is nothing to delete."):
                yield event
            return
        async for event in say(
            f"Deleting cannot be undone, so please confirm: {names(todo.title for todo in todos)}."
        ):
            yield event
        call = self.call(delete_todos, ids=[todo.pk for todo in todos])
        async for event in call.events():
            yield event
        if call.interrupt:
            self.ending = {"outcome": {"type": "interrupt", "interrupts": [call.interrupt]}}

    async def resume(self) -> AsyncIterator[Event]:
        calls = resumed(self.session, [delete_todos])
        if not calls:
            async for event in say("That was answered before, or never asked."):
                yield event
        for call in calls:
            async for event in call.events():
                yield event
            if not failed(call):
                titles = json.loads(call.result.content)["deleted"]
                text = f"Deleted {names(titles)}."
            elif call.refused:
                text = "Alright, everything stays."
            else:
                text = call.result.content
            async for event in say(text):
                yield event

    async def show(self, command: commands.Show) -> AsyncIterator[Event]:
        todos = await load(self.scope)
        async for event in say(listing(todos, command.which)):
            yield event

    async def restyle(self, command: commands.Appearance) -> AsyncIterator[Event]:
        wishes = [
            ("setAccent", {"color": command.accent} if command.accent else None),
            ("setTheme", {"mode": command.mode} if command.mode else None),
        ]
        offered = {tool.get("name") for tool in self.context.input.tools}
        calls = [(tool, arguments) for tool, arguments in wishes if arguments and tool in offered]
        if not calls:
            async for event in say("This page has no paint on offer, so it stays as it is."):
                yield event
        for tool, arguments in calls:
            async for event in speech.call(tool, arguments):
                yield event

    async def count_open(self) -> int:
        return await Todo.objects.filter(scope=self.scope, done=False).acount()


def failed(call: ToolCall) -> bool:
    return call.result is not None and call.result.error


def tool_results(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The (tool, result) pairs the page has just reported, if that is what this run is for."""
    tools = {
        tool_call["id"]: tool_call["function"]["name"]
        for message in messages
        for tool_call in message.get("toolCalls") or ()
    }
    results: list[tuple[str, str]] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        results.insert(0, (tools.get(message["toolCallId"], ""), str(message.get("content", ""))))
    return results


def tool_answer(results: Sequence[tuple[str, str]]) -> str:
    if failed := [result for _, result in results if result.startswith("Error:")]:
        return f"The page could not do that. It says: {failed[0].removeprefix('Error:').strip()}"
    return random.choice(  # noqa: S311
        ("Done. How do you like it?", "There you go. Better?", "Done, a fresh coat of paint.")
    )


def small_talk(command: commands.Command) -> str:
    match command:
        case commands.Help():
            return HELP
        case commands.Greeting():
            return "Hello! I keep your to-do list. Say **add buy milk**, or **help** for the rest."
        case commands.Thanks():
            return "You're welcome!"
        case commands.Incomplete(verb="add"):
            return "Gladly, but what? For example: **add buy milk and bread**."
        case commands.Incomplete(verb="rename"):
            return "Tell me which one and its new name: **rename milk to oat milk**."
        case commands.Incomplete(verb="paint"):
            colours = sorted(set(commands.ACCENTS.values()))
            return f"I have {', '.join(colours)}, and light and dark. **Make the page teal?**"
        case commands.Incomplete(verb=verb):
            return f"Which one? For example: **{verb} milk**, or its number: **{verb} 1**."
        case commands.Unknown(text=text) if 0 < len(text.split()) <= 6 and "?" not in text:
            return f"If that was a to-do, say **add {text}**. **help** shows what else I know."
        case _:
            hint = random.choice(HINTS)  # noqa: S311
            return (
                "I only know about your list and the colours of this page, and that was neither. "
                f"Try **{hint}**, or say **help** to see everything I understand."
            )


def unclear(found: commands.Found[Todo]) -> list[str]:
    """Sentences about the references that could not be followed."""
    said = [
        f"“{target}” could be {names((todo.title for todo in todos), last='or')}: which one?"
        for target, todos in found.ambiguous.items()
    ]
    if found.missing:
        said.append(f"There is no {names(found.missing, last='or')} on the list.")
    return said


def listing(todos: Sequence[Todo], which: str) -> str:
    numbered = list(enumerate(todos, start=1))
    if which != "all":
        numbered = [(number, todo) for number, todo in numbered if todo.done == (which == "done")]
    if not todos:
        return "Your list is empty. **add buy milk** would change that."
    if not numbered:
        return "Nothing is done yet." if which == "done" else "Nothing is open. All done!"
    lines = [
        f"- **{number}** · ~~{todo.title}~~" if todo.done else f"- **{number}** · {todo.title}"
        for number, todo in numbered
    ]
    count = len(numbered)
    heading = {
        "open": f"{count} still open:" if count > 1 else "One thing is still open:",
        "done": f"{count} done:" if count > 1 else "One thing is done:",
        "all": "Your list:",
    }[which]
    return "\n".join([heading, "", *lines])


def names(titles: Iterable[str], *, last: str = "and") -> str:
    """“a”, “b” and “c”."""
    quoted = [f"“{title}”" for title in titles]
    if len(quoted) > 8:
        quoted = [*quoted[:7], f"{len(quoted) - 7} more"]
    return f" {last} ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def is_dark(context: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the page says that it is dark already."""
    looks = (entry["value"] for entry in context if entry["description"] == LOOK)
    try:
        return any(json.loads(look).get("dark") for look in looks)
    except (ValueError, AttributeError):
        return False


def suggestions(todos: Sequence[Todo], *, dark: bool) -> list[tuple[str, str]]:
    """Three things worth saying next, given the list and the page."""
    still_open = [todo for todo in todos if not todo.done]
    if not todos:
        return [
            ("Plan a dinner", "Add buy tomatoes, boil pasta and invite Ada"),
            ("What can you do?", "Help"),
            ("Paint the page blue", "Make the page blue"),
        ]
    ideas = [(f"Tick off {clipped(todo.title)}", f"Done “{todo.title}”") for todo in still_open[:1]]
    if any(todo.done for todo in todos):
        ideas.append(("Delete what is done", "Delete done"))
    if len(still_open) > 1:
        ideas.append(("What's open?", "What's open?"))
    mode = "Light mode" if dark else "Dark mode"
    ideas += [(mode, mode), ("Add a coffee break", "Add a coffee break")]
    return ideas[:3]


def clipped(title: str, length: int = 24) -> str:
    return title if len(title) <= length else f"{title[: length - 1].rstrip()}…"
