"""The one place of this package with a socket: requests go out one after the other, and whatever comes back is an `Answer`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, Self

import aiohttp

from adapter.conform.live.case import Answer
from adapter.upstream.refusals import retry_after
from adapter.wire.address import joined, query_values

_BOUND: Final = 8 * 1024 * 1024
"""Bytes of an answer; the largest that is asked for has a thousand times less."""
_SECRET: Final = 8
"""Characters from which on a word is a secret: `EMPTY` and `none` are keys as well."""


class Asker:
    """One server and one HTTP session; a context manager. Header names come in lower case."""

    def __init__(self, base_url: str, headers: Mapping[str, str], timeout: float) -> None:
        self.base_url = base_url
        self._headers = {"content-type": "application/json", **headers}
        self._timeout = timeout
        words = [*query_values(base_url), *(word for value in headers.values() for word in value.split())]
        self._secrets = [form.encode() for word in words if len(word) >= _SECRET for form in _forms(word)]

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        self._session = self._runner.run(self._opened())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._session.close())
        self._runner.close()

    def ask(self, method: str, path: str, raw: bytes) -> Answer:
        """One request. Secrets that the server repeats are blacked out before anybody sees them."""
        answer = self._runner.run(self._asked(method, joined(self.base_url, path), raw))
        return replace(answer, raw=self._hidden(answer.raw), fault=self._hidden(answer.fault.encode()).decode())

    async def _opened(self) -> aiohttp.ClientSession:
        # a connection for each: one that the server closes between two requests is no finding
        return aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            connector=aiohttp.TCPConnector(force_close=True),
        )

    async def _asked(self, method: str, url: str, raw: bytes) -> Answer:
        status, kind, fault, again, body = 0, "", "", None, bytearray()
        try:
            async with self._session.request(method, url, data=raw or None, allow_redirects=False) as response:
                status = response.status
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if "retry-after" in response.headers or "retry-after-ms" in response.headers:
                    again = retry_after(response.headers)
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > _BOUND:
                        fault = f"more than {_BOUND} bytes"
                        break
        except TimeoutError:
            fault = f"not finished within {self._timeout:g} s (--timeout)"
        except (aiohttp.ClientError, OSError, ValueError) as trouble:
            fault = " ".join(f"{type(trouble).__name__}: {trouble}".split())
        return Answer(status, kind, bytes(body), fault, again)

    def _hidden(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, b"[key]")
        return data


def _forms(word: str) -> Iterable[str]:
    """A word, as it may stand in text and in JSON."""
    escaped = json.dumps(word)[1:-1]
    return {word, escaped, escaped.replace("/", "\\/")}
