"""What can be wrong with sealed payloads and their keys."""


class UnusableCodecKeys(Exception):
    """The codec's keys cannot be used; the message says what to do."""


class UnreadablePayload(Exception):
    """A payload was sealed with a key that is not here, or was changed on its way."""
