"""Who asks for something: one shape for every command, and for every event that follows from one."""

from workflows.contracts.base import Frozen
from workflows.contracts.fields import Person
from workflows.contracts.identity.proofs import Provable


class Who(Frozen):
    """Who asks, by which means, from which address, in which role.

    ``by``: the person for whom it is done, else the caller itself; None when nobody is known. ``via``: ``api``,
    ``cli``, ``agent``, ``webhook:<provider>``, ``workflow`` (the control plane itself), ``temporal`` (what a person
    types in Temporal's own CLI leaves it out). ``key_id``: of the key or session that was shown: names are not unique.
    Commands are ``Message``s: its fields stand beside theirs in JSON.
    """

    by: str | None = None
    via: str = "temporal"
    address: str | None = None
    role: str | None = None
    key_id: str | None = None

    def who(self) -> "Who":
        """These fields alone, of whatever carries them."""
        return Who(by=self.by, via=self.via, address=self.address, role=self.role, key_id=self.key_id)

    @staticmethod
    def itself(name: str) -> "Who":
        """A part of the control plane, which nobody asked."""
        return Who(by=name, via="workflow")


class Message(Who, Provable):
    """A command to a workflow, and whose word it is that these are who asks."""


class Named(Message):
    """A command that nobody can give without a name."""

    by: Person  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues] - it is frozen


class WhoAndWhy(Who):
    """Who asks for a change that goes to a store and to no workflow, and why."""

    reason: str | None = None
