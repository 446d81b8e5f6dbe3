"""Replays requests recorded from the Node reference and compares the answers."""
