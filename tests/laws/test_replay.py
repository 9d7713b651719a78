"""What an answer says, replayed as history, gives back the upstream's own assistant message: every kind of call, every kind
of upstream, both kinds of client."""

from __future__ import annotations

from typing import Any

import pytest

from adapter import translate
from adapter.conform.strict_chat import problems
from adapter.upstream.profiles import profile, profile_names

LONG = "a_namespace_with_a_name_of_more_than_64_characters_when_it_is_joined"
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": "f", "parameters": {"type": "object"}},
    {"type": "function", "name": "spaced out", "parameters": {"type": "object"}},
    {"type": "custom", "name": "patch"},
    {
        "type": "namespace",
        "name": "ns",
        "tools": [{"type": "function", "name": "say"}, {"type": "custom", "name": "run"}],
    },
    {"type": "namespace", "name": LONG, "tools": [{"type": "function", "name": "f"}]},
    {"type": "local_shell"},
    {"type": "shell"},
    {"type": "apply_patch"},
    {"type": "tool_search", "execution": "client"},
]
ARGUMENTS = {
    "f": ["{}", '{"a": 1}', '{"a":"\\u00e9\\n"}'],
    "patch": ['{"input":"*** Begin\\n\\"q\\" é😀"}', '{"input":""}'],
    "local_shell": ['{"command":["ls"]}', '{"command":["ls"],"env":{"A":"b"},"timeout_ms":5,"working_directory":"/"}'],
    "shell": ['{"commands":["ls"]}', '{"commands":["ls","pwd"],"timeout_ms":100}'],
    "apply_patch": ['{"type":"update_file","path":"a","diff":"x"}', '{"type":"delete_file","path":"a"}'],
    "tool_search": ['{"query":"x"}'],
}
OUTPUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "function_call": ("function_call_output", {"output": "x"}),
    "custom_tool_call": ("custom_tool_call_output", {"output": "x"}),
    "local_shell_call": ("local_shell_call_output", {"output": "x"}),
    "shell_call": (
        "shell_call_output",
        {"output": [{"stdout": "o", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]},
    ),
    "apply_patch_call": ("apply_patch_call_output", {"status": "completed", "output": "x"}),
    "tool_search_call": ("tool_search_output", {"execution": "client", "status": "completed", "tools": []}),
}


@pytest.mark.parametrize("kind", profile_names())
@pytest.mark.parametrize("client", ["generic", "codex"])
def test_every_kind_of_call_comes_back_as_the_upstream_made_it(kind: str, client: str) -> None:
    """One message with text, thoughts and a call of every tool on offer, with every form of its arguments."""

    asked = {"model": "m", "input": [{"role": "user", "content": "hi"}], "tools": TOOLS}
    request = translate.request(asked, "responses", "chat", profile=kind, client=client)
    calls: list[dict[str, Any]] = []
    for tool in request.value["tools"]:
        wire = tool[tool["type"]]["name"]
        if tool["type"] == "custom":
            calls.append({"id": f"call{len(calls)}", "type": "custom", "custom": {"name": wire, "input": "raw\n"}})
            continue
        ref = request.exchange.tools.get(wire)
        of = {"function": "f", "custom": "patch"}.get(ref.kind.value, ref.kind.value) if ref else "f"
        for arguments in ARGUMENTS[of]:
            function = {"name": wire, "arguments": arguments}
            calls.append({"id": f"call{len(calls)}", "type": "function", "function": function})
    said = {"role": "assistant", "content": "é ", "reasoning_content": "hm", "tool_calls": calls}
    reply = {"id": "c", "model": "m", "created": 1, "choices": [{"message": said, "finish_reason": "tool_calls"}]}

    told = translate.reply(reply, "chat", "responses", exchange=request.exchange, client=client).value["output"]
    outputs = [
        {"type": name, "call_id": item["call_id"], **more}
        for item in told
        if item["type"] in OUTPUTS
        for name, more in [OUTPUTS[item["type"]]]
    ]
    history = [*asked["input"], *told, *outputs]
    again = translate.request({**asked, "input": history}, "responses", "chat", profile=kind, client=client).value

    assert problems(again, profile(kind)) == []
    (back,) = [message for message in again["messages"] if message["role"] == "assistant"]
    assert back["content"] == said["content"]
    assert [call[call["type"]] for call in back["tool_calls"]] == [call[call["type"]] for call in calls]
    replayed = profile(kind).reasoning_replay != "none"
    assert back.get(profile(kind).reasoning_field) == ("hm" if replayed else None)
