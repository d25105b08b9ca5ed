"""The base of every config section: unknown keys are errors, values are frozen, every field has a title."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class StrictModel(BaseModel):
    """A config section. Field titles are what `config init`, `config schema` and the docs print."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False, protected_namespaces=())

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        for name, field in cls.model_fields.items():
            if not field.title:
                raise TypeError(f"{cls.__name__}.{name} has no title")


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str | Path) else value


PathList = Annotated[list[Path], BeforeValidator(_as_list)]
