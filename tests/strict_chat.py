"""The strictest Chat server, where the conformance kit has it."""

from adapter.conform.strict_chat import problems

__all__ = ["problems"]
