"""The history as the summariser sees it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.compaction.anatomy import summary_message
from adapter.compaction.options import Clips
from adapter.compaction.render import blocks, clip, rendered, transcript
from adapter.hub.events import Item
from tests.compaction.histories import assistant, call, developer, odd_items, output, reasoning, user

CLIPS = Clips()
PNG = "data:image/png;base64,iVBORw0KGgo="


@given(item=odd_items)
def test_nothing_raises_and_clips_bound_a_block(item: Item) -> None:
    clips = Clips(message=50, output=50, arguments=50, instructions=50)

    assert len(rendered(item, clips)) < 2_000


@given(text=st.text("ab\n", max_size=300), most=st.integers(0, 120))
def test_a_clip_keeps_both_ends_says_how_much_is_gone_and_is_never_longer(text: str, most: int) -> None:
    short = clip(text, most)

    assert len(short) <= len(text)
    if short != text:
        head, marker, tail = short.partition(f"\n[… {len(text) - most} characters clipped …]\n")
        assert marker
        assert text.startswith(head)
        assert text.endswith(tail)
        assert len(head) + len(tail) == most


@pytest.mark.parametrize(
    ("item", "block"),
    [
        (user("hello"), "[user]\nhello"),
        (developer("be kind"), "[developer]\nbe kind"),
        (assistant("hi"), "[assistant]\nhi"),
        (call("c1", '{"cmd":"ls"}'), '[tool call shell c1]\n{"cmd":"ls"}'),
        ({**call("c1"), "namespace": "fs"}, "[tool call fs.shell c1]\n{}"),
        (output("c1", "a.py"), "[tool output c1]\na.py"),
        (
            output("c1", [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PNG}]),
            "[tool output c1]\nsee\n[image]",
        ),
        (output("c1", ""), "[tool output c1]"),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"},
            "[tool call apply_patch c]\n*** Begin",
        ),
        (
            {"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}},
            '[tool call local_shell_call c]\n{"command":["ls"]}',
        ),
        (
            {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
            '[tool call apply_patch_call c]\n{"type":"delete_file","path":"a"}',
        ),
        (
            {
                "type": "shell_call_output",
                "call_id": "c",
                "output": [{"stdout": "out", "stderr": "err", "outcome": {"type": "exit", "exit_code": 1}}],
            },
            '[tool output c]\nout\nerr\n{"type":"exit","exit_code":1}',
        ),
        (
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": PNG},
            },
            "[tool output c]\n[image]",
        ),
        (
            {"type": "mcp_call", "server_label": "gh", "name": "search", "arguments": "{}", "output": "3 hits"},
            "[tool call gh.search]\n{}\n→ 3 hits",
        ),
        (
            {"type": "mcp_approval_response", "approval_request_id": "r", "approve": False},
            '[tool output]\n{"approved":false}',
        ),
        (
            {"type": "web_search_call", "action": {"type": "search", "query": "q"}},
            '[web search]\n{"type":"search","query":"q"}',
        ),
        ({"type": "file_search_call", "queries": ["q"], "results": None}, '[file search]\n["q"]\n→ '),
        (
            {"type": "code_interpreter_call", "code": "1+1", "outputs": [{"type": "logs", "logs": "2"}]},
            "[code interpreter]\n1+1\n→ 2",
        ),
        (
            {"type": "image_generation_call", "result": "iVBORw0KGgo", "revised_prompt": "a cat"},
            "[generated image]\na cat [image]",
        ),
        (summary_message("facts"), f"[earlier summary]\n{summary_message('facts')['content'][0]['text']}"),
        (
            {"type": "tool_search_output", "call_id": "c", "tools": [{"name": "ls"}]},
            '[tool output c]\n{"name":"ls"}',
        ),
        (
            {"type": "mcp_call", "server_label": "gh", "name": "search", "arguments": "{}", "error": "gone"},
            "[tool call gh.search]\n{}\n→ gone",
        ),
        ({"type": "item_reference", "id": "msg_1"}, ""),
        (reasoning("hm"), ""),
        ({"type": "additional_tools", "tools": [{"type": "function"}]}, ""),
        ({"type": "acme:note", "note": "n"}, '[acme:note]\n{"type":"acme:note","note":"n"}'),
    ],
)
def test_each_kind_of_item_has_its_form(item: Item, block: str) -> None:
    assert rendered(item, CLIPS) == block


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        ({"type": "input_image", "image_url": PNG}, "[image]"),
        ({"type": "input_image", "image_url": "https://example.com/a.png"}, "[image https://example.com/a.png]"),
        ({"type": "input_image", "file_id": "file-1"}, "[image file-1]"),
        ({"type": "input_file", "filename": "a.pdf", "file_data": "JVBERi0"}, "[file a.pdf]"),
        ({"type": "input_audio", "input_audio": {"data": "UklGRg"}}, "[audio]"),
        ({"type": "refusal", "refusal": "no"}, "no"),
        ({"type": "acme:chart", "rows": [1]}, '{"type":"acme:chart","rows":[1]}'),
        ({"type": "computer_screenshot", "file_id": "file-1"}, "[image file-1]"),
        ({"stdout": "", "stderr": "boom"}, "boom"),
        ({"stderr": "boom"}, "boom"),
        ({"type": 7}, '{"type":7}'),
        ("bare", "bare"),
        (None, ""),
    ],
)
def test_media_become_markers_without_their_data(part: Any, shown: str) -> None:
    assert rendered({"type": "message", "role": "user", "content": [part]}, CLIPS) == f"[user]\n{shown}".rstrip("\n")


def test_an_opaque_compaction_is_mentioned_and_its_blob_is_not() -> None:
    block = rendered({"type": "compaction", "encrypted_content": "gAAAA"}, CLIPS)

    assert block.startswith("[earlier summary]")
    assert "gAAAA" not in block


def test_values_nested_too_deeply_to_write_do_no_harm() -> None:
    deep: object = 0
    for _ in range(2_000):
        deep = [deep]

    assert (
        rendered({"type": "shell_call", "call_id": "c", "action": deep}, CLIPS)
        == "[tool call shell_call c]\n[not readable]"
    )


def test_the_transcript_keeps_the_order_and_leaves_silent_items_out() -> None:
    items = [user("one"), reasoning("hm"), assistant("two")]

    assert transcript(items, CLIPS) == "[user]\none\n\n[assistant]\ntwo"
    assert list(blocks(items, CLIPS)) == ["[user]\none", "[assistant]\ntwo"]


def test_outputs_are_clipped_and_what_people_wrote_is_not() -> None:
    text = "x" * 9_000

    assert len(rendered(output("c", text), CLIPS)) < 8_200
    assert len(rendered(user(text), CLIPS)) > 9_000
