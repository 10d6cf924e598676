"""What a job asks of its agent that agents of an earlier version do not know: labels that agents have by themselves.

An agent passes over fields that it does not know, so a job that depends on one demands the label beside it, and waits
in the queue of those that have it. Nothing else is needed: a queue for a demand, and words for a job that waits because
nobody meets it, are there for all labels. Pure. Deliberately not here: what labels are (``labels``).
"""

from collections.abc import Iterable, Sequence
from typing import Final

ARTIFACT_RULES: Final = "hybridci/artifact-rules"
"""Leaves files out (``!x``), and knows what it means when none is found."""
CHECKOUT: Final = "hybridci/checkout"
"""Knows submodules, tags, LFS, depth, a path, and no checkout at all."""
CHECKOUT_FILTER: Final = "hybridci/checkout-filter"
"""Knows partial clones."""
INPUTS: Final = "hybridci/inputs"
"""Fetches files of other jobs before the first step."""
STEP_RULES: Final = "hybridci/step-rules"
"""Knows when a step runs, what becomes of what it leaves behind, how it is ended, and values that expand."""
RESUME: Final = "hybridci/resume"
"""Keeps what a lost attempt has done, and goes on behind it."""
RESUME_DEPLOYMENTS: Final = "hybridci/resume-deployments"
"""Does so for deployments' jobs too."""
FEATURES: Final = (ARTIFACT_RULES, CHECKOUT, CHECKOUT_FILTER, INPUTS, STEP_RULES, RESUME, RESUME_DEPLOYMENTS)
"""What agents of this version know; each is a label of theirs with the value ``1``."""
_DEMANDS: Final = frozenset(f"{feature}=*" for feature in FEATURES)


def with_features(requires: Sequence[str], features: Iterable[str]) -> list[str]:
    """What a job demands, with the label of each feature that it uses, and of no other."""
    return [*without_features(requires), *(f"{feature}=*" for feature in sorted(set(features)))]


def without_features(requires: Iterable[str]) -> list[str]:
    """What somebody has asked for, without the labels that follow from what the job uses."""
    return [each for each in requires if each not in _DEMANDS]
