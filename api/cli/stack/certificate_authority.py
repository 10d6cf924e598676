"""Makes the certificates of a stack's own gateway: ``python -m api.cli.stack.certificate_authority FOLDER NAME…``.

Elliptic curve P-256. Valid for ten years: nothing but this stack's agents trusts them, and they are told whom to.
Deliberately not here: when they are made (``certificates``).
"""

import datetime
import ipaddress
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.cli.private_file import write_private
from api.cli.stack.certificates import Certificates

_VALID: Final = datetime.timedelta(days=3650)
_SKEW: Final = datetime.timedelta(days=1)
"""Clocks differ: a certificate of this minute must be good on an agent whose clock is behind."""
_AUTHORITY: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hybridci gateway authority")])
_GATEWAY: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hybridci gateway")])


def make(files: Certificates, names: Sequence[str]) -> None:
    """Write a key and a certificate for the names, and the authority unless there is one. OSError, ValueError."""
    if not (files.authority.exists() and files.authority_key.exists()):
        _make_authority(files)
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    signing = serialization.load_pem_private_key(files.authority_key.read_bytes(), password=None)
    if not isinstance(signing, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{files.authority_key} holds another kind of key; remove it to have a new one made.")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _certificate(_GATEWAY, authority.subject, key.public_key(), signing.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(signing, hashes.SHA256())
    )
    write_private(files.key, _private(key))
    write_private(files.certificate, _public(certificate) + _public(authority))


def _make_authority(files: Certificates) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _certificate(_AUTHORITY, _AUTHORITY, key.public_key(), key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(files.authority_key, _private(key))
    write_private(files.authority, _public(certificate))


def _certificate(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, signing: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing), critical=False)
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _public(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


if __name__ == "__main__":
    make(Certificates(Path(sys.argv[1])), sys.argv[2:])
