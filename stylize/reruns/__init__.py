"""Replay, resume and explore: runs that start from a recipe."""
