"""What each kind of model server can and cannot do, as data.

"Chat Completions" is a family of sub-dialects. `profiles.toml` beside this file names them; a user overrides any key under
`[upstreams.capabilities]`. Nothing in the code asks for a server by name: it asks for a capability.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

from adapter.errors import ConfigError
from adapter.hints import hint
from adapter.kinds import PositiveInt

Accepted = Literal[
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "metadata",
    "moderation",
    "n",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
]
"""Request fields that some servers take and others refuse, by their Chat names."""

AcceptedByResponses = Literal[
    "frequency_penalty",
    "logprobs",
    "metadata",
    "moderation",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
]
"""The same of servers that speak Responses."""
_OPENAIS: Final[frozenset[AcceptedByResponses]] = frozenset(get_args(AcceptedByResponses)) - {
    "frequency_penalty",
    "presence_penalty",
}

LATE: Final = "late_system"
"""Among the types of tools that a Responses server does not know: instructions behind the first message."""
SYSTEM: Final = "system_message"
"""The same: messages of the system, wherever they stand. ChatGPT's own backend takes developers' only."""

SCHEMAS: Final = "loose_schemas"
"""Among the same: schemas of functions that do not say that they are of an object."""

INCLUDED: Final = "reasoning.encrypted_content"
"""Among the same: reasoning that only the server can read, by what it is asked to include."""

_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")
"""All effort words that are in use, weakest first."""


_SHORTEST_ID: Final = 8
"""Letters that tell all calls of a conversation apart."""


class CallIdRule(NamedTuple):
    """Which tool-call ids a server takes; one that does not fit is replaced by a hash in the call and its output."""

    max: PositiveInt = 64
    alphabet: Literal["any", "word", "alnum"] = "any"
    """`any`; `word` where letters, digits, `_` and `-` pass (Anthropic); `alnum` where only letters and digits do (Mistral:
    exactly nine of them)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The capabilities of one kind of server. Defaults are those of `generic`: careful, taken by every server we know."""

    name: str = "generic"
    key_header: Literal["authorization", "api-key"] = "authorization"
    """Where its key stands: in `Authorization`, behind `Bearer`, or by itself in `api-key` (Azure; tokens of Entra ID stay in the
    former)."""

    # messages
    instructions_role: Literal["system", "developer"] = "system"
    """The role that carries instructions and leading system or developer messages."""
    role_demanded: bool = False
    """Refuses or drops instructions in the other role, or its models' templates do: those of a Chat client go on in
    `instructions_role`, where they stand, in a request that else goes on as it came, too."""
    late_system: Literal["keep", "user", "lead"] = "user"
    """System or developer messages after the first turn: kept in place, sent as user messages in place, or moved into
    the leading one. `keep` also leaves several leading messages unmerged."""
    reasoning_replay: Literal["none", "tool_turns", "all"] = "none"
    """On which assistant messages of the history reasoning text goes back: none, those that have tool calls, or all."""
    reasoning_demanded: bool = False
    """Refuses a history in which one of these messages has none: Moonshot those with tool calls, DeepSeek all where there are
    tools, on Responses too. What another model said, or this one without a thought, gets one that says nothing."""
    reasoning_field: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    """Where in a message that text stands."""
    images: bool = True
    """`image_url` content parts."""
    image_detail: bool = True
    """`detail` of images."""
    names: bool = True
    """`name` of messages: who speaks."""
    files: bool = False
    """`file` content parts."""
    tool_media: bool = False
    """Image parts inside tool messages; otherwise they follow in a user message."""
    extra_content: bool = False
    """Takes `extra_content` of its messages and tool calls back: Gemini signs its calls there."""
    signatures_demanded: bool = False
    """Refuses a history with calls that are not signed: those of another model, and of clients that drop what they do not know,
    are sent with the mark that Google has for them."""
    reasoning_details: bool = False
    """Takes `reasoning_details` of its answers back: OpenRouter, which makes of reasoning without them what its upstreams refuse."""
    assistant_null_content: bool = True
    """`content: null` beside tool_calls; otherwise `""`."""
    empty_answers: bool = True
    """Takes assistant messages that say nothing: no text but blanks, no calls. Moonshot, Mistral and Anthropic refuse a history
    with one, so they are left out; others have templates that want user and assistant to take turns."""
    any_arguments: bool = False
    """Takes calls back whatever their arguments are. Others (vLLM, SGLang, llama.cpp) read them, and refuse the history of a model
    that once wrote bad JSON: such arguments are sent as the text in an object, `{"arguments": "…"}`."""

    # tools
    strict_tools: bool = False
    """`function.strict`."""
    custom_tools: bool = False
    """Tools of type `custom`; otherwise sent as functions with one string `input`."""
    allowed_tools: bool = False
    """`tool_choice` of type `allowed_tools`; otherwise the tools are filtered."""
    parallel_tool_calls: bool = True
    """The setting of this name."""
    tool_choice: Literal["named", "words", "ignored"] = "named"
    """Which choices are heeded: also one that names a function; `none`, `auto` and `required` only, so that a named function is
    the one tool that is sent; or no choice, so that `none` sends no tools and a demand is a loss."""
    call_id: CallIdRule = field(default_factory=CallIdRule)
    """Which ids of tool calls pass: their length, and `any` characters, `word` or `alnum`; others are replaced by a hash."""
    name_max: PositiveInt = 64
    """How long the name of a function may be; longer ones are cut and told apart by a hash."""

    # settings
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    """What the limit of an answer is called."""
    limit_demanded: bool = False
    """Refuses a limit under the other name, or does not heed it: a Chat client's goes on under this one in a request that else goes
    on as it came, too."""
    stream_options: bool = True
    """Streams report usage where `stream_options` asks for it."""
    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    """The most that `response_format` can say; less is emulated by instructions."""
    reasoning_effort: bool = False
    """The setting of this name."""
    reasoning_efforts: tuple[str, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    """Effort words taken; another goes to the nearest one, where any is known."""
    web_search_options: bool = False
    """The setting of this name; otherwise `web_search` is a loss."""
    accepts: frozenset[Accepted] = frozenset(
        {
            "temperature",
            "top_p",
            "stop",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "top_logprobs",
        }
    )
    """Further optional request fields taken, by their Chat names."""

    # upstreams that speak Responses
    stateful: bool = False
    """Keeps responses and conversations itself (OpenAI, Azure). Others get `store: false` always."""
    min_output_tokens: PositiveInt = 16
    """Smaller limits of Chat clients are raised to this: OpenAI takes no `max_output_tokens` below 16."""
    text_format: bool = True
    """Holds its answers on Responses to `text.format`; otherwise a Chat client's `response_format` is a loss."""
    responses_accepts: frozenset[AcceptedByResponses] = _OPENAIS
    """Optional request fields that a Chat client's request may have there, by their Chat names; the penalties are no part of
    OpenAI's. A Responses client's request is its own server's to judge."""
    responses_tools: tuple[str, ...] = ()
    """The types of tools that its Responses endpoint knows, where they are few: `["function"]`, no others. Codex offers many more:
    of those the ones that clients run are sent as functions, and the others dropped, a loss; and instructions go where `late_system`
    has them. Empty: whatever is said passes, and a server that is not `stateful` and refuses it is asked again in simpler words; what
    it answers by is remembered for an hour, as `responses_unknown`."""
    responses_unknown: tuple[str, ...] = ()
    """The types of tools that it does not know, where it knows the others; `late_system` stands for instructions behind the first
    message, `system_message` for messages of the system anywhere, and `loose_schemas` for schemas of functions without
    `type: "object"` or without properties: any server that refuses those is asked again with schemas that have both, and of unions at
    the top with one object, a loss. `reasoning.encrypted_content` stands for such reasoning."""
    empty_descriptions: bool = True
    """Takes tools whose `description` says nothing. Codex sends a namespace with one on every turn, and Azure refuses that: it gets
    the name of the namespace instead, and none of other tools."""
    codex_lite: bool = True
    """May be sent `x-openai-internal-codex-responses-lite`, by which Codex asks for its own form of the API; Azure refuses namespaces
    then."""
    reasoning_input: bool = False
    """Takes a chat client's `reasoning_content` back as a reasoning item with `reasoning_text`."""
    encrypted_reasoning: bool = False
    """Gives and takes back reasoning that only it can read: it is asked for where a Chat client has tools, who carries it as
    `reasoning_details`. A model that turns out to give none is not asked for an hour."""
    reasoning_summary: Literal["auto", "concise", "detailed", None] = None
    """The `reasoning.summary` that is asked for on behalf of Chat clients that say none, who get it as `reasoning_content`. None: they
    are told nothing of what is only told in summaries. OpenAI refuses it for models that do not reason, and of accounts that it has not
    verified."""

    @property
    def rewords(self) -> bool:
        """A Responses request may be said to it in other words than the client's."""
        return bool(self.responses_tools or self.responses_unknown)

    @property
    def carries_reasoning(self) -> bool:
        """Chat clients carry reasoning that only it can read from turn to turn."""
        return self.encrypted_reasoning and INCLUDED not in self.responses_unknown

    def nearest_effort(self, effort: str) -> str | None:
        """The effort word taken that is nearest to `effort`; None where nobody knows which that is: words of a server's own have no
        place among the others."""
        if effort in self.reasoning_efforts:
            return effort
        known = [word for word in _EFFORTS if word in self.reasoning_efforts]
        if effort not in _EFFORTS or not known:
            return None
        wanted = _EFFORTS.index(effort)
        return min(known, key=lambda word: abs(_EFFORTS.index(word) - wanted))

    @property
    def demands(self) -> bool:
        """Refuses some of what every other server of Chat Completions takes: a client's own request is looked through for it."""
        return (
            self.role_demanded
            or self.reasoning_demanded
            or self.signatures_demanded
            or self.limit_demanded
            or self.call_id.alphabet != "any"
        )

    @property
    def signs(self) -> bool:
        """Wants something back with its answers that a client may drop."""
        return self.extra_content or self.reasoning_details


