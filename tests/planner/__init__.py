"""An app with models for the tests of tools: tasks, and what belongs to them."""
