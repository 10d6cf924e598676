"""Temporal workflows: what happens next. Contracts for everybody, workflows for the control worker."""