GENERIC = Profile()


@cache
def _table() -> dict[str, dict[str, Any]]:
    """The named ones but `generic`; 6 ms that a start without them does not need."""
    import tomllib

    text = files("adapter.upstream").joinpath("profiles.toml").read_text("utf-8")
    return tomllib.loads(text)


def profile_names() -> list[str]:
    """The names that `profile(...)` takes."""
    return sorted([GENERIC.name, *_table()])


def profile(name: str, capabilities: dict[str, Any] | None = None) -> Profile:
    """The named profile, with `capabilities` laid over it.

    Raises:
        ConfigError: an unknown name, key or value, with the nearest known one.
    """
    named = _named(name)
    return _overlaid(named, capabilities) if capabilities else named


@lru_cache(maxsize=1024)
def without(profile: Profile, unknown: frozenset[str]) -> Profile:
    """The profile of a server that does not know these, either."""
    late = "user" if profile.late_system == "keep" and not unknown.isdisjoint((LATE, SYSTEM)) else profile.late_system
    return replace(profile, responses_unknown=tuple(sorted(unknown.union(profile.responses_unknown))), late_system=late)


@cache
def _named(name: str) -> Profile:
    if name == GENERIC.name:
        return GENERIC
    table = _table()
    if name not in table:
        raise ConfigError(f"unknown profile {name!r}{hint(name, profile_names())}")
    return _overlaid(Profile(name=name), table[name])


