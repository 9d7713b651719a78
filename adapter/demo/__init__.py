"""A small offline model that speaks both dialects, so that everything runs without a key or a network.

    brain.py       what to say: pure, deterministic, knows no dialect
    schema.py      an instance for a JSON schema        asking.py      what both speakers ask of a request
    chat.py        Chat Completions in and out          responses.py   Responses out, compaction included;
                   responses_asked.py   Responses in; native.py   the tools it has item types for
    app.py         the ASGI application around both     running.py     beside the server that it is an upstream of

It is a server of its own and shares no code with the translation, so that a mistake here cannot hide one there.
"""
