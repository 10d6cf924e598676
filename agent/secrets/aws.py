"""Secrets of AWS Secrets Manager and SSM. The only file of the agent that knows boto3, loaded when it is first needed.

Settings are boto3's own (``AWS_*``, AWS_ENDPOINT_URL included) from the agent's environment, or the host's role.
"""

import asyncio
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from agent.own_environment import whole_environment
from agent.secrets.config import SecretSource
from agent.secrets.errors import FetchFailed

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

_CONFIG: Final = Config(
    connect_timeout=3, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 2}, max_pool_connections=8
)
_AT_ONCE: Final = 8
_FOR_GOOD: Final = frozenset(
    {
        "ResourceNotFoundException", "ParameterNotFound", "AccessDeniedException", "InvalidRequestException",
        "ValidationException", "DecryptionFailure", "InvalidParameterException", "UnrecognizedClientException",
    }
)  # fmt: skip


class AwsSecrets:
    """Clients are made once. Own threads, so that an AWS that hangs holds up nothing else."""

    def __init__(self) -> None:
        # Untyped: its stubs name services that are not installed.
        self._session: Any = aws_session()
        self._threads = ThreadPoolExecutor(_AT_ONCE, "aws-secrets")
        self._making = threading.Lock()
        self._clients: dict[str, Any] = {}

    async def secret(self, source: SecretSource) -> bytes:
        """A secret of Secrets Manager, or one key of it. Raises FetchFailed."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _explained, self._secret, source)

    async def parameter(self, source: SecretSource) -> bytes:
        """A parameter of SSM, decrypted. Raises FetchFailed."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _explained, self._parameter, source)

    def _secret(self, source: SecretSource) -> bytes:
        client: SecretsManagerClient = self._client("secretsmanager")
        answer = client.get_secret_value(SecretId=source.aws_secret or "")
        value = answer["SecretString"].encode() if "SecretString" in answer else answer["SecretBinary"]
        return value if source.key is None else _entry(value, source.key)

    def _parameter(self, source: SecretSource) -> bytes:
        client: SSMClient = self._client("ssm")
        answer = client.get_parameter(Name=source.ssm or "", WithDecryption=True)
        return answer["Parameter"].get("Value", "").encode()

    def _client(self, service: str) -> Any:
        with self._making:
            if service not in self._clients:
                self._clients[service] = self._session.client(service, config=_CONFIG)
            return self._clients[service]


def aws_session() -> Any:
    """With the keys of the agent's environment, from which they were taken out."""
    own, region = whole_environment(), os.environ.get("AWS_REGION") or None
    key, secret = own.get("AWS_ACCESS_KEY_ID"), own.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return boto3.Session(region_name=region)
    token = own.get("AWS_SESSION_TOKEN") or own.get("AWS_SECURITY_TOKEN") or None
    return boto3.Session(
        region_name=region, aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token
    )


def _entry(value: bytes, key: str) -> bytes:
    """Raises FetchFailed, and nothing that holds the value: an error of the JSON parser would."""
    try:
        content: Any = json.loads(value)
    except ValueError:
        raise FetchFailed(f"its secret is no JSON, so that it has no key {key!r}") from None
    if not isinstance(content, dict) or key not in content:
        raise FetchFailed(f"its secret has no key {key!r}")
    entry: Any = cast(dict[str, Any], content)[key]
    return entry.encode() if isinstance(entry, str) else json.dumps(entry).encode()


def _explained(fetch: Callable[[SecretSource], bytes], source: SecretSource) -> bytes:
    """With AWS's errors as FetchFailed, of which only the code is told: the text is the server's."""
    try:
        return fetch(source)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "no code")
        raise FetchFailed(f"AWS answered {code}", retryable=code not in _FOR_GOOD) from None
    except NoRegionError:
        raise FetchFailed("the agent has no AWS region: set AWS_REGION") from None
    except NoCredentialsError:
        raise FetchFailed("the agent has no AWS credentials: give its host a role, or set AWS_*") from None
    except BotoCoreError as error:
        raise FetchFailed(f"AWS could not be asked ({type(error).__name__})", retryable=True) from None
