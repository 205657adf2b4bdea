"""Seven verifiers agree on good and bad chains of every profile.

What one of them lets pass is listed with its reason, and must still be let pass.
"""

from pathlib import Path

import pytest

from tests.judges.chains import Chain, chains
from tests.judges.verdicts import Verdict
from tests.judges.verifiers import VERIFIERS, Verifier

# By judge, then by chain.
LETS_PASS = {
    "OpenSSL": {
        "responder-a_service-answers": "`openssl ocsp` looks at the responder's usage"
    },
    "GnuTLS": {"issuing_CA-no_CA-authority": "certtool has no word for this purpose"},
    "Java CertPath": {
        "root-no_CA-client": "an anchor is a name and a key (RFC 5280, section 6.1.1)"
    },
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Chain]:
    """Return the chains, written as files."""
    directory = tmp_path_factory.mktemp("chains")
    return {chain.write(directory): chain for chain in chains()}


@pytest.mark.parametrize("verifier", VERIFIERS, ids=lambda one: one.__name__)
def test_a_verifier_agrees_on_every_chain(
    asked: dict[Path, Chain], verifier: Verifier, verdict: Verdict
) -> None:
    """The good ones are good, and every bad one is refused."""
    judge, said = verifier(asked)
    expected = {
        chain.name: not chain.fault or chain.name in LETS_PASS.get(judge.name, {})
        for chain in asked.values()
        if chain.name in said
    }
    assert said == expected
    for chain in asked.values():
        if chain.name not in said:
            continue
        if not chain.fault:
            verdict(judge, accepted=chain.profile)
        elif not said[chain.name]:
            verdict(judge, refused=chain.fault)


def test_every_profile_has_a_good_and_a_bad_chain(asked: dict[Path, Chain]) -> None:
    """And none stands there twice."""
    assert len({chain.name for chain in asked.values()}) == len(asked)
    profiles = {chain.profile for chain in asked.values()}
    assert profiles == {"service", "issuing CA", "root", "responder"} | {
        "new with old",
        "old with new",
    }
    for profile in profiles:
        faults = [chain.fault for chain in asked.values() if chain.profile == profile]
        assert "" in faults
        assert len(set(faults)) > 3
