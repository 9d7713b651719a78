"""Seen from outside: log lines, never bodies, prompts or keys."""
