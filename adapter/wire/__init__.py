"""Bytes to values and back: JSON with bounds, server-sent events, headers."""
