"""The functions that stand in for tools which the server does not have, and the schema of one that has none."""

from __future__ import annotations

from typing import Any, Final

Function = dict[str, Any]

_STRING: Final = {"type": "string"}


def _schema(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def no_parameters() -> dict[str, Any]:
    """Of a function without parameters: what an absent schema means, spelled out, since many servers want it."""
    return {"type": "object", "properties": {}}


def unencrypted(parameters: dict[str, Any]) -> dict[str, Any]:
    """The schema without the mark of arguments that OpenAI gives its clients encrypted; itself where none has it."""
    properties = parameters.get("properties")
    if not isinstance(properties, dict):
        return parameters
    marked = {
        called: {key: value for key, value in schema.items() if key != "encrypted"}
        for called, schema in properties.items()
        if isinstance(schema, dict) and schema.get("encrypted") is True
    }
    return {**parameters, "properties": {**properties, **marked}} if marked else parameters


LOCAL_SHELL: Final[Function] = {
    "name": "local_shell",
    "description": "Run a command on the user's machine and get its output.",
    "parameters": _schema(
        ["command"],
        command={
            "type": "array",
            "items": _STRING,
            "description": "The program and its arguments, one string each; no shell expands them.",
        },
        working_directory={"type": "string", "description": "Where to run it; the current directory if left out."},
        timeout_ms={"type": "integer", "description": "Stop the command after this many milliseconds."},
        env={"type": "object", "additionalProperties": _STRING, "description": "Environment variables to set."},
        user={"type": "string", "description": "The user to run it as."},
    ),
}
"""Arguments: the `action` of a local_shell_call without its `type`."""

SHELL: Final[Function] = {
    "name": "shell",
    "description": "Run shell commands, in order, and get the output of each.",
    "parameters": _schema(
        ["commands"],
        commands={"type": "array", "items": _STRING, "description": "One shell command line each."},
        timeout_ms={"type": "integer", "description": "Stop after this many milliseconds."},
        max_output_length={"type": "integer", "description": "Keep at most this many characters of output."},
    ),
}
"""Arguments: the `action` of a shell_call."""

APPLY_PATCH: Final[Function] = {
    "name": "apply_patch",
    "description": "Create, update or delete one file. Updates are unified diffs in the V4A form: sections that start "
    "with @@, lines that start with a space, + or -, and no line numbers.",
    "parameters": _schema(
        ["type", "path"],
        type={"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
        path={"type": "string", "description": "The file, relative to the workspace."},
        diff={"type": "string", "description": "The diff; for a new file its lines, each with a + before it."},
    ),
}
"""Arguments: the `operation` of an apply_patch_call."""

TOOL_SEARCH: Final[Function] = {
    "name": "tool_search",
    "description": "Search for further tools; those found can be called afterwards.",
    "parameters": _schema(["query"], query={"type": "string", "description": "What the tool should be able to do."}),
}
"""Arguments: the `arguments` of a tool_search_call. Description and parameters are usually the client's own."""

_FREEFORM: Final = (
    "This is a freeform tool: put the complete text into `input`, exactly as it is meant, "
    "with no JSON inside and no code fence around it."
)


def freeform(name: str, description: str | None, form: dict[str, Any]) -> Function:
    """A custom tool as a function with one string property `input`; a grammar is told in the description."""
    told = [description, _FREEFORM] if description else [_FREEFORM]
    if form.get("type") == "grammar" and isinstance(form.get("definition"), str):
        syntax = form.get("syntax")
        told.append(
            f"The text must match this {syntax if syntax in ('lark', 'regex') else ''} grammar:\n{form['definition']}"
        )
    return {
        "name": name,
        "description": "\n\n".join(told),
        "parameters": _schema(["input"], input={"type": "string", "description": "The text for the tool."}),
    }
