"""What a reference is predicted to show of poison, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference

SEEN = 0.5
"""Where less of a poison would be held, it is told that it may pass."""
_ATTACKS = {
    "flips": "labels changed by chance",
    "turned": "labels of one class turned into one other",
}


def power_told(reference: Reference) -> list[str]:
    """What would be held of wrong labels, a sentence each; empty where it was not tried.

    Args:
        reference: with what was predicted when it was fitted.

    Examples:
        >>> from lazaretto.registry.references import load_reference
        >>> power_told(load_reference(workspace, "reviews"))[0].split(",")[0]
        'labels changed by chance'
    """
    told = []
    for attack, words in _ATTACKS.items():
        doses = [
            f"{100 * one.share:.3g} %: about {one.recall:.0%}"
            for one in reference.power
            if one.attack == attack
        ]
        if doses:
            told.append(f"{words}, share held at a dose of {'; '.join(doses)}")
    return told


def weak_spot(reference: Reference, policy: Policy) -> str | None:
    """That the share which the policy asks for may pass, by the trial; None where it would not.

    Args:
        reference: that a batch was judged against.
        policy: by which.
    """
    wanted = policy.screen.min_poison_share
    if not reference.power:
        return None
    near = [one for one in reference.power if one.share <= wanted * (1 + 1e-9)]
    if not near:
        # Less than was tried is seen no better.
        least = min(one.share for one in reference.power)
        near = [one for one in reference.power if one.share == least]
        if all(one.recall >= SEEN for one in near):
            return (
                f"Poison of screen.min_poison_share ({100 * wanted:.3g} %) was not tried on this "
                f"reference, only {100 * least:.3g} % and more: less may pass. Fit a new version "
                "under this policy to know"
            )
    dose = max(one.share for one in near)
    weak = [one for one in near if one.share == dose and one.recall < SEEN]
    if not weak:
        return None
    worst = min(weak, key=lambda one: one.recall)
    return (
        f"By a trial on trusted records, of {100 * dose:.3g} % {_ATTACKS[worst.attack]} about "
        f"{worst.recall:.0%} would be held: poison of screen.min_poison_share may pass where it "
        "looks like this"
    )
