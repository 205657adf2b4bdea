"""Seven verifiers of others, asked about chains that `tests.judges.chains` has made.

Each takes the directories of many chains and returns which of them are good. What a
verifier cannot be asked, it leaves out. Java and Go are started once for all.
"""

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import verification
from OpenSSL import crypto

from tests.debian import installed, program
from tests.judges.chains import HOST, Chain
from tests.judges.processes import program as needed
from tests.judges.verdicts import Judge

HERE = Path(__file__).parent
Asked = Mapping[Path, Chain]
Said = dict[str, bool]
Verifier = Callable[[Asked], tuple[Judge, Said]]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300
    )


def by_cryptography(asked: Asked) -> tuple[Judge, Said]:
    """Ask its two verifiers; they are for ends of TLS only."""
    said = {}
    for chain in asked.values():
        leaf, *between = chain.presented
        store = verification.Store([chain.root])
        builder = verification.PolicyBuilder().store(store)
        verifier: verification.ServerVerifier | verification.ClientVerifier
        if chain.purpose == "server":
            verifier = builder.build_server_verifier(x509.DNSName(HOST))
        elif chain.purpose == "client":
            verifier = builder.build_client_verifier()
        else:
            continue
        try:
            verifier.verify(leaf, between)
        except verification.VerificationError:
            said[chain.name] = False
        else:
            said[chain.name] = True
    return Judge("cryptography", metadata.version("cryptography")), said


def by_pyopenssl(asked: Asked) -> tuple[Judge, Said]:
    """Ask its own OpenSSL, strictly; it is for ends of TLS, too."""
    said = {}
    for chain in asked.values():
        if chain.purpose in {"authority", "answers"}:
            continue
        leaf, *between = map(crypto.X509.from_cryptography, chain.presented)
        store = crypto.X509Store()
        store.add_cert(crypto.X509.from_cryptography(chain.root))
        store.set_flags(crypto.X509StoreFlags.X509_STRICT)
        try:
            crypto.X509StoreContext(store, leaf, between).verify_certificate()
        except crypto.X509StoreContextError:
            said[chain.name] = False
        else:
            said[chain.name] = True
    return Judge("pyOpenSSL", metadata.version("pyopenssl")), said


def by_openssl(asked: Asked) -> tuple[Judge, Said]:
    """Ask the system's OpenSSL, strictly and for the purpose."""
    openssl = str(needed("openssl"))
    purposes = {"server": "sslserver", "client": "sslclient", "answers": "ocsphelper"}
    said = {}
    for place, chain in asked.items():
        options = ["-purpose", purposes.get(chain.purpose, "crlsign")]
        if chain.purpose == "server":
            options += ["-verify_hostname", HOST]
        done = _run(
            *(openssl, "verify", "-x509_strict", *options),
            *("-CAfile", str(place / "root.pem")),
            *("-untrusted", str(place / "all.pem"), str(place / "leaf.pem")),
        )
        said[chain.name] = done.returncode == 0
    return Judge("OpenSSL", _run(openssl, "version").stdout.split()[1]), said


def by_nss(asked: Asked) -> tuple[Judge, Said]:
    """Ask Firefox' library; vfychain takes a certificate a file."""
    version = installed("libnss3-tools", Path("/usr/bin/vfychain"))
    usages = {"client": "0", "server": "1", "answers": "10", "authority": "11"}
    said = {}
    for place, chain in asked.items():
        presented = []
        for path in sorted(place.glob("presented-*.pem")):
            presented += ["-a", str(path)]
        done = _run(
            *("vfychain", "-pp", "-u", usages[chain.purpose], *presented),
            *("-t", "-a", str(place / "root.pem")),
        )
        said[chain.name] = "Chain is good!" in done.stdout + done.stderr
    return Judge("NSS", version), said


def by_gnutls(asked: Asked) -> tuple[Judge, Said]:
    """Ask certtool."""
    version = installed("gnutls-bin", Path("/usr/bin/certtool"))
    usages = {"server": "1", "client": "2", "answers": "9"}
    said = {}
    for place, chain in asked.items():
        options = []
        if chain.purpose in usages:
            options += [f"--verify-purpose=1.3.6.1.5.5.7.3.{usages[chain.purpose]}"]
        if chain.purpose == "server":
            options += [f"--verify-hostname={HOST}"]
        done = _run(
            *("certtool", "--verify", *options),
            *("--load-ca-certificate", str(place / "root.pem")),
            *("--infile", str(place / "all.pem")),
        )
        good = "Chain verification output: Verified" in done.stdout
        assert good or "Not verified" in done.stdout, done.stdout + done.stderr
        said[chain.name] = good
    return Judge("GnuTLS", version), said


def by_java(asked: Asked) -> tuple[Judge, Said]:
    """Ask CertPath."""
    java = program("java", "default-jdk-headless", serves=False)
    if java is None:
        pytest.skip("there is no java here, and it cannot be installed")
    version = re.search(r'"(.*?)"', _run(java, "-version").stderr)
    assert version
    done = _run(java, str(HERE / "java" / "Chains.java"), *map(str, asked))
    return Judge("Java CertPath", version[1]), _told(done)


def by_go(asked: Asked) -> tuple[Judge, Said]:
    """Ask crypto/x509."""
    go = program("go", "golang-go", serves=False)
    if go is None:
        pytest.skip("there is no go here, and it cannot be installed")
    version = _run(go, "version").stdout.split()[2]
    done = _run(go, "run", str(HERE / "go" / "chains.go"), *map(str, asked))
    return Judge("Go crypto/x509", version.removeprefix("go")), _told(done)


def _told(done: subprocess.CompletedProcess[str]) -> Said:
    assert done.returncode == 0, done.stderr
    lines = (line.split(maxsplit=2) for line in done.stdout.splitlines())
    return {name: word == "good" for name, word, *_ in lines}


VERIFIERS: Sequence[Verifier] = (
    by_cryptography,
    by_pyopenssl,
    by_openssl,
    by_nss,
    by_gnutls,
    by_java,
    by_go,
)
