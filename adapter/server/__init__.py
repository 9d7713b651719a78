"""The side that clients see.

routes      which path is whose
pipeline    one for every surface; a request and its answer are a `turn`
idempotency requests that clients name: sent twice, answered once
served      what one reading of the configuration makes of all this; `reloading` replaces it
courses/    what a turn leads to: which calls, of whom, from its body and what came before it
calls/      one upstream call, and its answer's way through
http/       connections, bodies, answers and refusals; `socket/` the same over WebSockets
stored/     what is kept of turns, where `[store]` is not off
"""
