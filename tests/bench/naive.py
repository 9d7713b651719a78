"""The second reference: a translator as one writes it first. Parse each event, build the other dialect's dict, dump it.

Same stack as the pass-through. It knows text and nothing else, checks nothing, and so does far less than a translator must.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson

from tests.bench.passthrough import PassThrough, serve

_HEAD: dict[str, Any] = {
    "object": "response",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "tools": [],
}


def to_responses(body: dict[str, Any]) -> dict[str, Any]:
    """A Chat request as a Responses request, text only."""
    messages = [m for m in body["messages"] if m["role"] != "system"]
    items = [
        {"type": "message", "role": m["role"], "content": [{"type": "input_text", "text": m["content"]}]}
        for m in messages
    ]
    made = {"model": body["model"], "input": items, "stream": body.get("stream", False), "store": False}
    return {**made, "instructions": "\n".join(m["content"] for m in body["messages"] if m["role"] == "system")}


def to_chat(body: dict[str, Any]) -> dict[str, Any]:
    """A Responses request as a Chat request, text only."""
    messages = [{"role": "system", "content": body["instructions"]}]
    messages += [{"role": i["role"], "content": "".join(part["text"] for part in i["content"])} for i in body["input"]]
    return {"model": body["model"], "messages": messages, "stream": body.get("stream", False)}


def reply_to_chat(reply: dict[str, Any]) -> dict[str, Any]:
    """A Responses reply as a Chat reply, text only."""
    text = "".join(part["text"] for item in reply["output"] for part in item["content"])
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": reply["created_at"], "model": reply["model"]}
    used = reply["usage"]
    counts = {"prompt_tokens": used["input_tokens"], "completion_tokens": used["output_tokens"]}
    return {**head, "choices": [choice], "usage": {**counts, "total_tokens": used["total_tokens"]}}


def reply_to_responses(reply: dict[str, Any]) -> dict[str, Any]:
    """A Chat reply as a Responses reply, text only."""
    item = _item(reply["choices"][0]["message"]["content"], "completed")
    used = reply["usage"]
    counts = {"input_tokens": used["prompt_tokens"], "output_tokens": used["completion_tokens"]}
    head = {**_HEAD, "id": "resp_1", "created_at": reply["created"], "model": reply["model"], "status": "completed"}
    return {**head, "output": [item], "usage": {**counts, "total_tokens": used["total_tokens"]}}


def _item(text: str, status: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": [part] if text else []}


class ChatWriter:
    """Responses events in, Chat chunks out."""

    def feed(self, event: dict[str, Any]) -> bytes:
        match event["type"]:
            case "response.created":
                return self.chunk({"role": "assistant", "content": ""})
            case "response.output_text.delta":
                return self.chunk({"content": event["delta"]})
            case "response.completed":
                return self.chunk({}, "stop") + b"data: [DONE]\n\n"
        return b""

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "canned"}
        return b"data: " + orjson.dumps({**head, "choices": [choice]}) + b"\n\n"


class ResponsesWriter:
    """Chat chunks in, Responses events out."""

    def __init__(self) -> None:
        self.sequence = 0
        self.text = ""

    def feed(self, chunk: dict[str, Any]) -> bytes:
        if not chunk["choices"]:
            return b""
        choice = chunk["choices"][0]
        at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        made = b""
        if self.sequence == 0:
            made += self.event(
                "response.created", response={**_HEAD, "id": "resp_1", "status": "in_progress", "output": []}
            )
            made += self.event("response.output_item.added", output_index=0, item=_item("", "in_progress"))
            made += self.event("response.content_part.added", **at, part={"type": "output_text", "text": ""})
        if text := choice["delta"].get("content"):
            self.text += text
            made += self.event("response.output_text.delta", **at, delta=text, logprobs=[])
        if choice["finish_reason"]:
            item = _item(self.text, "completed")
            made += self.event("response.output_text.done", **at, text=self.text, logprobs=[])
            made += self.event("response.content_part.done", **at, part=item["content"][0])
            made += self.event("response.output_item.done", output_index=0, item=item)
            made += self.event("response.completed", response={**_HEAD, "id": "resp_1", "output": [item]})
        return made

    def event(self, type: str, **fields: Any) -> bytes:
        data = orjson.dumps({"type": type, "sequence_number": self.sequence, **fields})
        self.sequence += 1
        return b"event: " + type.encode() + b"\ndata: " + data + b"\n\n"


class Naive(PassThrough):
    """The pass-through with a translation in it; always to the other dialect."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        data = b""
        while True:
            message = await receive()
            data += message.get("body", b"")
            if not message.get("more_body"):
                break
        from_chat = scope["path"].endswith("/chat/completions")
        body = orjson.loads(data)
        asked = orjson.dumps(to_responses(body) if from_chat else to_chat(body))
        url = self.upstream + ("/v1/responses" if from_chat else "/v1/chat/completions")
        headers = {"content-type": "application/json", "authorization": "Bearer sk-bench"}
        assert self.session is not None
        async with self.session.post(url, data=asked, headers=headers) as answer:
            kind = answer.headers["content-type"].encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
            if not body.get("stream"):
                reply = orjson.loads(await answer.read())
                made = orjson.dumps(reply_to_chat(reply) if from_chat else reply_to_responses(reply))
                await send({"type": "http.response.body", "body": made})
                return
            writer: ChatWriter | ResponsesWriter = ChatWriter() if from_chat else ResponsesWriter()
            tail = b""
            while read := await answer.content.readany():
                *events, tail = (tail + read).split(b"\n\n")
                made = b"".join(writer.feed(orjson.loads(data)) for data in map(_data, events) if data != b"[DONE]")
                if made:
                    await send({"type": "http.response.body", "body": made, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def _data(event: bytes) -> bytes:
    return event.partition(b"data: ")[2]


if __name__ == "__main__":
    serve(Naive(sys.argv[1]), int(sys.argv[2]))
