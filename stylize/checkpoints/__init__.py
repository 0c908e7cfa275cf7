"""Runs that outlive their process: the state of a run in one file, and the way back."""
