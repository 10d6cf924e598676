"""Secrets by name: fetched on this host for one attempt, handed to its steps, never written to a disk."""

from agent.secrets.errors import SecretError as SecretError
from agent.secrets.errors import SecretUnavailable as SecretUnavailable
from agent.secrets.vault import Unlocked as Unlocked
from agent.secrets.vault import Vault as Vault
