"""The local files that an inventory names: the VRRP password, Logstash's variables, the user's own pipeline files,
certificates and keys, the API's login and keystores, and what packages come from.

Every function raises `ValueError` with the setting, the path and what to do; no secret is in its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from cluster.certificates import (
    ApiFiles,
    TlsFiles,
    fingerprint,
    pem,
    private_key,
    read_certificates,
    read_keystore,
    signed_by,
    uncovered,
)
from cluster.constants import NODE_NAME, OWN_PIPELINE_FILE
from cluster.errors import shorten, shown
from cluster.openpgp import SigningKeys
from cluster.package_sources import SECRETS, Login, RepositoryFiles
from cluster.rpm import RpmError, RpmFile, read_rpm

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from cluster.model import Api, Node, Repository, Tls


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
    return _read_variables("environment_file", file)


def _read_variables(field: str, file: Path) -> dict[str, SecretStr]:
    variables = {}
    for number, line in enumerate(_read(field, file, "write lines NAME=value into it").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not value.isprintable():
            raise ValueError(
                f"{field}: {_path(file)}, line {number} is not NAME=value; "
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


def read_repository(repository: Repository) -> RepositoryFiles:
    """The certificates and logins that an inventory names."""
    certificate = key = ca = None
    if (repository.certificate is None) != (repository.key is None):
        missing = "certificate" if repository.certificate is None else "key"
        raise ValueError(
            f"repository.{missing}: is missing; name the file, since a client certificate is used with its key"
        )
    if repository.certificate and repository.key:
        chain = _certificates("repository.certificate", repository.certificate)
        key = SecretStr(_key("repository.key", repository.key, chain[0]))
        certificate = pem(chain)
    if repository.ca:
        ca = pem(_certificates("repository.ca", repository.ca))
    secrets = _read_secrets(repository.secrets) if repository.secrets else {}
    return RepositoryFiles(
        certificate,
        key,
        ca,
        login=_login(repository.secrets, secrets, "USERNAME", "PASSWORD"),
        proxy_login=_login(repository.secrets, secrets, "PROXY_USERNAME", "PROXY_PASSWORD"),
    )


def _read_secrets(file: Path) -> dict[str, SecretStr]:
    where = f"repository.secrets: {_path(file)}"
    secrets = _read_variables("repository.secrets", file)
    for name, value in secrets.items():
        _require_known(where, name, SECRETS)
        # In yum's files `$` begins a variable, and a value ends before white space and `#`.
        if not re.fullmatch(r"[!-~]+", value.get_secret_value()) or "$" in value.get_secret_value():
            raise ValueError(
                f"{where}: {name} is empty, or has a space, a `$` or a character outside ASCII, which yum's files can't carry; "
                "choose another one"
            )
    if not secrets:
        raise ValueError(f"{where} has no secrets; write lines USERNAME=… and PASSWORD=… into it")
    return secrets


def _require_known(where: str, name: str, known: Sequence[str]) -> None:
    """A file of secrets has no other names than these."""
    if name not in known:
        raise ValueError(
            f"{where} has {shorten(name)}, which is none of its secrets; choose from {', '.join(known)}"
        )


def _require_no_colon(where: str, setting: str, username: str) -> None:
    if ":" in username:
        raise ValueError(
            f"{where}: {setting} has a colon, which no login can have (RFC 7617); choose another name"
        )


def _login(file: Path | None, secrets: dict[str, SecretStr], username: str, password: str) -> Login | None:
    given = [name for name in (username, password) if name in secrets]
    if not given:
        return None
    if file and len(given) == 1:
        other = password if given == [username] else username
        raise ValueError(
            f"repository.secrets: {_path(file)} has {given[0]} and no {other}; write both, or none"
        )
    name = secrets[username].get_secret_value()
    if file:
        _require_no_colon(f"repository.secrets: {_path(file)}", username, name)
    return Login(name, secrets[password])


def read_signing_keys(file: Path, fingerprints: Sequence[str]) -> SigningKeys:
    """The keys in a file, each with one of these fingerprints."""
    data = _read_bytes("signing_keys", file, "name the file with the key that signs the packages")
    try:
        keys = SigningKeys(data)
        keys.require(fingerprints)
    except ValueError as error:
        raise ValueError(f"signing_keys: {_path(file)} {error}") from None
    return keys


def read_rpms(paths: Sequence[Path], keys: Path | None, fingerprints: Sequence[str]) -> tuple[RpmFile, ...]:
    """The packages in these files and folders, each signed by one of the keys, by name."""
    files = _rpm_paths(paths)
    if keys is None:
        raise ValueError(
            "signing_keys: is missing; name the local file with the key that signs the packages in rpms, which is Elastic's "
            "for Logstash"
        )
    signing = read_signing_keys(keys, fingerprints)
    found: dict[str, RpmFile] = {}
    for path in files:
        try:
            with _readable("rpms", path, "name an RPM file, or a folder of them"):
                content = read_rpm(path)
        except RpmError as error:
            raise ValueError(f"rpms: {_path(path)} {error}") from None
        rpm = content.rpm
        if content.signature is None:
            raise ValueError(f"rpms: {_path(path)} is not signed; fetch one that is")
        if not signing.signed(content.header, content.signature):
            raise ValueError(
                f"rpms: {_path(path)} is not as a key in {_path(keys)} has signed it; fetch it again, or add the key "
                "that signs it"
            )
        if (other := found.get(rpm.name)) and other.path != path:
            raise ValueError(
                f"rpms: {_path(path)} and {_path(other.path)} are both a package of {shorten(rpm.name)}; "
                "take one of them out"
            )
        found[rpm.name] = rpm
    return tuple(found[name] for name in sorted(found))


def _rpm_paths(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        with _readable("rpms", path, "name an RPM file, or a folder of them"):
            path.stat()
            folder = path.is_dir()
            files = sorted(path.glob("*.rpm")) if folder else [path]
        if not files:
            raise ValueError(f"rpms: {_path(path)} has no *.rpm files; put Logstash's into it")
        found += files
    return found


API_SECRETS = ("USERNAME", "PASSWORD", "KEYSTORE_PASSWORD")
"""What the API's file of secrets can have."""
_POLICY = (r".{8}", "[a-z]", "[A-Z]", "[0-9]")
"""Logstash's password policy (api.auth.basic.password_policy.*): what a password must have of everything."""


