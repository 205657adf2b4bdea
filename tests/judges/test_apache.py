"""Apache with mod_oauth2 as a resource server: takes our tokens, refuses thieves.

It runs from a configuration of its own, as a process of the test's: under /certificate
a token must be bound to the certificate of the connection, under /key to a DPoP key.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from string import Template

import httpx
import pytest

from services.proof.dpop_client import DpopKey
from tests.debian import installed
from tests.judges import processes
from tests.judges.presenting import Caller
from tests.judges.standing import AUDIENCE, NEXT_AUDIENCE, Standing
from tests.judges.verdicts import Judge, Verdict
from tests.services.proxies.standing import free_ports

PACKAGE = "libapache2-mod-oauth2"
MODULES = Path("/usr/lib/apache2/modules")
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_CONFIGURATION = Template(
    """\
ServerName localhost
ServerRoot "$directory"
DefaultRuntimeDir "$directory"
PidFile "$directory/pid"
ErrorLog "$directory/error.log"
LogLevel warn oauth2:debug
Listen 127.0.0.1:$port
User $user
Group $group
StartServers 1
ServerLimit 1
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authn_core_module $modules/mod_authn_core.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule authz_user_module $modules/mod_authz_user.so
LoadModule ssl_module $modules/mod_ssl.so
LoadModule status_module $modules/mod_status.so
LoadModule oauth2_module $modules/mod_oauth2.so
DocumentRoot "$modules"
SSLEngine on
SSLProtocol TLSv1.3
SSLCertificateFile "$certificate"
SSLCertificateKeyFile "$key"
SSLCACertificateFile "$bundle"
SSLVerifyClient optional
SSLVerifyDepth 2
SSLOptions +StdEnvVars +ExportCertData
<Location "/certificate">
  SetHandler server-status
  AuthType oauth2
  OAuth2TokenVerify jwk "$jwk" \\
    type=mtls&mtls.policy=required&verify.exp=required
  <RequireAll>
    Require oauth2_claim iss:$issuer
    Require oauth2_claim aud:$audience
  </RequireAll>
</Location>
<Location "/key">
  SetHandler server-status
  AuthType oauth2
  OAuth2AcceptTokenIn header type=DPoP
  OAuth2TokenVerify jwk "$jwk" \\
    type=dpop&verify.exp=required
  <RequireAll>
    Require oauth2_claim iss:$issuer
    Require oauth2_claim aud:$audience
  </RequireAll>
</Location>
"""
)


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Return the module by name and version."""
    return Judge("Apache mod_oauth2", installed(PACKAGE, MODULES / "mod_oauth2.so"))


@pytest.fixture(scope="module")
def server(
    judge: Judge, stand: Standing, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the root of the server."""
    apache = processes.program("apache2", "/usr/sbin/apache2")
    directory = tmp_path_factory.mktemp("apache")
    (port,) = free_ports(1)
    certificate, key = stand.paths("orders")
    url = f"{stand.issuer}/jwks"
    keys = Caller(stand, "orders").send("GET", url, "token-service").json()["keys"]
    configuration = directory / "apache.conf"
    configuration.write_text(
        _CONFIGURATION.substitute(
            directory=directory,
            port=port,
            modules=MODULES,
            user="www-data",
            group="www-data",
            certificate=certificate,
            key=key,
            bundle=stand.bundle,
            jwk=json.dumps(keys[0]).replace('"', '\\"'),
            issuer=stand.issuer,
            audience=AUDIENCE,
        )
    )
    command: list[str | Path] = [apache, "-f", configuration, "-D", "FOREGROUND"]
    with processes.running(command, directory / "log", port=port):
        yield f"https://localhost:{port}"


@pytest.fixture
def storefront(stand: Standing) -> Caller:
    """Return the caller."""
    return Caller(stand, "storefront")


@pytest.fixture
def keyed(stand: Standing) -> Caller:
    """Return a caller whose tokens are bound to its key."""
    return Caller(stand, "storefront", DpopKey())


def _is_refused(answer: httpx.Response) -> bool:
    return answer.status_code == 401


def test_it_takes_a_bound_token(
    server: str, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """Our token opens with the certificate it names."""
    answer = storefront.show(storefront.token(), f"{server}/certificate")
    assert answer.status_code == 200
    verdict(judge, accepted="certificate-bound token")


def test_it_takes_a_token_bound_to_a_key(
    server: str, keyed: Caller, judge: Judge, verdict: Verdict
) -> None:
    """Our proof of our key goes with our token."""
    answer = keyed.show(keyed.token("storefront-dpop"), f"{server}/key")
    assert answer.status_code == 200
    verdict(judge, accepted="DPoP token")


def test_it_refuses_a_stolen_token(
    server: str, stand: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """The same token on a connection with another certificate opens nothing."""
    thief = Caller(stand, "stock")
    assert _is_refused(thief.show(storefront.token(), f"{server}/certificate"))
    verdict(judge, refused="stolen token")


def test_it_refuses_a_token_bound_to_another_key(
    server: str, stand: Standing, keyed: Caller, judge: Judge, verdict: Verdict
) -> None:
    """A proof by a thief's key does not go with our token."""
    thief = Caller(stand, "storefront", DpopKey())
    assert _is_refused(thief.show(keyed.token("storefront-dpop"), f"{server}/key"))
    verdict(judge, refused="another key")


def test_it_refuses_an_unbound_token(
    server: str, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """Where a bound token is due, our bearer token is none."""
    token = storefront.token("storefront-bearer")
    assert _is_refused(storefront.show(token, f"{server}/certificate"))
    verdict(judge, refused="bearer token")


def test_it_refuses_a_caller_without_certificate(
    server: str, stand: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """A bound token alone is not enough."""
    headers = {"Authorization": f"Bearer {storefront.token()}"}
    with httpx.Client(verify=stand.context(), trust_env=False) as client:
        assert _is_refused(client.get(f"{server}/certificate", headers=headers))
    verdict(judge, refused="no certificate")


def test_it_refuses_a_token_for_another_service(
    server: str, stand: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """The token that orders got for stock opens stock alone."""
    orders = Caller(stand, "orders")
    token = orders.token(
        grant_type=EXCHANGE,
        subject_token=storefront.token(),
        subject_token_type=ACCESS_TOKEN,
        resource=NEXT_AUDIENCE,
        scope="stock.read",
    )
    assert _is_refused(orders.show(token, f"{server}/certificate"))
    verdict(judge, refused="token for another service")
