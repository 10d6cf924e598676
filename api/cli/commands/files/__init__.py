"""Commands about files that people write: the first one, and their schemas."""
