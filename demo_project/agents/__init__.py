"""The three agents of the demo, and the words they know. None of them needs an API key."""
