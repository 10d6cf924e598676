"""The optional payload codec: what workflows are given and answer is unreadable for whoever runs Temporal.

Every process that shares the keys (API, control worker, agents) encrypts each payload before it leaves, failures' words
included. Workflow ids, task queues and search attributes stay readable: Temporal works with them. Deliberately not
here: the cryptography (``sealing``), the endpoint for the Temporal UI (``api``).
"""

import dataclasses
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec


class CodecSettings(BaseSettings):
    """Where the keys are: a file with one base64 key of 32 bytes a line, the newest first. Without it, no codec."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True)

    keys_file: Path | None = Field(
        default=None,
        validation_alias="HYBRIDCI_CODEC_KEYS_FILE",
        description="The [codec's keys](secrets.md#unreadable-for-temporals-operator), base64 of 32 bytes each, one a "
        "line, the newest first: the same for API, workers and agents. Empty: Temporal's operator can "
        "read payloads.",
    )


def data_converter(settings: CodecSettings | None = None) -> DataConverter:
    """THE data converter of every client and worker. Raises UnusableCodecKeys."""
    codec = load_codec(settings or CodecSettings())
    if codec is None:
        return pydantic_data_converter
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def load_codec(settings: CodecSettings) -> PayloadCodec | None:
    """The codec of these settings; None: none is wanted. Raises UnusableCodecKeys."""
    if settings.keys_file is None:
        return None
    from workflows.payloads.sealing import open_codec  # who has no keys does without libsodium's 3 MB

    return open_codec(settings.keys_file)
