"""Any client of Chat Completions or Responses over any upstream that speaks either."""

__version__ = "0.1.0"
