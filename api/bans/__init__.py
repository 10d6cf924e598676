"""Bans of versions and commits of a service."""
