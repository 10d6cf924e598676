"""The base of every model that crosses a boundary."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: immutable, and refusing fields it does not know, so that a typing error is never lost in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tolerant(BaseModel):
    """A value written by another version of this software: immutable, unknown fields are ignored.

    Used for what is read back from a store or from workflow history, where a newer writer may have added fields.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
