"""What header fields an upstream call carries: whose key, and which of the client's own fields."""

from __future__ import annotations

from typing import Final

from adapter.upstream.router import Upstream
from adapter.wire.headers import CODEX_LITE, TO_ANY_UPSTREAM, TO_CALLERS_UPSTREAM, Headers, onward

_TOKEN: Final = "eyJ"
"""How a token begins that is no key: the base64 of `{"`, the start of its header (RFC 7519)."""
_FEATURES: Final = {
    True: TO_CALLERS_UPSTREAM,
    False: tuple(name for name in TO_CALLERS_UPSTREAM if name != CODEX_LITE),
}
"""What goes on with the caller's own key, by `Profile.codex_lite`."""


def call_headers(
    upstream: Upstream, headers: Headers, callers_key: str | None, request_id: str, key: int = 0
) -> dict[str, str]:
    """The fields for one call; the operator's key where one is configured (`key`: which of them), else the caller's own."""
    fields = onward(headers, TO_ANY_UPSTREAM)
    fields["X-Request-Id"] = request_id
    if upstream.api_keys is None:
        secret = callers_key
        fields |= onward(headers, _FEATURES[upstream.profile.codex_lite])
    else:
        secret = upstream.api_keys[key]
    if secret and upstream.profile.key_header == "api-key" and not secret.startswith(_TOKEN):
        fields["api-key"] = secret
    elif secret:
        fields["Authorization"] = f"Bearer {secret}"
    if own := upstream.headers:
        return {name: value for name, value in fields.items() if name.lower() not in own}
    return fields
