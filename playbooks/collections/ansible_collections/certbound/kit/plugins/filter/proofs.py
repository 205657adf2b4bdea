"""Filters that say who has proved to be where a rotation wants everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Json = dict[str, Any]

_UNKNOWN = "nothing is known of it, its host was not reached"


def proof(
    evidence: Sequence[Mapping[str, Any]],
    expected: Sequence[str],
    state: Mapping[str, Any],
    waivers: Mapping[str, str],
    *,
    back: bool = False,
) -> Json:
    """Return who is where the CA's present `state` wants everybody, and who is not.

    On the way `back` less is to be proved: while both roots are trusted, hosts may
    present what they like. Only before one is dropped must nobody need it.

    The CA judges again before it goes on. This is for a person, who reads the `lines`,
    and for the way back, on which the CA asks for no proof.
    """
    seen = {entry["identity"]: entry for entry in evidence}
    rotation = state.get("rotation") or {"what": "rotation", "phase": "none under way"}
    judge = _BACK.get(rotation["phase"], _fault) if back else _fault
    faults = {name: judge(seen.get(name), state) for name in expected}
    laggards = {n: f for n, f in faults.items() if f and n not in waivers}
    waived = {n: waivers[n] for n, f in faults.items() if f and n in waivers}
    proved = [name for name, fault in faults.items() if not fault]
    head = "{what}: {phase}".format(**rotation)
    return {
        "proved": proved,
        "laggards": laggards,
        **told(head, proved, laggards, waived),
    }


def known(
    results: Sequence[Mapping[str, Any]],
    expected: Sequence[str],
    waivers: Mapping[str, str],
) -> Json:
    """Return which processes know the signing keys, and which do not.

    `results` are what `known_keys` has found on each host that was reached.
    """
    proved = {name for result in results for name in result["proved"]}
    faults = {n: f for result in results for n, f in result["laggards"].items()}
    behind = {n: faults.get(n, _UNKNOWN) for n in expected if n not in proved}
    laggards = {n: f for n, f in behind.items() if n not in waivers}
    waived = {n: waivers[n] for n in behind if n in waivers}
    names = [name for name in expected if name in proved]
    return {
        "proved": names,
        "laggards": laggards,
        **told("signing keys: published", names, laggards, waived),
    }


def told(
    head: str,
    proved: Sequence[str],
    laggards: Mapping[str, str],
    waived: Mapping[str, str],
) -> Json:
    """Return how a phase stands, in `lines`, and by name who holds it up."""
    total = len(proved) + len(laggards) + len(waived)
    names = ", ".join(proved) or "nobody"
    lines = [f"{head}: {len(proved)} of {total} proved: {names}"]
    lines += [f"waived: {name} ({reason})" for name, reason in waived.items()]
    named = "; ".join(f"{name}: {fault}" for name, fault in laggards.items())
    return {"lines": lines, "named": f"laggards: {named}"}


def keys(name: str, state: Mapping[str, Any]) -> list[str]:
    """Return how the signing keys of a token service stand."""
    lines = ["{}: signs with {signing} since {since}".format(name, **state)]
    if state["waiting"]:
        lines.append("{}: {waiting} waits until {begins}".format(name, **state))
    if state["retired"]:
        lines.append(
            "{}: {} published until {forgotten_at}".format(
                name, " and ".join(state["retired"]), **state
            )
        )
    return lines


def _fault(seen: Mapping[str, Any] | None, state: Mapping[str, Any]) -> str | None:
    """Return why an identity is not where it should be, or None."""
    if seen and seen["live"] and set(seen["roots"]) != set(state["trusted_roots"]):
        return f"trusts {_short(seen['roots'])}, not {_short(state['trusted_roots'])}"
    return _presents_other(seen, state)


def _presents_other(
    seen: Mapping[str, Any] | None, state: Mapping[str, Any]
) -> str | None:
    """Return why an identity presents something else than it should, or None."""
    if seen is None:
        return _UNKNOWN
    if not seen["live"]:
        return str(seen["reason"] or "not presented by any port")
    if seen["issuer"] != state["issuer"]:
        return f"presents a certificate by {_short([seen['issuer'] or 'nobody'])}"
    after = state["issued_after"]
    if after and seen["begins"] < after:
        return f"presents a certificate that begins before {after}"
    return None


def _nothing(_seen: Mapping[str, Any] | None, _state: Mapping[str, Any]) -> None:
    """Ask for no proof."""


_BACK = {
    "draining": _nothing,
    "switching": _nothing,
    "distributing": _presents_other,
}


def _short(digests: Sequence[str]) -> str:
    return " and ".join(sorted(digest[:12] for digest in digests)) or "nobody"


class FilterModule:
    """Makes the filters known."""

    def filters(self) -> Json:
        """Return them by name."""
        return {"proof": proof, "known": known, "keys": keys}
