"""The drill: steal every kind of token, try to use it, show what happened.

Two tokens of the victim's are issued by the running token service: a bearer token and
one bound to the victim's certificate. A thief who has got hold of both tries them in
every way that he could: the bearer token at an ordinary API (`bearer_api`), the bound
one at the running target service. Each try has one expected outcome, down to the
reason of the refusal; whatever differs fails the drill.
"""

from dataclasses import dataclass

import msgspec

from services.attempt import Files, Outcome
from services.config import ConfigError
from services.deployment import Deployment, DrillParties, Loot
from services.drill.stage import Stage, Tokens, stage

_ACCEPTED = "accepted"
_CERTIFICATE_REQUIRED = "TLS alert: certificate required"
_UNKNOWN_CA = "TLS alert: unknown ca"
_OTHER_CERTIFICATE = "the token is bound to another certificate"
_OTHER_AUDIENCE = "the token is for another audience"
_EXPIRED = "the token has expired"
_BAD_SIGNATURE = "the signature is not valid"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One try with one kind of token."""

    expected: str
    happened: str
    ok: bool


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way to use a token, tried with each kind."""

    tried: str
    bearer: Cell
    bound: Cell
    ok: bool


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The whole table."""

    victim: str
    target: str
    thief: str
    rows: list[Row]
    ok: bool


@dataclass(frozen=True, slots=True)
class _Use:
    """One token, the place it is used at, and what should come of it."""

    token: str
    url: str
    expected: str


@dataclass(frozen=True, slots=True)
class _Theft:
    """One way to use a token, by whoever holds the files of `identity`."""

    tried: str
    identity: Files | None
    bearer: _Use
    bound: _Use


class VictimsPart(msgspec.Struct, frozen=True, kw_only=True):
    """What the victim's host answers: its rows of the table, and what is stolen."""

    result: Result
    loot: Loot


def run_drill(deployment: Deployment) -> Result:
    """Return what came of every theft, on a host that has the keys of both.

    Raises:
        ConfigError: the topology names no parties for a drill.
        NoTokenError: the token service refuses the victim its tokens.
        UnreachableError: the token service does not answer.
    """
    parties = _parties(deployment)
    with stage(deployment, parties) as set_up:
        rows = [_try(set_up, theft) for theft in _at_once(set_up, parties)]
        set_up.wait_for_expiry()
        rows.append(_try(set_up, _after_expiry(set_up)))
    return _result(parties, rows)


def run_on_victims_host(deployment: Deployment) -> VictimsPart:
    """Return all rows but the thief's, and the tokens that it is to try.

    Raises:
        ConfigError: the topology names no parties for a drill.
        NoTokenError: the token service refuses the victim its tokens.
        UnreachableError: the token service does not answer.
    """
    parties = _parties(deployment)
    with stage(deployment, parties) as set_up:
        rows = [
            _try(set_up, theft)
            for theft in _at_once(set_up, parties)
            if theft.identity != set_up.thief
        ]
        set_up.wait_for_expiry()
        rows.append(_try(set_up, _after_expiry(set_up)))
        loot = Loot(bearer=set_up.tokens.bearer, bound=set_up.tokens.bound)
    return VictimsPart(result=_result(parties, rows), loot=loot)


def run_on_thiefs_host(deployment: Deployment) -> Result:
    """Return the one row that needs the thief's certificate.

    Raises:
        ConfigError: the topology names no parties for a drill, or there is no loot.
        UnreachableError: the token service does not answer.
    """
    parties = _parties(deployment)
    if deployment.loot is None:
        raise ConfigError("the thief has no loot")
    tokens = Tokens(deployment.loot.bearer, deployment.loot.bound, "", "", 0)
    with stage(deployment, parties, stolen=tokens) as set_up:
        rows = [
            _try(set_up, theft)
            for theft in _at_once(set_up, parties)
            if theft.identity == set_up.thief
        ]
    return _result(parties, rows)


def _parties(deployment: Deployment) -> DrillParties:
    if deployment.drill is None:
        raise ConfigError("the topology has no drill: section")
    return deployment.drill


def _result(parties: DrillParties, rows: list[Row]) -> Result:
    return Result(
        victim=parties.victim,
        target=parties.target,
        thief=parties.thief,
        rows=rows,
        ok=all(row.ok for row in rows),
    )


def _at_once(stage: Stage, parties: DrillParties) -> list[_Theft]:
    """Return every theft that needs no waiting; the first is no theft, but a check."""
    bearer, bound = stage.tokens.bearer, stage.tokens.bound

    def both(at_bearer: str, at_bound: str) -> tuple[_Use, _Use]:
        return (
            _Use(bearer, stage.bearer_url, at_bearer),
            _Use(bound, stage.bound_url, at_bound),
        )

    return [
        _Theft(
            f"by its owner, {parties.victim}", stage.victim, *both(_ACCEPTED, _ACCEPTED)
        ),
        _Theft("with no certificate", None, *both(_ACCEPTED, _CERTIFICATE_REQUIRED)),
        _Theft(
            f"with {parties.thief}'s valid certificate",
            stage.thief,
            *both(_ACCEPTED, _OTHER_CERTIFICATE),
        ),
        _Theft(
            f"with {parties.victim}'s name from a rogue CA",
            stage.rogue,
            *both(_ACCEPTED, _UNKNOWN_CA),
        ),
        _Theft(
            f"at another audience, {parties.thief}",
            stage.victim,
            _Use(bearer, stage.other_bearer_url, _OTHER_AUDIENCE),
            _Use(bound, stage.other_bound_url, _OTHER_AUDIENCE),
        ),
        _Theft(
            "tampered with",
            stage.victim,
            _Use(_tampered(bearer), stage.bearer_url, _BAD_SIGNATURE),
            _Use(_tampered(bound), stage.bound_url, _BAD_SIGNATURE),
        ),
    ]


def _after_expiry(stage: Stage) -> _Theft:
    return _Theft(
        "after its expiry",
        stage.victim,
        _Use(stage.tokens.brief_bearer, stage.bearer_url, _EXPIRED),
        _Use(stage.tokens.brief_bound, stage.bound_url, _EXPIRED),
    )


def _try(stage: Stage, theft: _Theft) -> Row:
    bearer, bound = (
        _cell(stage.use(use.token, use.url, theft.identity), use.expected)
        for use in (theft.bearer, theft.bound)
    )
    return Row(tried=theft.tried, bearer=bearer, bound=bound, ok=bearer.ok and bound.ok)


def _cell(outcome: Outcome, expected: str) -> Cell:
    happened = _ACCEPTED if outcome.accepted else outcome.reason
    return Cell(expected=expected, happened=happened, ok=happened == expected)


def _tampered(token: str) -> str:
    """Return `token` with its claims replaced and the signature kept."""
    header, _, signature = token.split(".")
    return f"{header}.eyJzdWIiOiJ0aGllZiJ9.{signature}"
