"""What the environment says of the sections, found by pydantic-settings.

`ADAPTER_SERVER__PORT=9000` names a key; an array or a table is one JSON value (`ADAPTER_UPSTREAMS='[…]'`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from pydantic import create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from adapter.errors import ConfigError
from adapter.sections import ENV_PREFIX


class _Environment(EnvSettingsSource):
    """Nested names lead into sections: the library looks into its own kinds of classes only."""

    def next_field(self, field: Any, key: str, case_sensitive: bool | None = None) -> FieldInfo | None:
        table = field.annotation if isinstance(field, FieldInfo) else field
        if not is_dataclass(table):
            return super().next_field(field, key, case_sensitive)
        kind = get_type_hints(table, include_extras=True).get(key.lower())
        return None if kind is None else FieldInfo.from_annotation(kind)


class _Named(BaseSettings):
    """Whose fields are looked for; never made."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__", defer_build=True)


def environment(tables: Mapping[str, Any]) -> dict[str, Any]:
    """A table of what is said of `tables` (key -> its type and its default); values of single keys are text.

    Raises:
        ConfigError: what stands for an array or a table is no JSON.
    """
    try:
        return _Environment(create_model("_Tables", __base__=_Named, **tables))()
    except SettingsError as refused:
        said = str(refused).partition(" from source ")[0]
        raise ConfigError(f"environment: {said}: arrays and tables are written as JSON there") from None
