"""Ask pkilint, in a process of its own, about many files at once.

    python -m tests.pki.linting crl/full.der ...

The folder says what a file is: certificate, pair (two files in one folder below), crl,
arl or ocsp. The answer is one JSON line a file: its name and the codes of the findings,
from warnings on.
"""

import json
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from pkilint.bin import (
    lint_crl,
    lint_ocsp_response,
    lint_pkix_cert,
    lint_pkix_signer_signee_cert_chain,
)

_ASKED = ["lint", "--format", "JSON", "--severity", "WARNING"]


def codes(path: Path) -> list[str]:
    """Return the codes of what pkilint finds in the file, or pair of files."""
    kind, said = path.parent.name, StringIO()
    with redirect_stdout(said):
        if kind == "certificate":
            lint_pkix_cert.main([*_ASKED, str(path)])
        elif kind == "pair":
            both = [str(path / "issuer.der"), str(path / "subject.der")]
            lint_pkix_signer_signee_cert_chain.main([*_ASKED, *both])
        elif kind == "ocsp":
            lint_ocsp_response.main([*_ASKED, str(path)])
        else:
            of = ["--type", kind.upper(), "--profile", "PKIX"]
            lint_crl.main([*_ASKED, *of, str(path)])
    results: list[dict[str, Any]] = json.loads(said.getvalue())["results"]
    return [
        finding["code"]
        for found in results
        for finding in found["finding_descriptions"]
    ]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        asked = Path(argument)
        name = f"{asked.parent.name}/{asked.name}"
        print(json.dumps([name, codes(asked)]))  # noqa: T201 - the answer
