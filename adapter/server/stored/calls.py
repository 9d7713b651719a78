"""What a request for stored objects says: path, query, body; checked as it is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from adapter.dialects.responses.read_request import check_include
from adapter.errors import AdapterError, InvalidType, InvalidValue, NotFound
from adapter.hub.items import shown
from adapter.hub.request import DialectName
from adapter.server.calls.own import Document
from adapter.server.courses.course import Course, Lane, own_course
from adapter.server.pipeline import Pipeline
from adapter.server.turn import Turn
from adapter.store.values import Order, Page
from adapter.wire.jsonio import dumps

T = TypeVar("T")

_MOST: Final = 100


class Call(NamedTuple):
    """One request."""

    path: dict[str, str]
    query: QueryParams
    body: dict[str, Any]

    @property
    def id(self) -> str:
        """The object that the path names."""
        return self.path["id"]

    @property
    def streams(self) -> bool:
        """`stream=true`."""
        return self.query.get("stream", "").lower() == "true"

    def whole(self, name: str) -> int | None:
        """An integer of the query, from 0 up.

        Raises:
            InvalidValue: it is none.
        """
        given = self.query.get(name)
        if given is None:
            return None
        if not given.isascii() or not given.isdigit() or len(given) > 15:
            raise InvalidValue(f"{name} must be a whole number.", param=name)
        return int(given)

    def page(self, order: Order) -> dict[str, Any]:
        """`limit`, `order` and `after`, as the store takes them; `order` is the default.

        Raises:
            InvalidValue: out of the API's bounds.
        """
        limit = self.whole("limit")
        if limit is not None and not 1 <= limit <= _MOST:
            raise InvalidValue(f"limit must be between 1 and {_MOST}.", param="limit")
        asked = self.query.get("order", order)
        if asked not in ("asc", "desc"):
            raise InvalidValue("order must be asc or desc.", param="order")
        return {"limit": 20 if limit is None else limit, "order": asked, "after": self.query.get("after")}

    def check_include(self) -> None:
        """`include` can be asked for. Whatever it names is in the answer anyway, as far as there is any.

        Raises:
            InvalidValue: it cannot.
        """
        check_include([*self.query.getlist("include"), *self.query.getlist("include[]")])

    def metadata(self) -> dict[str, Any] | None:
        """`metadata` of the body.

        Raises:
            InvalidType: it is no object.
        """
        given = self.body.get("metadata")
        if given is not None and not isinstance(given, dict):
            raise InvalidType("metadata must be an object.", param="metadata")
        return given


def found(value: T | None, what: str, id: str) -> T:
    """`value`, the object of that id that was asked for.

    Raises:
        NotFound: it is None. One answer for unknown, expired, deleted and another tenant's.
    """
    if value is None:
        raise unknown(what, id)
    return value


def unknown(what: str, id: str) -> AdapterError:
    """There is no such object for this caller."""
    return NotFound(f"{what} with id '{id[:200]}' not found.")


Handler: TypeAlias = Callable[[Turn, Call], Awaitable[Course]]


class Endpoint:
    """One method of one path, through the pipeline."""

    def __init__(self, pipeline: Pipeline, handler: Handler, dialect: DialectName, *, has_body: bool) -> None:
        self._pipeline = pipeline
        self._handler = handler
        self._dialect: DialectName = dialect
        self._has_body = has_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, query = scope.get("path_params", {}), QueryParams(scope["query_string"])

        async def decide(turn: Turn, body: dict[str, Any]) -> Course:
            turn.lane = "store"
            return await self._handler(turn, Call(path=path, query=query, body=body))

        await self._pipeline.serve(self._dialect, decide, scope, receive, send, has_body=self._has_body)


def document(value: Any) -> Course:
    """A JSON answer."""

    async def begin() -> Lane:
        return Document(dumps(value))

    return own_course(begin)


def listed(page: Page) -> Course:
    """A page of items."""
    return document(Page([shown(item) for item in page.data], page.has_more).body())
