"""Adds jobs of other tools to a story: what they read and write, and how they end."""

from __future__ import annotations

from mixed.making import CLOSE, LOSSY, PLAIN, TRAINED, Making, a_read
from mixed.names import MODELS, TABLES
from mixed.steps import COUNTING, END, Job, Read, Write


def _table(making: Making, *, change: str | None = None, plain: bool = False) -> Write:
    random = making.random
    thing = random.choice(making.pool)
    if thing in making.partitioned:
        part = random.choice(("mon", "tue"))
        change = random.choice((None, None, "OVERWRITE"))
    else:
        part = None
        if change is None and not plain:
            change = random.choice((None, None, None, "OVERWRITE", "OVERWRITE", "CREATE"))
            if change == "CREATE" and making.kind == PLAIN and thing in making.tables:
                change = None
            if change is None and making.modes[thing] == COUNTING and making.chance(0.15):
                change = "MEMBERS"
    return Write(thing, change, random.randrange(len(TABLES[thing])), part, making.chance(0.5))


def write(making: Making) -> None:
    """Data is worked on: appended, overwritten, merged, joined."""
    write = _table(making)
    reads = [a_read(making) for _ in range(making.random.choice((1, 1, 1, 2, 3)))]
    if write.thing in making.tables and write.part is None and making.chance(0.2):  # MERGE
        reads.append(Read(write.thing, making.random.choice(("named", "bare"))))
    writes = [write]
    if making.chance(0.08):
        other = _table(making)
        writes += [other] if other.thing != write.thing else []
    _job(making, reads, writes)


def train(making: Making, table: str | None = None) -> None:
    """A model learns from something: a table where one is named, and more."""
    random = making.random
    role = "EVAL" if making.chance(0.1) else None
    reads = [a_read(making, use=TRAINED, role=role)] if making.chance(0.4) else []
    if table is not None:
        part = random.choice(("mon", "tue", None)) if table in making.partitioned else None
        how = random.choice(("named", "bare", "bare", "old"))
        reads.append(Read(table, how, random.random(), 0, part=part))
    elif not reads or role is not None:
        reads.append(a_read(making, use=TRAINED))
    if making.models and making.chance(0.4):
        base = random.choice(sorted(making.models))
        how = random.choice(("named", "named", "old", "bare"))
        reads.append(Read(base, how, random.random(), random.randrange(2), _finetune(making)))
    elif making.chance(0.15):
        reads.append(Read("outside:bert", "named", role=_finetune(making)))
    model = random.choice(MODELS)
    making.models.add(model)
    purpose = "EVAL" if making.chance(0.1) else random.choice((None, "TRAIN"))
    again = purpose == "EVAL" and making.chance(0.7)
    write = Write(model, spelled=random.randrange(2), again=again)
    _job(making, reads, [write], purpose=purpose)


def _finetune(making: Making) -> str | None:
    return making.random.choice(("FINETUNE", None))


def distil(making: Making) -> None:
    """A teacher's predictions become a table."""
    if making.models:
        teacher = Read(making.random.choice(sorted(making.models)), "named")
        _job(making, [teacher, a_read(making)], [_table(making)])


def empty(making: Making) -> None:
    """A table is dropped, truncated or renamed."""
    plain = sorted(table for table in making.tables if table not in making.partitioned)
    if plain:
        thing = making.random.choice(plain)
        change = making.random.choice(("DROP", "TRUNCATE", "RENAME", "RENAME"))
        write = Write(thing, change)
        if change == "RENAME":
            others = [t for t in TABLES if t != thing and t not in making.partitioned]
            write = Write(making.random.choice(others or [thing]), change, before=thing)
        _job(making, [], [write])


def stream(making: Making) -> None:
    """A job goes on while other things happen, and moves what it finds."""
    usable = [number for number, tool in enumerate(making.tools) if tool.style != END]
    if not usable:
        return
    reads = [a_read(making, bare=True)]
    write = _table(making, plain=True)
    if write.thing == reads[0].thing:
        return
    every = making.random.choice((50.0, 700.0))
    ticks = tuple(every * number for number in range(1, making.random.choice((3, 4))))
    loss = "end" if making.kind == LOSSY and making.chance(0.5) else None
    making.keys += 1
    making.tables.add(write.thing)
    making.steps.append(
        Job(
            at=making.now,
            tool=making.random.choice(usable),
            key=making.keys,
            reads=tuple(reads),
            writes=(write,),
            moments=(0.0, 0.0, ticks[-1] + 5.0),
            ticks=ticks,
            loss=loss,
        )
    )


def _job(
    making: Making, reads: list[Read], writes: list[Write], *, purpose: str | None = None
) -> None:
    random = making.random
    tool = random.randrange(len(making.tools))
    by_thing = {read.thing: read for read in reads}
    making.keys += 1
    making.tables |= {write.thing for write in writes if write.thing in TABLES}
    for write in writes:
        if write.before is not None:
            making.tables.discard(write.before)
    lasts = random.choice((0.5, 20.0, 1200.0)) if making.tools[tool].style != END else 0.5
    if making.kind == CLOSE:
        lasts = min(lasts, 20.0)
    first, second = sorted((random.uniform(0.05, 0.9), random.uniform(0.05, 0.9)))
    fate = "complete"
    if making.kind != PLAIN and making.chance(0.1):
        fate = "fail"
    elif making.chance(0.1) and reads:
        fate = "retry"
    loss = None
    if making.kind == LOSSY and making.chance(0.4):
        loss = random.choice(("start", "end", "whole", "whole", "whole"))
    beats = ()
    if making.tools[tool].style != END and making.chance(0.1):
        beats = (0.3 * lasts, 0.6 * lasts)
    making.steps.append(
        Job(
            at=making.now,
            tool=tool,
            key=making.keys,
            reads=tuple(by_thing.values()),
            writes=tuple(writes),
            moments=(first * lasts, (second + 0.01) * lasts, lasts),
            beats=beats,
            fate=fate,
            wrote=making.chance(0.5),
            loss=loss,
            purpose=purpose,
        )
    )
    overlaps = making.kind == CLOSE and making.chance(0.4)
    making.now += 0.0 if overlaps else lasts + 0.5
