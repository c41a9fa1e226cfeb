"""What a policy asks of the deliveries of one source, by its name and its trust tier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.policy.trust import Quota
from lazaretto.values import SourceSettings, TrustTier

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.policy.model import Policy


def effective_settings(policy: Policy, names: Iterable[str], tier: TrustTier) -> SourceSettings:
    """What holds for the deliveries of a source: its own rules, else its tier's, else all sources'.

    Args:
        policy: the policy.
        names: of the source: all that it has or had; the policy may know it by any.
        tier: how far it is trusted.

    Examples:
        >>> from lazaretto.policy import Policy
        >>> policy = Policy.model_validate({
        ...     "version": 1,
        ...     "dataset": "reviews",
        ...     "columns": {},
        ...     "sources": {
        ...         "tiers": {"UNTRUSTED": {"review_share": 0.05, "max_share": 0.2}},
        ...         "by_source": {"crawl": {"max_share": 0.1}},
        ...     },
        ... })
        >>> found = effective_settings(policy, ["crawl"], TrustTier.UNTRUSTED)
        >>> found.review_share, found.max_share, found.false_quarantine_rate
        (0.05, 0.1, 0.01)
    """
    sources, screen = policy.sources, policy.screen
    own = next((sources.by_source[name] for name in names if name in sources.by_source), None)
    rules = [own, sources.tiers.get(tier.value)]  # type: ignore[call-overload]
    said: dict[str, object] = {
        "require_signature": sources.require_signature,
        "false_quarantine_rate": screen.false_quarantine_rate,
        "hold": screen.hold,
        "review_share": 0.0,
        "max_share": sources.quota.max_share,
        "max_class_share": sources.quota.max_class_share,
    }
    for one in reversed([one for one in rules if one is not None]):
        said |= one.model_dump(exclude_none=True)
    return SourceSettings(
        tier=tier,
        window_days=sources.quota.window_days,
        free_records=sources.quota.free_records,
        **said,  # type: ignore[arg-type]
    )


def settings_told(policy: Policy, names: Iterable[str], tier: TrustTier) -> SourceSettings | None:
    """The same, where the policy tells sources apart or limits them; None where it does neither.

    This is what results are keyed on and what goes on record: a policy without such rules says the
    same of its results as before there were any.
    """
    return effective_settings(policy, names, tier) if tells_sources_apart(policy) else None


def tells_sources_apart(policy: Policy) -> bool:
    """Whether a policy has rules for tiers or sources, or a quota."""
    sources = policy.sources
    return bool(sources.tiers or sources.by_source or sources.quota != Quota())


def screened_by(settings: SourceSettings | None) -> tuple[float, str] | None:
    """What of it a screening depends on."""
    return None if settings is None else (settings.false_quarantine_rate, settings.hold)


def for_source(policy: Policy, settings: SourceSettings | None) -> Policy:
    """The policy with the rate and the hold rule that screening takes for a source."""
    if settings is None:
        return policy
    said = {"false_quarantine_rate": settings.false_quarantine_rate, "hold": settings.hold}
    return policy.model_copy(update={"screen": policy.screen.model_copy(update=said)})


def in_words(policy: Policy) -> list[str]:
    """What the rules for sources do: a sentence for each tier, and for each source that has any.

    Examples:
        >>> from lazaretto.policy import Policy
        >>> policy = Policy.model_validate({
        ...     "version": 1,
        ...     "dataset": "reviews",
        ...     "columns": {},
        ...     "sources": {"tiers": {"UNTRUSTED": {"review_share": 0.05}}},
        ... })
        >>> print(in_words(policy)[-1].split("; ")[2])
        5 % of the records that pass are drawn for people.
    """
    tiers = [tier for tier in TrustTier if tier is not TrustTier.REVOKED]
    said = [f"Tier {tier.value}: {_words(effective_settings(policy, (), tier))}." for tier in tiers]
    for name in sorted(policy.sources.by_source):
        each = {tier: _words(effective_settings(policy, [name], tier)) for tier in tiers}
        if len(set(each.values())) == 1:
            said.append(f"Source {name}: {each[tiers[0]]}.")
        else:
            said += [f"Source {name}, while {tier.value}: {text}." for tier, text in each.items()]
    return said


def _words(settings: SourceSettings) -> str:
    rate = f"{settings.false_quarantine_rate:.4g}"
    parts = [
        "a signature is required" if settings.require_signature else "no signature is required",
        f"false quarantine rate {rate}, held by {settings.hold}",
        f"{100 * settings.review_share:.3g} % of the records that pass are drawn for people"
        if settings.review_share
        else "no record that passes is drawn for people",
    ]
    for share, where in ((settings.max_share, ""), (settings.max_class_share, " of each class")):
        if share < 1:
            parts.append(
                f"at most {100 * share:.3g} %{where} of what enters in {settings.window_days} "
                f"days, beyond {settings.free_records:,} records"
            )
    return "; ".join(parts)
