"""The drill: steal every kind of token, try to use it, show what happened.

The running token service issues, to their owners, tokens of each kind. A thief who has
got hold of them tries them in every way that he could. Each try has one expected
outcome, down to the reason of the refusal; whatever differs fails the drill.

Where one host has all the keys, `run_drill` plays it whole. Elsewhere it is a relay
(`play`): each host plays what it has the keys for, and hands the table and the stolen
tokens on to the next. Keys stay where they are.
"""

from collections.abc import Collection, Mapping

import msgspec

from services.config import ConfigError
from services.deployment import Deployment, DrillParties
from services.drill.kinds import Kind, Spoils
from services.drill.result import NOT_TRIED, Cell, Result, Row, cell_of
from services.drill.scene import Scene
from services.drill.spoils import gather
from services.drill.stage import Stage, stage
from services.drill.thefts import THEFTS, By, Theft


class Baton(msgspec.Struct, frozen=True, kw_only=True):
    """What one host hands on to the next: the table so far, and what is stolen."""

    result: Result
    loot: dict[str, Spoils]


def run_drill(deployment: Deployment) -> Result:
    """Return what came of every theft, on a host that has the keys of all.

    Raises:
        ConfigError: the topology names no parties for a drill.
        NoTokenError: the token service refuses an owner its tokens.
        UnreachableError: the token service does not answer.
    """
    everybody = [*deployment.services, *deployment.gateways]
    return play(deployment, holding=everybody).result


def play(deployment: Deployment, *, holding: Collection[str]) -> Baton:
    """Return the table after every theft that the keys of `holding` are needed for.

    Raises:
        ConfigError: the topology names no parties for a drill, or what was handed on
            is none of a drill's.
        NoTokenError: the token service refuses an owner its tokens.
        UnreachableError: the token service does not answer.
    """
    parties = deployment.drill
    if parties is None:
        raise ConfigError("the topology has no drill: section")
    rows, loot = _handed_on(deployment)
    with stage(deployment, parties, holding=holding, loot=loot) as set_up:
        gather(set_up)
        played = [_row(set_up, theft, rows.get(theft.tried, {})) for theft in THEFTS]
        spoils = {
            name: kind.spoils for name, kind in set_up.kinds.items() if kind.spoils
        }
    result = _result(parties, [row for row in played if row.cells])
    return Baton(result=result, loot=spoils)


def _handed_on(
    deployment: Deployment,
) -> tuple[Mapping[str, Mapping[str, Cell]], Mapping[str, Spoils]]:
    if not bytes(deployment.handed_on):
        return {}, {}
    try:
        baton = msgspec.json.decode(deployment.handed_on, type=Baton)
    except msgspec.DecodeError as error:
        raise ConfigError(f"what was handed on is no drill: {error}") from None
    return {row.tried: row.cells for row in baton.result.rows}, baton.loot


def _result(parties: DrillParties, rows: list[Row]) -> Result:
    return Result(
        victim=parties.victim,
        target=parties.target,
        thief=parties.thief,
        onward=parties.exchanged.service if parties.exchanged else "",
        rows=rows,
        ok=all(row.ok for row in rows),
    )


def _row(stage: Stage, theft: Theft, earlier: Mapping[str, Cell]) -> Row:
    cells = {}
    for name, kind in stage.kinds.items():
        expected = theft.expected.get(name)
        if expected is not None:
            known = earlier.get(name)
            tried = known is not None and known.happened != NOT_TRIED
            cells[name] = known if known and tried else _cell(stage, theft, kind)
    return Row.of(theft.tried, cells)


def _cell(stage: Stage, theft: Theft, kind: Kind) -> Cell:
    expected = theft.expected[kind.name]
    scene = _scene(stage, theft, kind)
    if scene is None:
        return Cell(expected=expected, happened=NOT_TRIED, ok=False)
    outcome = theft.way(scene)
    return cell_of(expected, "accepted" if outcome.accepted else outcome.reason)


def _scene(stage: Stage, theft: Theft, kind: Kind) -> Scene | None:
    """Return who uses what, None if that is for another host."""
    user = kind.thief if theft.by is By.THIEF else kind.owner
    key = stage.thiefs_key
    if user not in stage.hands or kind.spoils is None:
        return None
    if theft.by is not By.THIEF:
        if kind.owned is None:
            return None
        key = kind.owned.key or key
    elif theft.needs_introspected and not kind.spoils.introspected:
        return None
    files = {
        By.OWNER: stage.hands[user],
        By.THIEF: stage.hands[user],
        By.NOBODY: None,
        By.IMPOSTOR: stage.impostors.get(user),
    }[theft.by]
    return Scene(stage, kind, kind.spoils, user, files, key, theft.expected[kind.name])
