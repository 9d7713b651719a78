"""How servers word the refusals that are acted on: too long, no money, no such model, reasoning that cannot be opened.

Clients go by the code (`context_length_exceeded` makes an agent compact its history, `insufficient_quota` stops it), as we do by
`invalid_encrypted_content`, and most servers give none. The table holds what servers write, in lower case; a meaning is found by
the code, else by the words.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Meaning(Enum):
    """A refusal that has one code for all servers."""

    CONTEXT = "context_length_exceeded"
    QUOTA = "insufficient_quota"
    MODEL = "model_not_found"
    SEALED = "invalid_encrypted_content"


SPENT: Final = frozenset(
    [
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    ]
)
"""What OpenAI says more closely than `insufficient_quota`, which is the type of all of them."""
_CODES: Final = {
    "context_length_exceeded": Meaning.CONTEXT,
    "context_window_exceeded": Meaning.CONTEXT,
    "exceed_context_size_error": Meaning.CONTEXT,  # llama.cpp
    "context_too_long": Meaning.CONTEXT,
    "string_above_max_length": Meaning.CONTEXT,  # OpenAI, a single message over the bound
    "1261": Meaning.CONTEXT,  # Zhipu
    "insufficient_quota": Meaning.QUOTA,
    "insufficient_balance": Meaning.QUOTA,
    "insufficient_user_quota": Meaning.QUOTA,
    "billing_hard_limit_reached": Meaning.QUOTA,
    "billing_not_active": Meaning.QUOTA,
    **dict.fromkeys(SPENT, Meaning.QUOTA),
    "exceeded_current_quota_error": Meaning.QUOTA,  # Moonshot
    "arrearage": Meaning.QUOTA,  # DashScope
    "budget_exceeded": Meaning.QUOTA,  # LiteLLM, of a key, a user or a team
    "1113": Meaning.QUOTA,  # Zhipu
    "model_not_found": Meaning.MODEL,
    "modelnotfound": Meaning.MODEL,
    "model_not_exist": Meaning.MODEL,
    "invalid_model": Meaning.MODEL,  # Mistral
    "deploymentnotfound": Meaning.MODEL,  # Azure
    "1211": Meaning.MODEL,  # Zhipu
    "invalid_encrypted_content": Meaning.SEALED,
}

# what the words are looked for with is compiled when the first refusal comes: 1 % of a start
_CONTEXT: Final = (
    r"context[ _](?:length|size|window|limit)[ _](?:is |was |has been )?exceed"  # llama.cpp, MiniMax, proxies that quote a code
    r"|maximum (?:context|prompt|model|allowed input|input) length"  # OpenAI, vLLM, SGLang, DeepSeek, xAI, Poolside, Mistral
    r"|exceeds? (?:the |this )?(?:model'?s? |available |maximum |model )*context"  # OpenAI, llama.cpp
    r"|(?:prompt|input) (?:is )?too long"  # Anthropic, Bedrock, Ollama, Fireworks
    r"|longer than the (?:model's context length|maximum model length)"  # SGLang, vLLM
    r"|(?:greater|larger) than the context (?:length|window|size)"  # LM Studio
    r"|context the overflows|n_keep.{1,20}>= n_ctx"  # LM Studio, its own words
    r"|exceed(?:s|ed)? (?:the )?(?:context limit|model token limit)"  # Anthropic, Moonshot
    r"|input token count.{0,40}exceeds the maximum"  # Gemini
    r"|reduce the (?:length|number of tokens|amount)[^.]{0,40}(?:messages|prompt|input)"  # Groq
    r"|tokens \+ `?max_new_tokens`? must be"  # TGI, Together
    r"|range of input length should be"  # DashScope
    r"|token count of \d+ exceeds the limit of"  # GitHub Copilot
    r"|exceeds max_(?:seq|model)_len"
    r"|prompt 超长|输入.{0,10}超长"
)
_QUOTA: Final = (
    r"exceeded your current quota"  # OpenAI
    r"|insufficient (?:balance|credits?|funds|quota)|requires more credits"  # DeepSeek, Moonshot, OpenRouter
    r"|credit balance is too low|out of credits|payment required"  # Anthropic
    r"|billing hard limit|account is not active|in good standing"  # OpenAI, DashScope
    r"|no deployments available - crossed budget"  # LiteLLM, of a provider or a tag
    r"|余额不足|欠费"
)
_MODEL: Final = (
    r"model [`'\"]?[^`'\"\n]{1,200}[`'\"]? (?:does not|doesn't) exist"  # OpenAI, vLLM, Groq, xAI
    r"|model [`'\"]?[^`'\"\n]{1,200}[`'\"]? (?:was |is |could )?not (?:be )?found"  # Ollama, llama.cpp
    r"|model not (?:exist|found)|no such model|unknown model|model does not exist"  # DeepSeek, DashScope, LM Studio
    r"|is not a valid model|invalid model\b|not found the model"  # OpenRouter, Mistral, Moonshot
    r"|unable to access model|deployment .{1,100} does not exist"  # Together, Azure
    r"|server is pinned to"  # transformers serve
    r"|模型不存在"
)
_SEALED: Final = (
    r"encrypted[ _]content\b(?s:.{0,200})(?:could not be verified|was not issued)"  # Azure, LiteLLM, OpenCode
    r"|could not (?:decrypt the provided encrypted_content|decode the compaction blob)"  # xAI
)
_INPUT: Final = (
    r"(?:image|audio|video) input is not supported"  # llama.cpp, of a model without a projector
    r"|^failed to parse (?:messages|tools|tool call arguments)"  # llama.cpp
    r"|content violates usage guidelines"  # xAI, with a 403 and the code of a refused key
    r"|input was flagged"  # OpenRouter, with a 403
)
"""What is the client's fault though the server says with its status that it is its own, or the key's."""
_KEY: Final = (
    r"^api key (?:not valid|not found|expired)"  # Gemini
    r"|^(?:incorrect|invalid) api key provided"  # xAI
)
"""What some say with a 400 of a key."""
_READ: Final = 2_000
"""Characters of a message that are looked at; the words stand at its beginning."""


def is_about_input(message: str) -> bool:
    """A server error or a refused key that is neither: the same request would fail again, and others would not."""
    return re.search(_INPUT, message[:_READ].lower()) is not None


def is_about_key(message: str) -> bool:
    """A bad request that is none: the key was refused."""
    return re.search(_KEY, message[:_READ].lower()) is not None


def meaning_of(code: str, type: str, message: str, status: int | None) -> Meaning | None:
    """The meaning of a refusal. Rate limits speak of tokens, too: with status 429 only quota is looked for in words."""
    known = _CODES.get(code.lower()) or _CODES.get(type.lower())
    if known is not None:
        return known
    words = message[:_READ].lower()
    if status != 429 and code != "rate_limit_exceeded":
        if re.search(_CONTEXT, words):
            return Meaning.CONTEXT
        if re.search(_MODEL, words):
            return Meaning.MODEL
        if re.search(_SEALED, words):
            return Meaning.SEALED
    return Meaning.QUOTA if re.search(_QUOTA, words) else None