def _overlaid(base: Profile, keys: dict[str, Any]) -> Profile:
    known = {f.name for f in fields(Profile)} - {"name"}
    changes: dict[str, Any] = {}
    for key, value in keys.items():
        if key not in known:
            raise ConfigError(f"unknown capability {key!r}{hint(key, known)}")
        changes[key] = _coerced(key, value, getattr(GENERIC, key))
    return replace(base, **changes)


@cache
def _words() -> dict[str, list[str]]:
    """Capability -> the words it chooses among, or lists some of, where they are a few."""
    kinds = {key: _listed(kind) for key, kind in get_type_hints(Profile).items()}
    words = {key: get_args(kind) for key, kind in kinds.items() if get_origin(kind) is Literal}
    return {key: [word for word in known if word is not None] for key, known in words.items()}


def _listed(kind: Any) -> Any:
    """What a list holds; anything else as it is."""
    return get_args(kind)[0] if get_origin(kind) in (tuple, frozenset) else kind


def _coerced(key: str, value: Any, default: Any) -> Any:
    words = _words().get(key)
    if isinstance(default, CallIdRule):
        rule = CallIdRule(**value) if isinstance(value, dict) and value.keys() <= set(CallIdRule._fields) else None
        if rule is None or type(rule.max) is not int or rule.max < _SHORTEST_ID or rule.alphabet not in _ALPHABETS:
            raise ConfigError(
                f"capability {key}: a table with max, an integer from {_SHORTEST_ID}, and alphabet, any, word or alnum"
            )
        return rule
    if isinstance(default, (frozenset, tuple)):
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise ConfigError(f"capability {key}: a list of strings")
        for word in value:
            if words is not None and word not in words:
                raise ConfigError(f"capability {key}: unknown {word!r}{hint(word, words)}")
        return type(default)(value)
    if words is not None:
        if value not in words:
            raise ConfigError(f"capability {key}: {value!r} is not one of {', '.join(words)}")
    elif type(value) is not type(default) or (type(value) is int and value < 1):
        raise ConfigError(f"capability {key}: {_MEANT[type(default)]}, not {value!r}")
    return value


_ALPHABETS: Final = ("any", "word", "alnum")
_MEANT: Final = {bool: "true or false", int: "an integer above 0"}
