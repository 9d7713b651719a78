"""The conversation with the summariser: what it is asked, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from adapter.compaction.anatomy import is_summary, summary_message
from adapter.compaction.options import Clips, Options
from adapter.compaction.payload import ContextPayload, SummaryPayload
from adapter.compaction.summarise import Compacted, summarise
from adapter.errors import AdapterError, BadRequest, PayloadTooLarge, UpstreamError, UpstreamTimeout
from adapter.hub.fold import Answer
from adapter.hub.request import Request
from tests.compaction.histories import answer, assistant, call, output, request, usage, user

HISTORY = [
    user("find the bug"),
    call("a"),
    output("a", "Traceback: boom in parser.py"),
    assistant("It is in parser.py"),
]
TOO_LONG = BadRequest("too long", code="context_length_exceeded")

Reply = Answer | AdapterError


def run(
    work: Generator[Request, Reply, Compacted], reply: Callable[[Request], Reply]
) -> tuple[Compacted, list[Request]]:
    """The generator driven to its end."""
    asked: list[Request] = []
    try:
        asked.append(next(work))
        while True:
            asked.append(work.send(reply(asked[-1])))
    except StopIteration as end:
        return end.value, asked


def replies(*given: Reply) -> Callable[[Request], Reply]:
    left = list(given)
    return lambda _: left.pop(0)


def task(asked: Request) -> str:
    text: str = asked.items[-1]["content"][0]["text"]
    return text


def window(bytes: int) -> Callable[[Request], Reply]:
    """A model that takes so much and tells how much it was given."""
    return lambda asked: answer(f"<{len(task(asked))}>") if len(task(asked)) <= bytes else TOO_LONG


def test_a_history_that_fits_is_one_call_and_its_answer_the_summary() -> None:
    done, asked = run(
        summarise(request(HISTORY), Options(), going_on=False), replies(answer("the facts", usage=usage(9, 2)))
    )

    assert len(asked) == 1
    assert done.text == "the facts"
    assert done.split.retained == [HISTORY[0]]
    assert done.context == [HISTORY[0], summary_message("the facts")]
    assert (done.usage, done.estimated) == (usage(9, 2), False)


def test_the_call_streams_stores_nothing_offers_no_tools_and_tells_everything() -> None:
    asked = next(
        summarise(
            request(
                HISTORY,
                instructions="You fix bugs.",
                tools=[{"type": "function", "name": "shell"}],
                tool_choice="required",
                max_output_tokens=16,
                prompt_cache_key="k",
                service_tier="flex",
                safety_identifier="s",
                user="u",
                reasoning={"effort": "low", "summary": "auto"},
            ),
            Options(),
            going_on=False,
        )
    )

    assert asked.stream
    carried = {"prompt_cache_key", "service_tier", "safety_identifier", "user"}
    assert set(asked.body) == {"model", "instructions", "input", "stream", "store", "reasoning"} | carried
    assert (asked.model, asked.body["store"], asked.body["reasoning"]) == ("m", False, {"effort": "low"})
    assert "## Next step" in asked.body["instructions"]
    for fact in ("You fix bugs.", "find the bug", "[tool call shell a]", "boom in parser.py", "It is in parser.py"):
        assert fact in task(asked)


def test_the_model_and_the_prompt_may_be_others() -> None:
    asked = next(summarise(request(HISTORY), Options(model="small", instructions="Be brief."), going_on=False))

    assert (asked.model, asked.body["instructions"]) == ("small", "Be brief.")


def test_a_known_window_is_respected_from_the_first_call_on() -> None:
    items = [user(f"fact {n}: " + "x" * 2_000) for n in range(40)]

    done, asked = run(
        summarise(request(items), Options(window=10_000, instructions="p"), going_on=False), window(23_000)
    )

    assert len(asked) == 5
    assert "This is part 1 of it" in task(asked[0])
    assert "[part 4]" in task(asked[-1])
    assert "Merge them into one" in task(asked[-1])
    assert done.text.startswith("<")
    for n in range(40):
        assert sum(f"fact {n}: " in task(each) for each in asked) == 1


def test_a_history_of_too_many_bytes_is_told_in_pieces_too() -> None:
    items = [user(f"fact {n}: " + "x" * 2_000) for n in range(40)]
    takes = window(50_000)

    done, asked = run(
        summarise(request(items), Options(), going_on=False),
        lambda asked: PayloadTooLarge("too large") if takes(asked) is TOO_LONG else takes(asked),
    )

    assert len(asked) > 2
    assert done.text.startswith("<")


def test_a_context_length_error_halves_the_pieces() -> None:
    items = [user(f"fact {n}: " + "x" * 2_000) for n in range(40)]

    _, asked = run(summarise(request(items), Options(), going_on=False), window(30_000))

    assert [len(task(each)) > 30_000 for each in asked[:3]] == [True, True, False]
    assert len(asked) == 8
    assert "Merge" in task(asked[-1])
    for n in range(40):
        assert sum(f"fact {n}: " in task(each) for each in asked[2:]) == 1


def test_an_error_inside_the_answer_counts_the_same() -> None:
    failed = Answer(status="failed", error=TOO_LONG)
    items = [user("x" * 9_000), user("y" * 9_000)]

    done, asked = run(
        summarise(request(items), Options(), going_on=False),
        replies(failed, answer("one"), answer("two"), answer("both")),
    )

    assert (done.text, len(asked)) == ("both", 4)


def test_a_piece_refused_in_the_middle_is_cut_and_nothing_is_read_twice_or_left_out() -> None:
    items = [user(f"fact {n}: " + "é" * 3_000) for n in range(6)]
    answers = [answer("p1"), TOO_LONG, *(answer(f"p{n}") for n in range(2, 30))]

    _, asked = run(
        summarise(request(items), Options(window=6_000, instructions="p"), going_on=False), replies(*answers)
    )

    told = [task(each) for n, each in enumerate(asked) if n != 1 and "Merge" not in task(each)]
    assert sum(text.count("é") for text in told) == 18_000


def test_an_upstream_that_takes_nothing_is_an_error_after_few_calls() -> None:
    asked: list[Request] = []

    with pytest.raises(BadRequest, match="too long"):
        run(
            summarise(request([user("x" * 3_000_000)]), Options(), going_on=False),
            lambda r: asked.append(r) or TOO_LONG,
        )  # type: ignore[func-returns-value]
    assert len(asked) < 10


def test_where_a_smaller_window_shows_outputs_are_clipped_harder_before_calls_multiply() -> None:
    items = [part for n in range(100) for part in (call(f"c{n}"), output(f"c{n}", "x" * 8_000))]

    _, asked = run(summarise(request(items), Options(), going_on=False), window(40_000))

    assert len(asked) <= 15


def test_summaries_that_do_not_fit_together_stand_side_by_side() -> None:
    items = [user("x" * 9_000), user("y" * 9_000)]
    long = "s" * 9_000

    done, _ = run(
        summarise(request(items), Options(window=4_000, instructions="p"), going_on=False), lambda _: answer(long)
    )

    assert done.text.count(long) >= 2


@pytest.mark.parametrize(
    "nothing",
    [
        answer(""),
        answer("  \n"),
        Answer(status="completed"),
        answer("part of a sen", status="incomplete", reason="content_filter"),
        Answer(
            status="completed", items={0: {"type": "message", "content": [{"type": "refusal", "refusal": "I cannot"}]}}
        ),
        Answer(status="completed", items={0: {"type": "function_call", "name": "shell", "arguments": "{}"}}),
    ],
)
def test_no_summary_is_asked_for_once_more_and_then_an_error(nothing: Answer) -> None:
    done, asked = run(summarise(request(HISTORY), Options(), going_on=False), replies(nothing, answer("facts")))
    assert done.text == "facts"
    assert asked == [asked[0]] * 2

    with pytest.raises(UpstreamError, match="nothing was compacted"):
        run(summarise(request(HISTORY), Options(), going_on=False), replies(nothing, nothing))


def test_a_summary_cut_off_by_a_limit_is_used_and_says_so() -> None:
    cut = answer("facts", status="incomplete", reason="max_output_tokens")

    done, _ = run(summarise(request(HISTORY), Options(), going_on=False), replies(cut))

    assert done.text == "facts\n[the summary was cut off here]"


def test_an_upstream_error_is_the_clients_or_becomes_a_trimmed_history() -> None:
    error = UpstreamTimeout("slow")

    with pytest.raises(UpstreamTimeout):
        run(summarise(request(HISTORY), Options(), going_on=False), replies(error))
    done, _ = run(summarise(request(HISTORY), Options(on_failure="trim"), going_on=False), replies(error))
    assert done.strategy == "trim"
    assert done.context == HISTORY
    assert "boom in parser.py" in done.text


def test_trim_asks_nobody() -> None:
    options = Options(strategy="trim", trim_tokens=20)
    done, asked = run(summarise(request(HISTORY), options, going_on=False), replies())

    assert asked == []
    assert done.usage["total_tokens"] == 0
    assert done.context[0] == HISTORY[0]
    assert len(done.context) < len(HISTORY)
    assert done.payload == ContextPayload(done.context)


def test_usage_is_the_sum_of_all_calls_and_estimated_where_none_was_told() -> None:
    told, untold = answer("", usage=usage(10, 1)), answer("facts")

    done, _ = run(summarise(request(HISTORY), Options(), going_on=False), replies(told, untold))

    assert done.estimated
    assert done.usage["output_tokens"] == 1 + 2
    assert done.usage["input_tokens"] > 10 + len(Options().instructions) // 4


def test_what_is_sealed_beside_retained_items_is_the_summary() -> None:
    done, _ = run(summarise(request(HISTORY), Options(), going_on=True), replies(answer("facts")))

    assert done.payload == SummaryPayload("facts")
    assert sum(map(is_summary, done.context)) == 1


def test_a_providers_own_compaction_goes_along_as_it_is_with_the_first_piece() -> None:
    blob: dict[str, Any] = {"type": "compaction", "id": "cmp", "encrypted_content": "gAAAA"}
    items = [blob, *(user("x" * 9_000) for _ in range(4))]

    _, asked = run(summarise(request(items), Options(window=8_000, instructions="p"), going_on=False), window(20_000))

    assert [blob in each.items for each in asked] == [True, *([False] * (len(asked) - 1))]


def test_clips_reach_the_summariser() -> None:
    items = [user("u"), call("a"), output("a", "x" * 500), assistant("b")]

    asked = next(summarise(request(items), Options(clips=Clips(output=100)), going_on=False))

    assert "400 characters clipped" in task(asked)
