"""What is measured, set up: identities, a token service, guarded services, peers.

The identities are those of the tests' mesh: P-256, root and issuing CA, as the CA of
the kit makes them. Each server is asked as storefront.
"""

import json
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from bench.contestants import CACHE, Contestant, free_port, running
from bench.load import Job, Proofs, Prover
from bench.rounds import AbsentError
from tests.services.documents import (
    client_document,
    service_document,
    token_service_document,
)
from tests.services.mesh import Instance, Mesh

AUDIENCE = "https://orders.shop.internal"
SCOPE = "orders.read"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_PEERS = Path(__file__).parent / "peers"
_LOCKED = ("package.json", "package-lock.json")


@dataclass
class Stand:
    """A directory with a mesh, and the servers that were started in it."""

    directory: Path
    stack: ExitStack
    mesh: Mesh = field(init=False)
    storefront: Instance = field(init=False)
    bundle: Path = field(init=False)

    def __post_init__(self) -> None:
        self.mesh = Mesh(self.directory)
        self.storefront = self.mesh.instance("storefront")
        self.bundle = self.directory / "bundle.pem"
        self.bundle.write_bytes(self.mesh.bundle_pem)

    # -- ours ------------------------------------------------------------------------

    def token_service(
        self,
        name: str = "token-service",
        python: str = sys.executable,
        **changes: Any,
    ) -> Contestant:
        """Start a token service of ours."""
        port = free_port()
        state = self.directory / f"{name}-state"
        document = token_service_document(
            port=port,
            identity=str(self.mesh.instance("token-service").current),
            issuer=f"https://localhost:{port}",
            state=str(state),
            clients=_registrations(),
            # Its limits are for clients that are none of ours.
            rates={
                name: {"per_second": 1e6, "burst": 1_000_000}
                for name in ("token", "introspection", "revocation")
            },
        )
        return self._ours(name, port, {**document, **changes}, python)

    def orders(
        self, tokens: Contestant, *, app: str, name: str, **changes: Any
    ) -> Contestant:
        """Start a resource service of ours that runs `app`."""
        port = free_port()
        issuer = f"https://localhost:{tokens.port}"
        state = self.directory / f"{name}-state"
        state.mkdir()
        document = service_document(
            port=port,
            identity=str(self.mesh.instance("orders").current),
            app=app,
            state=str(state),
            token_service={
                "issuer": issuer,
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/jwks",
                "revocations_uri": f"{issuer}/revocations",
                "spiffe_id": "spiffe://shop.internal/token-service",
            },
            guard={
                "audience": AUDIENCE,
                "resource": "/orders",
                "scopes": [SCOPE],
                "bearer_clients": [],
                "origins": [f"https://localhost:{port}"],
            },
            calls={},
        )
        return self._ours(name, port, {**document, **changes})

    def hello(self, name: str = "hello", python: str = sys.executable) -> Contestant:
        """Start uvicorn as we set it up, with the shortest of applications."""
        port = free_port()
        current = self.mesh.instance("orders").current
        module = "bench.servers.hello"
        command = [python, "-m", module, str(current), str(port)]
        return self.start(name, command, port)

    def floor(self) -> Contestant:
        """Start uvicorn as we set it up, with what any token service has to do."""
        port = free_port()
        current = self.mesh.instance("orders").current
        command = [sys.executable, "-m", "bench.servers.floor", str(current), str(port)]
        return self.start("floor", command, port)

    def step(self, step: str) -> Contestant:
        """Start uvicorn as we set it up, with a part of what the floor does."""
        port = free_port()
        current = str(self.mesh.instance("orders").current)
        module = "bench.servers.steps"
        command = [sys.executable, "-m", module, current, str(port), step]
        return self.start(f"step-{step}", command, port)

    # -- theirs ----------------------------------------------------------------------

    def peer(self, script: str, name: str, **given: Any) -> Contestant:
        """Start a server of npm's."""
        port = free_port()
        own = self.mesh.instance("orders").generation
        known = {
            "port": port,
            "issuer": f"https://localhost:{port}",
            "audience": AUDIENCE,
            "scope": SCOPE,
            "bundle": self.bundle.read_text(),
            "certificate": own.certificate_path.read_text(),
            "key": own.key_path.read_text(),
        }
        command = [_node(), str(packages() / script)]
        return self.start(name, command, port, {**known, **given})

    def start(
        self,
        name: str,
        command: list[str],
        port: int,
        given: Mapping[str, Any] | None = None,
    ) -> Contestant:
        """Start any server, until the stand ends."""
        log = self.directory / f"{name.replace(' ', '-').replace('/', '-')}.log"
        return self.stack.enter_context(
            running(name, command, port=port, log=log, given=given)
        )

    @contextmanager
    def passing(self) -> Iterator["Stand"]:
        """Return the same stand, but what is started in it ends with the context."""
        with ExitStack() as stack:
            made = copy(self)
            made.stack = stack
            yield made

    # -- what they are asked ---------------------------------------------------------

    def job(self, server: Contestant, method: str, path: str, **options: Any) -> Job:
        """Return a job for storefront at `server`."""
        own = self.storefront.generation
        return Job(
            port=server.port,
            certificate=str(own.certificate_path),
            key=str(own.key_path),
            bundle=str(self.bundle),
            method=method,
            path=path,
            **options,
        )

    def token_job(
        self, server: Contestant, *, dpop: bool = False, **options: Any
    ) -> Job:
        """Return a job that asks for tokens."""
        client = "storefront-dpop" if dpop else "storefront"
        return self.job(
            server,
            "POST",
            "/token",
            headers=FORM,
            body=form(client),
            proofs=self.proofs("POST", f"https://localhost:{server.port}/token")
            if dpop
            else None,
            **options,
        )

    def resource_job(
        self,
        server: Contestant,
        tokens: list[str],
        *,
        dpop: bool = False,
        **options: Any,
    ) -> Job:
        """Return a job that asks for a resource with many tokens in turn."""
        return self.job(
            server,
            "GET",
            "/orders",
            tokens=tokens,
            scheme="DPoP" if dpop else "Bearer",
            proofs=self.proofs("GET", f"https://localhost:{server.port}/orders")
            if dpop
            else None,
            **options,
        )

    def proofs(self, method: str, url: str) -> Proofs:
        """Return how storefront proves that it has its key."""
        key = self.storefront.generation.key_path.read_text()
        return Proofs(key=key, method=method, url=url)

    def tokens(
        self, server: Contestant, count: int, client: str = "storefront"
    ) -> list[str]:
        """Return `count` tokens for orders; bound to a DPoP key for such a client."""
        prover = None
        if client.endswith("dpop"):
            url = f"https://localhost:{server.port}/token"
            prover = Prover(self.proofs("POST", url))
        with self._client(server) as http:
            return [_token(http, client, prover) for _ in range(count)]

    def keys(self, server: Contestant) -> dict[str, Any]:
        """Return the key set of a token service."""
        with self._client(server) as http:
            found: dict[str, Any] = http.get("/jwks").raise_for_status().json()
            return found

    def _client(self, server: Contestant) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.bundle))
        own = self.storefront.generation
        context.load_cert_chain(own.certificate_path, own.key_path)
        url = f"https://localhost:{server.port}"
        return httpx.Client(verify=context, trust_env=False, base_url=url)

    def _ours(
        self,
        name: str,
        port: int,
        document: Mapping[str, Any],
        python: str = sys.executable,
    ) -> Contestant:
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps(document))
        command = [python, "-m", "services", "run", str(path)]
        return self.start(name, command, port)


