"""The conformance kit: what this adapter holds itself to, for anyone who builds or buys a translator.

    speaking.py      one answer, said as hub events, as a Responses stream, as Chat chunks, as plain replies
    strategies.py    Hypothesis strategies: requests, histories, answers, streams, byte cuts, damage (needs hypothesis)
    laws.py          what must hold, as functions that return findings: no findings, the law holds
    strict_chat.py   what the strictest Chat server of a profile says about a request
    strict_responses.py  what a Responses server without a store says about one
    acting.py        what a model does with the tools that a request offers
    peers.py         scripted upstreams as ASGI applications, strict ones included;  compactors.py  those that compact
    report.py        findings of many laws over many cases, as text
    live/            all this pointed at a live server, `adapter conform URL`: questions, laws of their answers, drawn requests

The grammars of streams are in `adapter.hub.grammar`. Nothing here knows this adapter's own readers and writers: the laws take
the translator under test as an argument, and `adapter.translate` is one; those in `live` take what a server answered.
"""
