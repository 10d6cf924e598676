"""What the patterns of fields ask for, in words: whoever has sent something else is told these, not a pattern alone.

The patterns stand with their fields; a test finds every one that the API's description names here.
"""

from collections.abc import Mapping
from typing import Final

IN_WORDS: Final[Mapping[str, str]] = {
    r"^[a-z][a-z0-9_]{0,63}$": "lower-case letters, digits and _, beginning with a letter; such as queue_depth",
    r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$": (
        "lower-case letters, digits and . _ - within, at most 63 characters; such as linux-x64"
    ),
    r"^[ -~]*$": "printable ASCII characters only",
    r"^[0-9]{1,15}:[1-9][0-9]{0,14}$": "a cursor as an answer gave it: <byte>:<line>",
    r"^[0-9]{1,3}:[0-9]{1,15}:[1-9][0-9]{0,14}$": "a cursor as an answer gave it: <step>:<byte>:<line>",
    r"^-?[1-9][0-9]{0,14}(-(-?[1-9][0-9]{0,14})?)?$": "lines such as 7, 100-200, 100- or -50 for the last fifty",
    r"^([1-9][0-9]{0,5}:)?[0-9]{1,15}$": "a place as an event's id gave it: <attempt>:<byte>",
    r"^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$": (
        "lower-case letters, digits and - within, at most 48 characters; such as checkout-api"
    ),
    r"^[0-9]{1,2}-[0-9]{1,15}(\.[0-9]{1,2}-[0-9]{1,15}){0,63}$": "a position as an event's id gave it",
    r"^[0-9a-f]{64}$": "64 hexadecimal digits in lower case",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$": (
        "letters, digits and . _ -, beginning with a letter or a digit, at most 128 characters"
    ),
    r"^([A-Za-z0-9]([A-Za-z0-9._:+-]{0,61}[A-Za-z0-9])?)?$": (
        "letters, digits and . _ : + - within, at most 63 characters, or nothing"
    ),
    r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$": "letters, digits and . _ / - within, at most 63 characters",
    r"^([0-9a-f]{40}|[0-9a-f]{64})$": "a whole commit id: 40 (or 64) hexadecimal digits in lower case",
    r"^[0-9a-f]{4,64}$": "a commit id or how it begins: at least 4 hexadecimal digits in lower case",
    r"^[0-9a-f][0-9a-f-]{3,35}$": "a job's id or how it begins: at least 4 characters, in lower case",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "letters, digits and _, not beginning with a digit; such as API_TOKEN",
    r"^[a-z0-9]([a-z0-9_]{0,30}[a-z0-9])?$": (
        "lower-case letters, digits and _ within, at most 32 characters; such as production_eu"
    ),
    r"^[A-Za-z0-9+/]*={0,2}$": "base64",
    r"^[0-9a-f]{16}$": "16 hexadecimal digits in lower case",
    r"^[A-Za-z0-9+/]{86}==$": "a signature: 64 bytes in base64",
    r"^[A-Za-z0-9_-]{8,64}$": "8 to 64 letters, digits, _ and -",
    r"^(temporal|http)$": "temporal or http",
    r"^[A-Za-z0-9+/]{43}=$": "a public key: 32 bytes in base64",
    r"^[a-z][a-z_]{0,31}$": "lower-case letters and _, at most 32 characters",
    r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$": (
        "letters, digits and . _ + -, beginning with a letter or a digit, at most 64 characters; such as 1.4.2-rc.1"
    ),
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{5,15}(Z|[+-][0-9]{2}:[0-9]{2}))?$": (
        "a day or a time with its zone, such as 2026-12-24 or 2026-12-24T18:00+01:00"
    ),
    r"^[A-Za-z0-9_-]{16,4096}$": "a token as the claim's answer gave it",
    r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$": "lower-case letters, digits and - within, at most 40 characters",
    r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$": "lower-case letters, digits and - within, at most 64 characters",
    r"^(blob:none|blob:limit=(0|[1-9][0-9]{0,9})[kmg]?|tree:(0|[1-9][0-9]{0,3}))$": (
        "a filter of git's: blob:none, blob:limit=1m (a number, with k, m or g), or tree:0"
    ),
}
