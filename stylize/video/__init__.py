"""Clips: the frames of a video, painted so that the paint moves with what it covers."""
