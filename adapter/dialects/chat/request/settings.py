"""Everything of a request but its conversation and its tools -> Chat fields (map a1, column R→C).

Each field of the Responses API stands in `_WRITERS` once. What is neither there nor in `_ELSEWHERE` is unknown: a Chat client's
goes on under its own name, for only the upstream can know; a Responses client's is a loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapter.dialects.chat.request.response_format import write_format
from adapter.dialects.chat.request.updates import settings_in_effect
from adapter.dialects.checks import json_object, string, wrong_type
from adapter.dialects.writing import Writing
from adapter.errors import PreviousResponseNotFound, UnsupportedParameter
from adapter.hub.losses import Action

_Writer = Callable[[Writing, str, Any], None]


def write_settings(writing: Writing) -> None:
    """Puts the settings into `writing` as this upstream takes them.

    Raises:
        UnsupportedParameter: something that a Chat upstream cannot do and that would change the answer.
    """
    request = writing.request
    for key, value in settings_in_effect(writing).items():
        if value is None or key in _ELSEWHERE:
            continue
        _WRITERS.get(key, _unknown)(writing, key, value)
    if request.carry:
        _carried(writing)
    # always said: some servers stream when it is left out; and usage is always asked for
    writing.fields["stream"] = request.stream
    if request.stream and writing.profile.stream_options:
        writing.fields["stream_options"] = {"include_usage": True}


def _carried(writing: Writing) -> None:
    """What only Chat can say. `n` is not sent: several answers are several calls; `functions` is about the answer."""
    for key, value in writing.request.carry.items():
        if key in ("n", "functions", "flat"):
            continue
        if key in writing.profile.accepts:
            writing.fields[key] = value
        elif key == "stop":
            writing.stop = tuple(writing.request.carry["stop"])
        elif value or key == "seed":  # no penalty and no bias are the default; a seed of 0 is a seed
            writing.lose(key, key, "The upstream does not take this.")


def _unknown(writing: Writing, key: str, value: Any) -> None:
    if writing.request.dialect == "chat":
        writing.fields[key] = value
    else:
        writing.lose(key, "unknown_parameter", "Chat Completions has no such parameter.")


def _plain(*meaningless: Any, hint: bool = False) -> _Writer:
    """A field of the same name: sent where it is taken. `meaningless` values and hints are no loss elsewhere."""

    def write(writing: Writing, key: str, value: Any) -> None:
        if key in writing.profile.accepts:
            writing.fields[key] = value
        elif not hint and value not in meaningless:
            writing.lose(key, key, "The upstream does not take this.")

    return write


def _silent(_writing: Writing, _key: str, _value: Any) -> None:
    """Means nothing to a Chat upstream, or is the adapter's own business."""


def _stream_options(writing: Writing, key: str, value: Any) -> None:
    """Usage always comes at a Responses stream's end, and nothing is obfuscated here."""
    writing.lose_unknown(key, value, _STREAM_OPTIONS)


_STREAM_OPTIONS: Final = frozenset({"include_obfuscation", "include_usage"})


def _provider(writing: Writing, key: str, value: Any) -> None:
    """A word is for the adapter's own routing; an object is a parameter of the upstream's (OpenRouter)."""
    if not isinstance(value, str):
        _unknown(writing, key, value)


def _unsupported(reason: str) -> _Writer:
    def write(_writing: Writing, key: str, value: Any) -> None:
        if value is not False:
            raise UnsupportedParameter(f"'{key}' is not supported here: {reason}.", param=key)

    return write


def _lost(reason: str, meaningless: Any) -> _Writer:
    def write(writing: Writing, key: str, value: Any) -> None:
        if value != meaningless:
            writing.lose(key, key, reason)

    return write


