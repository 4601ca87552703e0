"""What every body, answer and query has in common."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """What a client sends: `"60"` is no number, `1.5` no whole one, and unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class View(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(frozen=True)


class Query(BaseModel):
    """Parameters of a URL; unknown ones are refused, because a misspelt filter would answer with too much."""

    model_config = ConfigDict(extra="forbid", frozen=True)
