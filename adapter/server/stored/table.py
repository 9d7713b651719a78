"""What can be asked for of what is stored: path -> method -> who answers, and whether the request has a body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from adapter.server.stored.calls import Handler

if TYPE_CHECKING:
    from adapter.server.stored.parts import Stored


class Entry(NamedTuple):
    """One method of one path."""

    handler: Callable[[Stored], Handler]
    has_body: bool = False


RESPONSES: Final[Mapping[str, Mapping[str, Entry]]] = {
    "/responses/{id}": {
        "GET": Entry(lambda stored: stored.responses.get),
        "DELETE": Entry(lambda stored: stored.responses.delete),
    },
    "/responses/{id}/cancel": {"POST": Entry(lambda stored: stored.responses.cancel)},
    "/responses/{id}/input_items": {"GET": Entry(lambda stored: stored.responses.input_items)},
    "/conversations": {"POST": Entry(lambda stored: stored.conversations.create, has_body=True)},
    "/conversations/{id}": {
        "GET": Entry(lambda stored: stored.conversations.get),
        "POST": Entry(lambda stored: stored.conversations.update, has_body=True),
        "DELETE": Entry(lambda stored: stored.conversations.delete),
    },
    "/conversations/{id}/items": {
        "GET": Entry(lambda stored: stored.conversations.items),
        "POST": Entry(lambda stored: stored.conversations.add, has_body=True),
    },
    "/conversations/{id}/items/{item_id}": {
        "GET": Entry(lambda stored: stored.conversations.item),
        "DELETE": Entry(lambda stored: stored.conversations.delete_item),
    },
}
CHAT: Final[Mapping[str, Mapping[str, Entry]]] = {
    "/chat/completions": {"GET": Entry(lambda stored: stored.completions.list)},
    "/chat/completions/{id}": {
        "GET": Entry(lambda stored: stored.completions.get),
        "POST": Entry(lambda stored: stored.completions.update, has_body=True),
        "DELETE": Entry(lambda stored: stored.completions.delete),
    },
    "/chat/completions/{id}/messages": {"GET": Entry(lambda stored: stored.completions.messages)},
}
