"""Makes stories by chance: what happens in a mixed history, from a seed alone."""

from __future__ import annotations

from random import Random

from mixed import jobs
from mixed.making import ATTACKED, KINDS, PLAIN, REGISTERED, Making, a_read
from mixed.names import EXPORTS, MODELS, TABLES
from mixed.scenes import play_scene
from mixed.steps import (
    BARE,
    COUNTING,
    DOUBLE,
    END,
    LATE,
    RANDOM,
    SPLIT,
    WHOLE,
    Admit,
    Alias,
    Declare,
    Export,
    Read,
    Recall,
    Receive,
    Register,
    Snapshot,
    Story,
    Tool,
)

SOURCES = ("x", "y")
_STYLES = (WHOLE, WHOLE, SPLIT, SPLIT, END, DOUBLE, LATE)


def kind_of(seed: int) -> str:
    """What kind of history a seed makes."""
    return KINDS[seed % len(KINDS)]


def story(seed: int, kind: str | None = None) -> Story:
    """The story of a seed: ten to twenty steps."""
    random = Random(f"mixed {seed}")  # noqa: S311
    styles = (WHOLE, random.choice((SPLIT, SPLIT, DOUBLE, LATE)), random.choice(_STYLES))
    tools = tuple(_tool(random, number, style) for number, style in enumerate(styles))
    modes = {table: random.choice((COUNTING, COUNTING, RANDOM, BARE, BARE)) for table in TABLES}
    partitioned = frozenset(table for table in TABLES if random.random() < 0.15)
    modes |= dict.fromkeys(partitioned, BARE)
    pool = tuple(random.sample(sorted(TABLES), random.choice((1, 2, 2, 3))))
    making = Making(random, kind or kind_of(seed), tools, modes, partitioned, pool)
    _beginning(making)
    play_scene(making)
    for _ in range(random.choice((2, 4, 6, 8))):
        making.pause()
        _step(making)
    for table in sorted(making.tables & set(pool)):
        making.pause()
        jobs.train(making, table)
    attack = tuple(random.random() for _ in range(4)) if making.kind == ATTACKED else ()
    return Story(
        seed=seed,
        tools=tools,
        modes=modes,
        first=random.choice((0, 1, 1)),
        steps=tuple(making.steps),
        attack=attack,
        shuffle=random.randrange(2**32),
    )


def _tool(random: Random, number: int, style: str) -> Tool:
    namespace = random.choice(("spark", f"tool-{number}"))
    return Tool(
        namespace=namespace,
        producer=f"https://example.org/tool-{number}",
        style=style,
        skew=random.choice((-4.0, -1.5, 0.0, 0.0, 2.0, 4.0)),
        names_at_start=random.random() < 0.5,
    )


def _beginning(making: Making) -> None:
    random = making.random
    for _ in range(random.choice((1, 2, 2, 3))):
        _receive(making)
        making.pause()
        if making.chance(0.7):
            _admit(making)
            making.pause()
    if making.chance(0.2):
        making.steps.append(Alias(1.0, "table:c"))
    for thing in ("outside:rates", "outside:bert"):
        if making.kind in (PLAIN, ATTACKED) or making.chance(0.5):
            making.steps.append(Declare(2.0, thing))


def _step(making: Making) -> None:
    """One more thing happens; what cannot happen yet is another thing."""
    choices = (
        (_receive, 1),
        (_admit, 2),
        (_recall, 1),
        (_snapshot, 1),
        (_export, 1),
        (_register, 1),
        (jobs.write, 8),
        (jobs.train, 3),
        (jobs.empty, 1),
        (jobs.stream, 1),
        (jobs.distil, 1),
    )
    found = making.random.choices([f for f, _ in choices], [weight for _, weight in choices])
    found[0](making)


def _receive(making: Making) -> None:
    source = making.random.choice(SOURCES)
    making.received.add(source)
    making.steps.append(Receive(making.now, source))


def _admit(making: Making) -> None:
    making.admitted = True
    making.steps.append(Admit(making.now, making.random.random()))


def _recall(making: Making) -> None:
    making.steps.append(Recall(making.now, making.random.random(), making.chance(0.7)))


def _snapshot(making: Making) -> None:
    making.frozen = making.admitted
    making.steps.append(Snapshot(making.now, making.random.choice((0.0, 0.0, 0.6))))


def _export(making: Making) -> None:
    if making.admitted:
        file = making.random.choice(list(EXPORTS))
        making.exports.add(file)
        making.steps.append(Export(making.now, file, making.random.choice((0.0, 0.0, 0.6))))


def _register(making: Making) -> None:
    random = making.random
    if making.admitted and not making.frozen:
        _snapshot(making)
        making.pause()
    model = random.choice(MODELS)
    inputs: tuple[Read, ...] = ()
    if making.chance(0.5):
        inputs = (a_read(making, use=REGISTERED),)
    pick = random.random() if making.frozen else -1.0
    if pick >= 0 or inputs:
        making.models.add(model)
        making.steps.append(Register(making.now, model, pick, making.chance(0.4), inputs))
