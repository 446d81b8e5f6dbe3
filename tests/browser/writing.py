"""The long answer of these tests: what the demo's writer says about lighthouses."""

from demo_project.agents import drafts

QUESTION = "Write about lighthouses"
HEADLINE = "Lighthouses"
#: The writer stands by its words, so the last of them are known.
LAST_WORDS = drafts.draft(drafts.Brief("lighthouses")).rpartition("\n\n")[2]
