"""Stored responses: read, followed, cancelled, deleted. What an upstream keeps is asked of that one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlencode

from adapter.dialects.registry import DIALECTS
from adapter.errors import AdapterError, BadRequest, InvalidValue
from adapter.hub.request import Exchange
from adapter.server.calls.asking import clock
from adapter.server.calls.lanes import RawStreaming, begun
from adapter.server.calls.own import Document
from adapter.server.courses.course import Course, Lane, own_course
from adapter.server.pipeline import Pipeline
from adapter.server.stored.background import Background
from adapter.server.stored.calls import Call, document, found, listed, unknown
from adapter.server.turn import Turn
from adapter.store.store import Store
from adapter.upstream.credentials import call_headers
from adapter.wire import jsonio

_WHAT: Final = "Response"


@dataclass(slots=True, kw_only=True)
class StoredResponses:
    """`/v1/responses/{id}` and below."""

    store: Store
    background: Background
    pipeline: Pipeline

    async def get(self, turn: Turn, call: Call) -> Course:
        """The response as it now is; with `stream=true` its events after `starting_after`."""
        after = call.whole("starting_after")
        tenant = turn.caller.tenant
        stored = found(await self.store.response(tenant, call.id), _WHAT, call.id)
        if stored.object is None:
            return self._forwarded(turn, call, stored.upstream, "GET", stream=call.streams)
        call.check_include()
        turn.upstream = stored.upstream or ""
        if not call.streams:
            if after is not None:
                raise InvalidValue("starting_after is for streams: send stream=true with it.", param="starting_after")
            return document(stored.object)
        if not stored.streamed:
            raise BadRequest(
                "Only a response that was created with background and stream can be streamed again.", param="stream"
            )

        async def begin() -> Lane:
            return self.background.follow(tenant, call.id, -1 if after is None else after)

        return own_course(begin, stream=True)

    async def delete(self, turn: Turn, call: Call) -> Course:
        """Forget it; work on it stops."""
        tenant = turn.caller.tenant
        upstream = await self.store.kept_by(tenant, call.id)
        if upstream is not None:
            return self._forwarded(turn, call, upstream, "DELETE")
        if not await self.store.delete_response(tenant, call.id):
            raise unknown(_WHAT, call.id)
        self.background.cancelled(tenant, call.id)
        self.pipeline.idempotency.retract(call.id)
        return document({"id": call.id, "object": "response", "deleted": True})

    async def cancel(self, turn: Turn, call: Call) -> Course:
        """Stop a background response; one that has ended stays as it is."""
        tenant = turn.caller.tenant
        upstream = await self.store.kept_by(tenant, call.id)
        if upstream is not None:
            return self._forwarded(turn, call, upstream, "POST", "/cancel")
        stored = found(await self.store.cancel(tenant, call.id), _WHAT, call.id)
        self.background.cancelled(tenant, call.id)
        return document(stored.object)

    async def input_items(self, turn: Turn, call: Call) -> Course:
        """A page of its own input."""
        asked = call.page("desc")
        upstream = await self.store.kept_by(turn.caller.tenant, call.id)
        if upstream is not None:
            return self._forwarded(turn, call, upstream, "GET", "/input_items")
        call.check_include()
        page = await self.store.input_items(turn.caller.tenant, call.id, **asked)
        return listed(found(page, _WHAT, call.id))

    def _forwarded(
        self,
        turn: Turn,
        call: Call,
        origin: str | None,
        method: Literal["GET", "POST", "DELETE"],
        below: str = "",
        *,
        stream: bool = False,
    ) -> Course:
        """The answer of the upstream that keeps the response. Its id is one that the store knows, so it is only an id."""
        asking = self.pipeline.served.courses.asking
        places = ((one, one.key_at(origin or "")) for one in self.pipeline.served.courses.routing.router.upstreams)
        place = next(((one, key) for one, key in places if key is not None), None)
        upstream, key = found(place, _WHAT, call.id)
        turn.lane, turn.upstream = "forward", upstream.name
        query = urlencode(call.query.multi_items())
        path = f"/responses/{call.id}{below}{'?' if query else ''}{query}"
        exchange = Exchange.unasked("responses", upstream.profile, turn.client)

        async def begin() -> Lane:
            headers = call_headers(upstream, turn.headers, turn.callers_key, turn.request_id, key)
            reply = await asking.client.call(upstream, method, path, b"", headers, stream=stream)
            if stream:
                observer = DIALECTS["responses"].raw_stream(exchange, clock=clock)
                return await begun(
                    RawStreaming(reply, observer, settle_within=asking.settings.settle_within), turn.lose
                )
            try:
                body = await reply.body(asking.settings.reply_limit)
            finally:
                reply.close()
            if method == "DELETE":
                await self._forget(turn, call.id)
            return Document(_called(call.id, body))

        return own_course(begin, stream=stream)

    async def _forget(self, turn: Turn, id: str) -> None:
        """Upstream it is gone; who kept it matters no more."""
        self.pipeline.idempotency.retract(id)
        try:
            await self.store.delete_response(turn.caller.tenant, id)
        except AdapterError:
            turn.stored = "failed"


def _called(id: str, body: bytes) -> bytes:
    """What an upstream said of the response `id`, under that id: LiteLLM seals a new one at each read, which nobody here would
    know when the client asks for it next, as those who poll do."""
    try:
        value = jsonio.loads(body)
        other = isinstance(value, dict) and value.get("object") == "response" and value.get("id") != id
        return jsonio.dumps({**value, "id": id}) if other else body
    except ValueError:  # neither what it is nor how deep it goes is of any concern here
        return body
