"""The local files that an inventory names: the VRRP password, Logstash's variables, the user's own pipeline files,
certificates and keys.

Every function raises `ValueError` with the setting, the path and what to do; no secret is in its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from cluster.certificates import TlsFiles, fingerprint, pem, private_key, read_certificates, uncovered
from cluster.constants import OWN_PIPELINE_FILE
from cluster.errors import shorten, shown

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from cluster.model import Tls


def read_auth_pass(file: Path) -> SecretStr:
    """The VRRP password, 1 to 8 characters (RFC 2338, section 5.3.6.1)."""
    fix = "write the VRRP password of 1 to 8 characters into it"
    secret = _read("auth_pass_file", file, fix).rstrip("\r\n")
    if not 1 <= len(secret) <= 8:
        raise ValueError(
            f"auth_pass_file: {_path(file)} holds {len(secret)} characters; write 1 to 8, VRRP carries no more"
        )
    if not re.fullmatch(r"[A-Za-z0-9._+=:/@%^-]+", secret):
        raise ValueError(
            f"auth_pass_file: {_path(file)} holds white space or a character that keepalived.conf can't carry; "
            "use letters, digits and ._+=:/@%^-"
        )
    return SecretStr(secret)


def read_environment(file: Path) -> dict[str, SecretStr]:
    """Logstash's variables by name, from lines `NAME=value`; empty lines and lines that begin with `#` don't count."""
    variables = {}
    for number, line in enumerate(
        _read("environment_file", file, "write lines NAME=value into it").splitlines(), 1
    ):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not value.isprintable():
            raise ValueError(
                f"environment_file: {_path(file)}, line {number} is not NAME=value; "
                "write one variable a line, without quotes or spaces around the `=`"
            )
        variables[name] = SecretStr(value)
    return variables


def read_pipelines(folder: Path) -> dict[str, dict[str, str]]:
    """The user's pipeline files: text by file name, by pipeline. `*.conf` belong to `main`, `NAME/*.conf` to `NAME`."""
    with _readable("pipelines", folder, "name a folder with *.conf files"):
        folders = [path for path in sorted(folder.iterdir()) if path.is_dir()]
        files = {path.name: _conf_files(path) for path in folders} | {"main": _conf_files(folder)}
    if folder / "main" in folders:
        raise ValueError(
            f"pipelines: {_path(folder / 'main')} would be the same pipeline; put its files into {_path(folder)}"
        )
    found = {
        pipeline: {file.name: _read("pipelines", file, "make it a text file") for file in files[pipeline]}
        for pipeline in sorted(files, key=lambda name: (name != "main", name))
        if files[pipeline]
    }
    if not found:
        raise ValueError(f"pipelines: {_path(folder)} has no *.conf files; put yours into it")
    for pipeline, texts in found.items():
        for name in (pipeline, *texts):
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name == OWN_PIPELINE_FILE:
                raise ValueError(
                    f"pipelines: {shown(name)} can't be used; choose a name of letters, digits, `_`, `.` and `-`"
                    f" other than {OWN_PIPELINE_FILE}"
                )
    return found


def read_tls(field: str, tls: Tls, names: list[str]) -> TlsFiles:
    """The certificate, the key and the CA of an input with TLS, whose certificate must be for these names and addresses.

    `field` is the setting that names them. Dates are not looked at: an expired certificate must not keep verify.py from saying so.
    """
    chain = _certificates(f"{field}.certificate", tls.certificate)
    key = _key(f"{field}.key", tls.key, chain[0])
    if wrong := uncovered(chain[0], names):
        raise ValueError(
            f"{field}.certificate: {_path(tls.certificate)} {wrong}; write what senders call the VIP into `names`, or name "
            "another certificate"
        )
    ca = pem(_certificates(f"{field}.ca", tls.ca)) if tls.ca else None
    client = None
    if tls.client_certificate and tls.client_key:
        own = _certificates(f"{field}.client_certificate", tls.client_certificate)
        client = SecretStr(pem(own) + _key(f"{field}.client_key", tls.client_key, own[0]))
    return TlsFiles(pem(chain), SecretStr(key), ca, fingerprint(chain[0]), client)


def _key(field: str, file: Path, own: Certificate) -> str:
    """The private key of a certificate, as PEM."""
    text = _read(field, file, "name the file that has the certificate's key")
    try:
        return private_key(text, own)
    except ValueError as error:
        raise ValueError(f"{field}: {_path(file)} {error}") from None


def _certificates(field: str, file: Path) -> list[Certificate]:
    text = _read(field, file, "name a file with a certificate in PEM")
    try:
        return read_certificates(text)
    except ValueError:
        raise ValueError(
            f"{field}: {_path(file)} holds no certificate in PEM, or a broken one; name a file that begins with "
            "-----BEGIN CERTIFICATE-----"
        ) from None


def _conf_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith(".conf"))


def _read(setting: str, file: Path, fix: str) -> str:
    with _readable(setting, file, fix):
        return file.read_text()


@contextmanager
def _readable(setting: str, path: Path, fix: str) -> Iterator[None]:
    """An error in reading `path` becomes a `ValueError` that names it."""
    try:
        yield
    except UnicodeEncodeError:
        reason = "not a name that a file can have"
    except UnicodeDecodeError:
        reason = "not text"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
    else:
        return
    raise ValueError(f"{setting}: {_path(path)} can't be read ({reason}); {fix}")


def _path(path: Path) -> str:
    return shorten(str(path))
