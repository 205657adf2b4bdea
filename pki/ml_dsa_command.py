"""The verbs of `python -m pki ml-dsa`: a parallel CA for evidence that outlives ECDSA.

`verify` needs no CA, and loads no key.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pki.command import (
    InputError,
    answers_in_json,
    directory_option,
    passphrase_option,
    run_id_option,
    standard_input,
)

if TYPE_CHECKING:
    from cryptography import x509

_EXAMPLES = """\b
Examples:
  python -m pki ml-dsa init --directory ca --root-passphrase-fd 3 \\
      --issuing-passphrase-fd 4 3< pq-root.pass 4< pq-issuing.pass
  python -m pki ml-dsa sign --directory ca --issuing-passphrase-fd 4 4< pq-issuing.pass
  python -m pki ml-dsa show --directory ca --identity orders@localhost > statement.pem
  python -m pki ml-dsa verify --root pq-root.pem --certificate orders.pem \\
      < statement.pem
"""


@click.group("ml-dsa", epilog=_EXAMPLES)
def ml_dsa() -> None:
    """A parallel CA whose signatures a quantum computer cannot forge (FIPS 204).

    Its statements say what certificates say, for whoever verifies far from the CA and
    years from now. Nobody trusts it in a handshake.
    """


@ml_dsa.command()
@directory_option
@run_id_option
@passphrase_option("root")
@passphrase_option("issuing")
@answers_in_json
def init(
    directory: Path,
    *,
    run_id: str,
    root_passphrase_fd: int | None,
    issuing_passphrase_fd: int | None,
) -> dict[str, object]:
    """Make the parallel root and issuing CA, or what is missing of them.

    The issuing CA is certified anew when half of its life is over: run it now and then.
    Lives and names are those of the CA's policy.
    """
    if root_passphrase_fd is not None and root_passphrase_fd == issuing_passphrase_fd:
        raise click.UsageError("the two passphrases need a file descriptor each")
    from pki.layout import Layout
    from pki.ml_dsa import authority, statement
    from pki.passphrase import reader

    layout = Layout(directory)
    changed = authority.ParallelCa(
        layout,
        authority.Passphrases(
            root=reader("root", root_passphrase_fd),
            issuing=reader("issuing", issuing_passphrase_fd),
        ),
        run_id,
    ).found()
    root = layout.certificate(statement.ROOT).read_bytes()
    return {"changed": changed, "root": _fingerprint(root), "pem": root.decode()}


@ml_dsa.command()
@directory_option
@run_id_option
@passphrase_option("issuing")
@answers_in_json
def sign(
    directory: Path, *, run_id: str, issuing_passphrase_fd: int | None
) -> dict[str, object]:
    """Make a statement on each certificate that lives and has none.

    The ledger is verified first, and the CA's own signature on each certificate.
    """
    from pki.layout import Layout
    from pki.ml_dsa import authority
    from pki.passphrase import reader

    issuing = reader("issuing", issuing_passphrase_fd)
    passphrases = authority.Passphrases(root=issuing, issuing=issuing)
    parallel = authority.ParallelCa(Layout(directory), passphrases, run_id)
    made = parallel.sign()
    return {"changed": bool(made), "statements": made}


@ml_dsa.command()
@directory_option
@click.option("--identity", required=True, help="Whose newest certificate it is about.")
@answers_in_json
def show(directory: Path, *, identity: str) -> str:
    """Show the statement on a certificate, and the issuing CA above it, in PEM."""
    from pki.layout import Layout
    from pki.ledger import read_ledger
    from pki.ml_dsa import statement

    with read_ledger(Layout(directory).ledger) as ledger:
        return statement.shown(ledger, identity)


@ml_dsa.command()
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The parallel root's certificate, kept since an earlier day.",
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What the statement is to be about.",
)
@click.option("--at", metavar="TIME", help="In 2026-11-22T17:35:16Z's form; now.")
@answers_in_json
def verify(
    root: Path, *, certificate: Path | None, at: str | None
) -> dict[str, object]:
    """Verify the statement on standard input, and say what the CA has vouched for.

    It proves neither that the certificate was not revoked, nor who has its key.
    """
    from pki import clock
    from pki.ml_dsa.statement import verify_statement

    try:
        moment = clock.from_text(at) if at else clock.utc_now()
    except ValueError as error:
        raise click.UsageError(f"--at: {error}") from error
    vouched = verify_statement(
        _certificates(standard_input(), "standard input"),
        _certificates(root.read_bytes(), str(root))[0],
        at=moment,
        certificate=(
            _certificates(certificate.read_bytes(), str(certificate))[0]
            if certificate
            else None
        ),
    )
    said = vouched.statement
    return {
        "spiffe_id": str(vouched.names.spiffe_id),
        "dns_names": [name.text for name in vouched.names.dns_names],
        "not_before": clock.to_text(said.not_valid_before_utc),
        "not_after": clock.to_text(said.not_valid_after_utc),
    }


def _certificates(pem: bytes, where: str) -> "list[x509.Certificate]":
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise InputError(f"{where}: no certificate in PEM: {error}") from error


def _fingerprint(pem: bytes) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()