def _max_output_tokens(writing: Writing, key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(key, "an integer", value)
    writing.fields[writing.profile.max_tokens_field] = value


def _metadata(writing: Writing, key: str, value: Any) -> None:
    """Servers that store take metadata only beside `store: true`; a Responses client gets it echoed in any case."""
    accepts = writing.profile.accepts
    if key in accepts and ("store" not in accepts or _stored(writing)):
        writing.fields[key] = value
    elif value:
        writing.lose(key, key, "The upstream does not take this.")


def _store(writing: Writing, key: str, _value: Any) -> None:
    """Said outright, because the default differs from account to account."""
    if key in writing.profile.accepts:
        writing.fields[key] = _stored(writing)


def _stored(writing: Writing) -> bool:
    """A Chat client's `store` is the upstream's; a Responses client's is about responses, which a Chat upstream never keeps."""
    return writing.request.dialect == "chat" and writing.request.body.get("store") is True


def _service_tier(writing: Writing, key: str, value: Any) -> None:
    if key in writing.profile.accepts and value == "ultrafast":
        writing.lose(key, key, "Chat Completions has no ultrafast tier.", Action.APPROXIMATED)
        value = "priority"
    _plain("auto", "default")(writing, key, value)


def _reasoning(writing: Writing, key: str, value: Any) -> None:
    """The effort; `summary` is made from the answer's reasoning text, all else has no counterpart."""
    for option, said in json_object(value, key).items():
        if option == "effort" and said is not None:
            _effort(writing, string(said, "reasoning.effort"))
        elif option in _OWN_OPTIONS:
            if said not in _OWN_OPTIONS[option]:
                writing.lose(f"reasoning.{option}", f"reasoning.{option}", "Chat Completions has no such setting.")
        elif option not in _SUMMARIES and said is not None:
            writing.lose(f"reasoning.{option}"[:64], "unknown_parameter", "Chat Completions has no such parameter.")


_OWN_OPTIONS: Final[dict[str, tuple[str | None, ...]]] = {"mode": (None, "standard"), "context": (None, "auto")}
"""Of `reasoning`, what only Responses knows -> its defaults."""
_SUMMARIES: Final = ("summary", "generate_summary")


def _effort(writing: Writing, effort: str) -> None:
    profile = writing.profile
    if not profile.reasoning_effort:
        writing.lose("reasoning.effort", "reasoning.effort", "The upstream does not take an effort.")
    elif (taken := profile.nearest_effort(effort)) is None:
        writing.lose("reasoning.effort", "reasoning.effort", "The upstream does not know this effort word.")
    else:
        writing.fields["reasoning_effort"] = taken
        if taken != effort:
            reason = "The upstream takes other effort words; the nearest is sent."
            writing.lose("reasoning.effort", "reasoning.effort", reason, Action.APPROXIMATED)


def _text(writing: Writing, key: str, value: Any) -> None:
    for option, said in json_object(value, key).items():
        if said is None:
            continue
        if option == "format":
            form, writing.hint = write_format(writing, json_object(said, "text.format"))
            if form is not None:
                writing.fields["response_format"] = form
        elif option == "verbosity":
            if "verbosity" in writing.profile.accepts:
                writing.fields["verbosity"] = said
            elif said != "medium":
                writing.lose("text.verbosity", "verbosity", "The upstream does not take this.")
        else:
            writing.lose(f"text.{option}"[:64], "unknown_parameter", "Chat Completions has no such parameter.")


def _logprobs(writing: Writing, _key: str, _value: Any) -> None:
    """`include` or `top_logprobs`, whichever comes: both together say what Chat says in two fields."""
    body = writing.request.body
    include, top = body.get("include"), body.get("top_logprobs")
    asked = isinstance(include, list) and "message.output_text.logprobs" in include
    if not asked and not top:
        return
    if "logprobs" not in writing.profile.accepts:
        writing.lose_once("include" if asked else "top_logprobs", "logprobs", "The upstream does not give logprobs.")
        return
    writing.fields["logprobs"] = True
    if top is not None and "top_logprobs" in writing.profile.accepts:
        writing.fields["top_logprobs"] = top
    elif top:
        writing.lose_once("top_logprobs", "top_logprobs", "The upstream gives no other tokens than the one it chose.")


def _prompt_cache_options(writing: Writing, key: str, value: Any) -> None:
    """A hint where the upstream takes none, but `prewarm`: whoever asks for that wants no answer."""
    options = json_object(value, key)
    if options.get("prewarm"):
        _unsupported("the upstream would answer")(writing, f"{key}.prewarm", True)
    if key not in writing.profile.accepts:
        return
    kept: dict[str, Any] = {}
    for option, said in options.items():
        if writing.request.dialect == "chat" or (option, said) in _SAID_OF_CACHES:
            kept[option] = said
        elif said:
            writing.lose(f"{key}.{option}"[:64], key, "Chat Completions has no such option.")
    writing.fields[key] = kept


_SAID_OF_CACHES: Final = (("mode", "implicit"), ("mode", "explicit"), ("ttl", "30m"))
"""What Chat knows of `prompt_cache_options`, which Responses has more of."""


def _previous(_writing: Writing, key: str, value: Any) -> None:
    raise PreviousResponseNotFound("Previous response not found.", param=key)


_WRITERS: Final[dict[str, _Writer]] = {
    "temperature": _plain(),
    "top_p": _plain(),
    "max_output_tokens": _max_output_tokens,
    "metadata": _metadata,
    "store": _store,
    "user": _plain(),
    "safety_identifier": _plain(),
    "moderation": _plain(),
    "service_tier": _service_tier,
    "prompt_cache_key": _plain(hint=True),
    "prompt_cache_retention": _plain(hint=True),
    "prompt_cache_options": _prompt_cache_options,
    "reasoning": _reasoning,
    "text": _text,
    "include": _logprobs,
    "top_logprobs": _logprobs,
    "truncation": _lost("The adapter does not shorten conversations by itself.", "disabled"),
    "context_management": _lost("The adapter does not compact this conversation by itself.", []),
    "background": _unsupported("there is nothing that would keep the answer"),
    "conversation": _unsupported("conversations are not kept"),
    "prompt": _unsupported("prompt templates are not known here"),
    "previous_response_id": _previous,
    "max_tool_calls": _silent,
    "stream": _silent,
    "stream_options": _stream_options,
    "client_metadata": _silent,
    "internal_chat_message_metadata_passthrough": _silent,
    "provider": _provider,
}

_ELSEWHERE: Final = frozenset({"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls"})
"""Written by `write_request`, `history` and `tool_choice`."""
