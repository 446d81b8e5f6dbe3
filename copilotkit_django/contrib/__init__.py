"""Agents of other frameworks, run in this process: one module each, imported when it is used.

Importing a module here imports nothing of its framework; making the agent does, and says what to
install if that fails.
"""
