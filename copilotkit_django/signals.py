"""Signals about threads and runs, for the rest of the project.

The sender is the class of the runner. Receivers may be sync (they run on a worker thread, where
they may use the ORM) or async. A run neither waits for them nor notices when they raise; those of
runs are called in this order for each run, in the process that owns it. They get:

``thread_id``, ``run_id``, ``agent_id``
    as the client names them;
``scope``, ``thread_key``, ``user``
    whose thread it is, what identifies it for good (as in `RunContext`), and the Django user or
    ``None``.

Suggestions send none: they are no part of any thread. A run whose process died is ended by another
process, without a signal.

`tool_called` is sent by the class `copilotkit_django.agents.tools.Tool` and says in the same words
where it was called, and for whom.
"""

from django.dispatch import Signal

#: The first run on a thread begins. A thread whose first run fails before it has anything to say is
#: forgotten; the next run then creates it again.
thread_created = Signal()

#: A run begins.
run_started = Signal()

#: Somebody asked a live run to stop, or a later run took its place. It may still be winding down.
run_stopped = Signal()

#: A run is over: stored, its thread free, its readers told. Also gets ``outcome`` ("finished",
#: "stopped" or "failed"), ``duration`` in seconds, and ``usage``, the token counts the agent
#: reported: a list of dicts in wire form, usually empty.
run_finished = Signal()

#: A tool was called, whatever became of it. Also gets ``tool`` (its name), ``tool_call_id``,
#: ``arguments_digest`` (equal for equal arguments; tells nothing else of them), ``outcome`` ("ok",
#: "error", "invalid", "denied", "timeout", "cancelled" or "approval": it waits for the person) and
#: ``duration`` in seconds.
tool_called = Signal()

#: The threads of an anonymous browser have gone to the ``user`` who signed in on it, from
#: ``former_scope`` to ``scope``; ``threads`` are those that did, as `MovedThread`. What a project
#: keeps by scope should follow; the ``thread_key`` of a thread stays. Sent again, possibly without
#: threads, until the browser has lost its cookie.
scope_merged = Signal()
