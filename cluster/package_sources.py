"""Where Logstash's package comes from: what a repository asks for, and whose key signs the packages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import SecretStr

from cluster.errors import listed, shorten
from cluster.rpm import RpmFile

ELASTICS_FINGERPRINT = "46095ACC8548582C1A2699A9D27D666CD88E42B4"
"""Of the key that signs Elastic's packages (Elastic's documentation: "Import the Elastic PGP key")."""
SECRETS = ("USERNAME", "PASSWORD", "PROXY_USERNAME", "PROXY_PASSWORD")
"""What the file of secrets can have."""


@dataclass(frozen=True)
class Login:
    """Who asks a server."""

    username: str
    password: SecretStr


@dataclass(frozen=True)
class RepositoryFiles:
    """What a repository and a proxy ask for."""

    certificate: str | None = None
    """The client certificate, as PEM."""
    key: SecretStr | None = None
    """Its private key, as PEM."""
    ca: str | None = None
    """The certificates of the CAs that sign the repository's, as PEM."""
    login: Login | None = None
    proxy_login: Login | None = None

    def masked(self, mask: SecretStr) -> RepositoryFiles:
        """The same with this in the place of each secret."""
        return replace(
            self,
            key=mask if self.key else None,
            login=replace(self.login, password=mask) if self.login else None,
            proxy_login=replace(self.proxy_login, password=mask) if self.proxy_login else None,
        )


def check_logstash_rpm(rpms: Sequence[RpmFile], version: str | None) -> None:
    """Raise `ValueError` where these packages have no Logstash of this version."""
    logstash = next((rpm for rpm in rpms if rpm.name == "logstash"), None)
    if logstash is None:
        raise ValueError(
            f"rpms: has no package of Logstash (there are: {listed(rpm.name for rpm in rpms)}); add its file"
        )
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", logstash.version):
        raise ValueError(
            f"rpms: {shorten(str(logstash.path))} is Logstash {logstash.version}; choose a release"
        )
    if version != logstash.version:
        raise ValueError(
            f"version: is {version or 'missing'}, and {shorten(str(logstash.path))} in rpms is Logstash {logstash.version}; "
            f'write version="{logstash.version}", or add the other file in its place'
        )