def read_api(api: Api, nodes: Iterable[Node]) -> ApiFiles:
    """The API's login, and the keystore of each node, whose certificate must be for the node's address."""
    secrets = _read_variables("api.secrets", api.secrets)
    where = f"api.secrets: {_path(api.secrets)}"
    for name, value in secrets.items():
        _require_known(where, name, API_SECRETS)
        if not re.fullmatch(r"[!-~]+", value.get_secret_value()):
            raise ValueError(
                f"{where}: {name} is empty, or has a space or a character outside ASCII; use letters, digits and symbols"
            )
    given = [name for name in ("USERNAME", "PASSWORD") if name in secrets]
    if len(given) == 1:
        other = "PASSWORD" if given == ["USERNAME"] else "USERNAME"
        raise ValueError(
            f"{where} has {given[0]} and no {other}; write both, or none for an API without a login"
        )
    if ("KEYSTORE_PASSWORD" in secrets) != (api.keystore is not None):
        raise ValueError(
            f"{where} has no KEYSTORE_PASSWORD; write the keystore's password there"
            if api.keystore
            else f"{where} has a KEYSTORE_PASSWORD, and there is no keystore; name it in api.keystore, or take it out"
        )
    if not given and api.keystore is None:
        raise ValueError(
            f"{where} has no USERNAME and PASSWORD, and there is no api.keystore; add one of them, or take out api"
        )
    username, password = secrets.get("USERNAME"), secrets.get("PASSWORD")
    if username:
        _require_no_colon(where, "USERNAME", username.get_secret_value())
    if password and not all(re.search(part, password.get_secret_value()) for part in _POLICY):
        raise ValueError(
            f"{where}: PASSWORD is weaker than Logstash's policy allows; use 8 characters or more, with an upper-case "
            "letter, a lower-case letter and a digit"
        )
    keystores, certificates = {}, {}
    if (api.keystore is None) != (api.ca is None):
        raise ValueError(
            "api.ca: is missing; name the file with the certificates of the CAs that sign the keystore's, by which health "
            "checks know it"
            if api.keystore
            else "api.ca: there is no keystore to check by it; name one in api.keystore, or take it out"
        )
    authorities = _certificates("api.ca", api.ca) if api.ca else []
    for node in nodes if api.keystore else ():
        path = Path(str(api.keystore).replace(NODE_NAME, node.name))
        with _readable(
            "api.keystore", path, "name the file that has the API's certificate and key, in PKCS #12"
        ):
            data = path.read_bytes()
        try:
            found = read_keystore(data, secrets["KEYSTORE_PASSWORD"].get_secret_value())
        except ValueError as error:
            raise ValueError(f"api.keystore: {_path(path)} {error}") from None
        if wrong := uncovered(found.certificates[0], [str(node.address)]):
            raise ValueError(
                f"api.keystore: {_path(path)} {wrong}, {node.name}'s address; name one that is for each node's address, or "
                f"one for each node, with {NODE_NAME} in its name"
            )
        if not signed_by(found.certificates, authorities):
            raise ValueError(
                f"api.ca: {_path(api.ca or path)} has no CA that has signed the certificate in {_path(path)}; name the "
                "file with that CA, or put the certificates between them into the keystore"
            )
        keystores[node.name] = found.content
        certificates[node.name] = pem(found.certificates)
    return ApiFiles(
        username=username.get_secret_value() if username else None,
        password=password,
        keystores=keystores,
        keystore_password=secrets.get("KEYSTORE_PASSWORD"),
        ca=pem(authorities) if authorities else None,
        certificates=certificates,
    )


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


def _read_bytes(setting: str, file: Path, fix: str) -> bytes:
    with _readable(setting, file, fix):
        return file.read_bytes()


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
