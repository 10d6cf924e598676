"""What is allowed and what follows from facts: approvals, parties, policy, metrics, the order of commits. Pure."""
