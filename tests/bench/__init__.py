"""Measures the server under load, side by side with the Node reference."""
