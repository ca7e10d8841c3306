"""TLS of the inputs that have it: their options by version, and the context that these make."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..options import Option
from ..version import Version

STANDARD_SINCE = (8, 12)
"""The first version in which all inputs have the names of `STANDARD`; in 9 they have no others."""


@dataclass(frozen=True)
class TlsNames:
    """What a plugin calls its options for TLS."""

    enable: str
    certificate: str
    client: str
    """Whether clients need certificates."""
    clients: Mapping[Any, ssl.VerifyMode]
    """The values of this option."""
    default: Any
    """Its default."""

    @property
    def options(self) -> dict[str, Option]:
        """The options, with those that all plugins call the same."""
        return {
            self.enable: Option("boolean", False),
            self.certificate: Option("path"),
            "ssl_key": Option("path"),
            "ssl_certificate_authorities": Option("array"),
            self.client: Option("boolean" if isinstance(self.default, bool) else "string", self.default),
            "ssl_supported_protocols": Option("array"),
        }


def _standard(default: str) -> TlsNames:
    clients = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
    return TlsNames("ssl_enabled", "ssl_certificate", "ssl_client_authentication", clients, default)


STANDARD = _standard("none")
STANDARD_TCP = _standard("required")
OLD = TlsNames(
    "ssl",
    "ssl_certificate",
    "ssl_verify_mode",
    {"none": ssl.CERT_NONE, "peer": ssl.CERT_OPTIONAL, "force_peer": ssl.CERT_REQUIRED},
    "none",
)
OLD_TCP = TlsNames(
    "ssl_enable", "ssl_cert", "ssl_verify", {False: ssl.CERT_NONE, True: ssl.CERT_REQUIRED}, True
)
_PROTOCOLS = {
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}


def names_of(version: Version, standard: TlsNames, old: TlsNames) -> list[TlsNames]:
    """The names that a version accepts."""
    return [
        *([standard] if version >= STANDARD_SINCE else []),
        *([old] if version < (9, 0) else []),
    ]


def make_context(options: Mapping[str, Any], names: TlsNames) -> ssl.SSLContext | None:
    """The context of these options; None where they do not turn TLS on. Raises `ConfigurationError`, as `register` does.

    All of the real inputs read keys in PKCS #8; only some of them read older forms, too, and this one none.
    """
    if not options[names.enable]:
        return None
    certificate, key = options[names.certificate], options["ssl_key"]
    if not certificate:
        raise ConfigurationError(
            f"{names.certificate} => is a required setting when {names.enable} => true is configured"
        )
    if not key:
        raise ConfigurationError(
            f"ssl_key => is a required setting when {names.enable} => true is configured"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if protocols := options["ssl_supported_protocols"]:
        if unknown := [protocol for protocol in protocols if protocol not in _PROTOCOLS]:
            raise ConfigurationError(f"ssl_supported_protocols: {unknown[0]} is not supported")
        context.minimum_version = min(_PROTOCOLS[protocol] for protocol in protocols)
        context.maximum_version = max(_PROTOCOLS[protocol] for protocol in protocols)
    clients = names.clients.get(options[names.client])
    if clients is None:
        raise ConfigurationError(f"Invalid `{names.client}` value {options[names.client]}")
    try:
        if "-----BEGIN PRIVATE KEY-----" not in Path(key).read_text(encoding="utf-8"):
            raise ConfigurationError(f"File does not contain valid private key: {key}")
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # what OpenSSL refuses is an OSError, too
        raise ConfigurationError(f"SSL configuration invalid: {certificate}, {key}: {error}") from None
    authorities = options["ssl_certificate_authorities"] or []
    if clients != ssl.CERT_NONE and not authorities:
        raise ConfigurationError(
            f"ssl_certificate_authorities => is a required setting when `{names.client} => "
            f"'{options[names.client]}'` is configured"
        )
    if clients == ssl.CERT_NONE and authorities and names.default == "none":  # all but the tcp input
        raise ConfigurationError(
            f"Configuring ssl_certificate_authorities requires {names.client} => to be configured with 'optional' or 'required'"
        )
    for path in authorities:
        try:
            context.load_verify_locations(path)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"SSL configuration invalid: {path}: {error}") from None
    context.verify_mode = clients
    return context