@contextmanager
def standing() -> Iterator[Stand]:
    """Return an empty stand; what is started in it ends with it."""
    with (
        tempfile.TemporaryDirectory(prefix="certbound-bench-") as directory,
        ExitStack() as stack,
    ):
        yield Stand(Path(directory), stack)


def _node() -> str:
    """Return where Node.js is."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        raise AbsentError("Node.js and npm are not installed")
    return found


def packages() -> Path:
    """Return the scripts of the peers beside npm's packages, by their hashes."""
    locked = b"".join((_PEERS / name).read_bytes() for name in _LOCKED)
    home = CACHE / f"bench-{sha256(locked).hexdigest()[:16]}"
    if not (home / "node_modules").exists():
        home.mkdir(parents=True, exist_ok=True)
        for name in _LOCKED:
            shutil.copy(_PEERS / name, home)
        installing = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(installing, cwd=home, check=False, stdout=sys.stderr)
        if done.returncode:
            shutil.rmtree(home)
            raise AbsentError("npm cannot install the peers: is its registry there?")
    for script in _PEERS.glob("*.mjs"):
        shutil.copy(script, home)
    return home


def _registrations() -> dict[str, Any]:
    def client(**changes: Any) -> dict[str, Any]:
        return client_document(audiences={AUDIENCE: [SCOPE]}, **changes)

    return {
        "storefront": client(),
        "storefront-dpop": client(binding="dpop"),
        "storefront-opaque": client(format="opaque"),
        "orders": client_document(
            tls_client_auth={"san_uri": "spiffe://shop.internal/service/orders"},
            audience=AUDIENCE,
            audiences={},
        ),
        # Who asks about tokens: storefront's certificate, in the audience's name.
        "asking": client_document(audience=AUDIENCE, audiences={}),
    }


def form(client: str) -> str:
    """Return the form of a token request."""
    return urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": client,
            "resource": AUDIENCE,
            "scope": SCOPE,
        }
    )


def _token(http: httpx.Client, client: str, prover: Prover | None) -> str:
    for _ in range(2):  # the first proof has no nonce yet
        proof = {"DPoP": prover.proof("")} if prover else {}
        answer = http.post("/token", content=form(client), headers=FORM | proof)
        if prover and "dpop-nonce" in answer.headers:
            prover.nonce = answer.headers["dpop-nonce"]
        if answer.is_success:
            break
    return str(answer.raise_for_status().json()["access_token"])
