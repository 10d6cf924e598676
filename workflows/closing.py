"""How a workflow closes whose work came to nothing: as Failed or Cancelled, with its record, as Temporal's own lists
and counts of workflows have it.

One that was started before closes as Completed with the same record: whoever waits for the end takes both
(``record_of``). Deliberately not here: which ending is which (``job.presentation``, ``deployment.presentation``), and
how "Cancelled" is said to Temporal without a request of its own (``activities.closing``).
"""

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, CancelledError

R = TypeVar("R", bound=BaseModel)

CLOSED_CANCELLED: Final = "Cancelled"
"""The type of the failure that means: close as Cancelled."""
_AS_IT_ENDED: Final = "closes-as-it-ended"  # 2026-11: before, everything closed as Completed
_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")


class Closing(Enum):
    """How Temporal shows a workflow that has ended."""

    COMPLETED = auto()
    FAILED = auto()
    CANCELLED = auto()


def closed(record: R, how: Closing, *, cause: str, words: str) -> R:
    """The record, for a workflow to return; or it closes otherwise, by the error that this raises.

    ``cause`` becomes the failure's type where it is a short code; an agent may have said anything.
    """
    if how is Closing.COMPLETED or not workflow.patched(_AS_IT_ENDED):
        return record
    kind = cause if _CODE.fullmatch(cause) else how.name.lower()
    raise ApplicationError(
        words,
        record,
        type=CLOSED_CANCELLED if how is Closing.CANCELLED else kind,
        non_retryable=True,
        category=ApplicationErrorCategory.BENIGN,  # no fault of the control plane's: neither logged nor counted as one
    )


def record_of(error: BaseException, kind: type[R]) -> R | None:
    """The record with which a workflow closed that did not complete; None when it ended in another way: terminated,
    refused, timed out. ``error``: what a client or a parent gets for its end.
    """
    for details in _details(error):
        if isinstance(details, kind):
            return details
        try:
            return kind.model_validate(details)
        except ValidationError:
            continue
    return None


def _details(error: BaseException) -> Iterator[Any]:
    """A refusal has details of another kind."""
    for each in (error, getattr(error, "cause", None)):
        if isinstance(each, ApplicationError):
            yield from each.details[:1] if each.category is ApplicationErrorCategory.BENIGN else ()
        elif isinstance(each, CancelledError):
            yield from each.details[:1]
