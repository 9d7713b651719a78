"""The official SDK over stored state: one adapter on SQLite, and two on one PostgreSQL that take turns."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.conftest import ROOT, free_port, wait_until_ready
from tests.store.postgres import Server, binaries
from tests.validator import load

validator = load()
MODELS = ["demo-chat", "demo-responses"]


class Clients:
    """SDK clients of all replicas; `next` goes around."""

    def __init__(self, urls: list[str]) -> None:
        self.all = [openai.OpenAI(base_url=url, api_key="sk-test", max_retries=0, timeout=30) for url in urls]
        self._turns = itertools.cycle(self.all)

    @property
    def next(self) -> openai.OpenAI:
        return next(self._turns)

    def close(self) -> None:
        for client in self.all:
            client.close()


@contextmanager
def replica(home: Path, store: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """One `adapter serve --demo`: its base URL, its process."""
    port = free_port()
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTER_")}
    environment |= {"HOME": str(home), "ADAPTER_STORE__URL": store}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "adapter", "serve", "--demo", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/readyz", process)
            yield f"http://127.0.0.1:{port}/v1", process
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    found = binaries()
    if found is None:
        if os.environ.get("TEST_POSTGRES") == "required":
            pytest.fail("no PostgreSQL server binaries here, and TEST_POSTGRES=required")
        pytest.skip("no PostgreSQL server binaries here (Debian: postgresql)")
    server = Server(found)
    yield server.url(server.new_database())
    server.close()


@pytest.fixture(scope="module", params=["one on SQLite", "two on PostgreSQL"])
def clients(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    home = tmp_path_factory.mktemp("store")
    with ExitStack() as stack:
        if request.param == "one on SQLite":
            urls = [stack.enter_context(replica(home / "one", f"sqlite:///{home}/store.db"))[0]]
        else:
            url = request.getfixturevalue("database")
            urls = [stack.enter_context(replica(home / name, url))[0] for name in ("one", "two")]
        clients = Clients(urls)
        stack.callback(clients.close)
        yield clients


def valid(value: Any, kind: str) -> None:
    """The object holds to the official schema (checked where the reference validator is at hand)."""
    if validator is not None:
        problems = validator.errors(validator.check(value.model_dump(exclude_unset=True, mode="json"), kind))
        assert not problems, validator.fmt(problems)


@pytest.mark.parametrize("model", MODELS)
class TestResponses:
    def test_a_chain(self, clients: Clients, model: str) -> None:
        one = clients.next.responses.create(model=model, input="My frog is called Ada.", instructions="Be brief.")
        two = clients.next.responses.create(model=model, input="What is it called?", previous_response_id=one.id)
        assert two.previous_response_id == one.id
        assert two.instructions is None
        kept = clients.next.responses.retrieve(two.id)
        valid(kept, "response")
        assert kept.model_dump() == two.model_dump()
        assert kept.store is True  # type: ignore[attr-defined]

        items = clients.next.responses.input_items.list(two.id)
        assert [item.content[0].text for item in items] == ["What is it called?"]  # type: ignore[union-attr]
        clients.next.responses.delete(one.id)
        with pytest.raises(openai.NotFoundError):
            clients.next.responses.retrieve(one.id)
        three = clients.next.responses.create(model=model, input="And now?", previous_response_id=two.id)
        assert three.status == "completed"
        with pytest.raises(openai.BadRequestError) as refused:
            clients.next.responses.create(model=model, input="x", previous_response_id=one.id)
        assert refused.value.code == "previous_response_not_found"

    def test_a_stream_is_kept_as_it_was_told(self, clients: Clients, model: str) -> None:
        with clients.next.responses.stream(model=model, input="Say hello") as stream:
            final = stream.get_final_response()
        kept = clients.next.responses.retrieve(final.id)
        assert kept.output_text == final.output_text
        assert kept.usage == final.usage

    def test_many_input_items(self, clients: Clients, model: str) -> None:
        given: Any = [{"role": "user", "content": str(number)} for number in range(45)]
        made = clients.next.responses.create(model=model, input=given)
        items = list(clients.next.responses.input_items.list(made.id, limit=10, order="asc"))
        assert [item.content[0].text for item in items] == [str(number) for number in range(45)]  # type: ignore[union-attr]

    def test_references_instead_of_items(self, clients: Clients, model: str) -> None:
        one = clients.next.responses.create(model=model, input="Remember the word xylophone")
        given: Any = [
            {"role": "user", "content": "Remember the word xylophone"},
            {"type": "item_reference", "id": one.output[0].id},
            {"role": "user", "content": "Thanks"},
        ]
        assert clients.next.responses.create(model=model, input=given).status == "completed"

    def test_in_the_background(self, clients: Clients, model: str) -> None:
        made = clients.next.responses.create(model=model, input="Say hello", background=True)
        assert made.status == "queued"
        deadline = time.monotonic() + 10
        while made.status in ("queued", "in_progress"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
            made = clients.next.responses.retrieve(made.id)
        assert made.status == "completed"
        assert made.output_text
        valid(made, "response")
        assert clients.next.responses.cancel(made.id).status == "completed"
        foreground = clients.next.responses.create(model=model, input="Say hello")
        with pytest.raises(openai.BadRequestError):
            clients.next.responses.cancel(foreground.id)

    def test_a_background_stream_is_resumed(self, clients: Clients, model: str) -> None:
        events: list[Any] = list(
            clients.next.responses.create(model=model, input="Say hello", background=True, stream=True)
        )
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[-1].type == "response.completed"
        known = events[0].response.id
        for after in (0, 2, len(events) - 2):
            resumed: list[Any] = list(clients.next.responses.retrieve(known, stream=True, starting_after=after))
            assert [e.model_dump() for e in resumed] == [e.model_dump() for e in events[after + 1 :]]

    def test_compacted_from_a_stored_response(self, clients: Clients, model: str) -> None:
        one = clients.next.responses.create(model=model, input="Remember the word xylophone")
        made = clients.next.responses.compact(model=model, previous_response_id=one.id)
        assert made.output[-1].type == "compaction"
        given: Any = [
            *(item.model_dump(exclude_unset=True, warnings=False) for item in made.output),
            {"role": "user", "content": "Go on"},
        ]
        assert clients.next.responses.create(model=model, input=given).status == "completed"

    def test_tokens_are_counted(self, clients: Clients, model: str) -> None:
        counted = clients.next.responses.input_tokens.count(model=model, input="Say hello")
        assert counted.input_tokens > 0

    def test_a_conversation(self, clients: Clients, model: str) -> None:
        made = clients.next.conversations.create(items=[{"role": "user", "content": "one"}], metadata={"k": "v"})
        assert clients.next.conversations.retrieve(made.id) == made
        answer = clients.next.responses.create(model=model, input="two", conversation=made.id)
        assert answer.conversation is not None
        assert answer.conversation.id == made.id
        items: list[Any] = list(clients.next.conversations.items.list(made.id, order="asc"))
        assert [item.role for item in items] == ["user", "user", "assistant"]
        assert clients.next.conversations.items.retrieve(items[0].id, conversation_id=made.id) == items[0]
        added = clients.next.conversations.items.create(made.id, items=[{"role": "user", "content": "three"}])
        assert len(added.data) == 1
        clients.next.conversations.items.delete(items[0].id, conversation_id=made.id)
        assert len(list(clients.next.conversations.items.list(made.id))) == 3
        assert clients.next.conversations.update(made.id, metadata={"n": "1"}).metadata == {"n": "1"}
        assert clients.next.conversations.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError):
            clients.next.conversations.retrieve(made.id)

    def test_a_completion(self, clients: Clients, model: str) -> None:
        answer = clients.next.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Say hello"}], store=True, metadata={"run": model}
        )
        kept = clients.next.chat.completions.retrieve(answer.id)
        assert kept.choices == answer.choices
        listed = list(clients.next.chat.completions.list(metadata={"run": model}))
        assert [one.id for one in listed] == [answer.id]
        messages = list(clients.next.chat.completions.messages.list(answer.id))
        assert [message.content for message in messages] == ["Say hello"]
        clients.next.chat.completions.update(answer.id, metadata={"run": "other"})
        assert list(clients.next.chat.completions.list(metadata={"run": model})) == []
        assert clients.next.chat.completions.delete(answer.id).deleted
        with pytest.raises(openai.NotFoundError):
            clients.next.chat.completions.retrieve(answer.id)


def test_killed_under_load(tmp_path: Path) -> None:
    """SIGKILL while many clients store: whatever was acknowledged is there, word for word."""
    store = f"sqlite:///{tmp_path}/store.db"
    told: dict[str, dict[str, Any]] = {}
    for attempt in range(3):
        with replica(tmp_path / f"home{attempt}", store) as (url, process), ThreadPoolExecutor(8) as pool:
            pressed = [pool.submit(_press, url, number, told) for number in range(8)]
            while len(told) < 10 * (attempt + 1) and not any(one.done() for one in pressed):
                time.sleep(0.01)
            process.kill()
            wait(pressed)
    assert len(told) >= 30
    with replica(tmp_path / "after", store) as (url, _), openai.OpenAI(base_url=url, api_key="sk-test") as client:
        for known, shown in told.items():
            assert client.responses.retrieve(known).model_dump() == shown


def _press(url: str, number: int, told: dict[str, dict[str, Any]]) -> None:
    """Store turns until the server is gone; plain ones and streams."""
    with openai.OpenAI(base_url=url, api_key="sk-test", max_retries=0, timeout=5) as client:
        previous: Any = None
        while True:
            try:
                if number % 2:
                    made = client.responses.create(model=MODELS[0], input="Say hello", previous_response_id=previous)
                    told[made.id] = made.model_dump()
                    previous = made.id
                else:
                    for event in client.responses.create(model=MODELS[1], input="Say hello", stream=True):
                        if event.type == "response.completed":
                            told[event.response.id] = event.response.model_dump()
            except openai.APIError:
                return
