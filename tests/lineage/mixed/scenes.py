"""Short scenes that are known to be hard: chance alone would seldom make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixed.making import ATTACKED, CLOSE, LOSSY, PLAIN
from mixed.names import MODELS, TABLES, is_model
from mixed.steps import BARE, COUNTING, END, RANDOM, Job, Read, Receive, Write

if TYPE_CHECKING:
    from collections.abc import Callable

    from mixed.making import Making

_LONG = 1200.0


def play_scene(making: Making) -> None:
    """Adds a scene that fits the kind of story, where a table is whole: no writer names a part."""
    if making.partitioned < set(TABLES):
        making.random.choice(_SCENES[making.kind])(making)


def _table(making: Making, *modes: str) -> str:
    """A table that nobody has used so far, where there is one, with versions of such a form."""
    whole = [table for table in TABLES if table not in making.partitioned]
    unused = [table for table in whole if table not in making.tables]
    if not unused:
        return making.random.choice([t for t in making.pool if t in whole] or whole)
    thing = making.random.choice(unused)
    making.modes[thing] = making.random.choice(modes or (BARE, COUNTING, RANDOM))
    making.tables.add(thing)
    return thing


def _fresh(making: Making, source: str | None = None) -> Read:
    """A batch that has just arrived."""
    making.pause()
    source = source or making.random.choice(("x", "y"))
    making.received.add(source)
    making.steps.append(Receive(making.now, source))
    making.now += 60.0
    return Read(f"batch:{source}", "named", 1.0)


def _job(
    making: Making,
    reads: list[Read],
    write: str | Write,
    *,
    at: float | None = None,
    lasts: float = 0.5,
    **how: object,
) -> Job:
    """Adds a job of some tool: it reads as it begins, and writes shortly before it ends."""
    tools = range(len(making.tools)) if lasts < 1 and not how.get("loss") else (0, 1)
    tool = how.pop("tool", making.random.choice(tools))
    making.keys += 1
    job = Job(
        at=making.now if at is None else at,
        tool=tool,  # type: ignore[arg-type]
        key=making.keys,
        reads=tuple(reads),
        writes=(Write(write) if isinstance(write, str) else write,),
        moments=(0.1 * lasts, 0.9 * lasts, lasts),
        **how,  # type: ignore[arg-type]
    )
    making.steps.append(job)
    if is_model(job.writes[0].thing):
        making.models.add(job.writes[0].thing)
    if at is None:
        making.now += lasts + 40.0
    return job


def _train(making: Making, table: str, how: str | None = None, **more: object) -> None:
    read = Read(table, how or making.random.choice(("bare", "named")), making.random.random())
    _job(making, [read], making.random.choice(MODELS), **more)  # type: ignore[arg-type]


def _missing(making: Making) -> None:
    """A version is lost between two that are told, or before one that a reader names."""
    table = _table(making, COUNTING, COUNTING, RANDOM)
    _job(making, [_fresh(making)], table)
    change = making.random.choice((None, None, "OVERWRITE"))
    _job(making, [_fresh(making)], Write(table, change), loss="whole")
    if making.modes[table] == RANDOM or making.chance(0.4):
        _train(making, table, "named")
    if making.chance(0.5):
        _train(making, table, "bare")
    if making.chance(0.8):
        _job(making, [_fresh(making)], table)
        _train(making, table)


def _first_missing(making: Making) -> None:
    """The first version that is told of is not the first."""
    table = _table(making, COUNTING)
    _job(making, [_fresh(making)], table, loss="whole")
    _job(making, [_fresh(making)], table)
    _train(making, table)


def _close(making: Making) -> None:
    """A table is read within seconds of being written, by a tool with another clock."""
    table = _table(making, BARE, RANDOM, COUNTING)
    writer, reader = making.random.sample(range(len(making.tools)), 2)
    first, second = _fresh(making, "x"), _fresh(making, "y")
    _job(making, [first], table)
    change = making.random.choice((None, "OVERWRITE", "OVERWRITE"))
    begin = making.now
    _job(making, [second], Write(table, change), tool=writer)
    apart = making.random.choice((-8.0, -4.0, -1.0, 1.0, 4.0, 8.0))
    _train(making, table, "bare", at=begin + apart, tool=reader)


def _long(making: Making) -> None:
    """A table is replaced while a long training reads it; its START may be lost."""
    table = _table(making, BARE, COUNTING)
    first, second = _fresh(making, "x"), _fresh(making, "y")
    _job(making, [first], table, tool=0)
    begin = making.now
    lost = "start" if making.kind == LOSSY else None
    tool = 0 if lost else making.random.choice((0, 1))
    _train(making, table, "bare", at=begin, lasts=_LONG, tool=tool, loss=lost)
    making.now = begin + 0.5 * _LONG
    _job(making, [second], Write(table, making.random.choice((None, "OVERWRITE"))))
    making.now = begin + _LONG + 100.0


def _failed(making: Making) -> None:
    """A run fails after it may have written."""
    table = _table(making)
    _job(making, [_fresh(making)], table)
    change = making.random.choice((None, None, "OVERWRITE"))
    wrote = making.chance(0.5)
    _job(making, [_fresh(making)], Write(table, change), fate="fail", wrote=wrote)
    _train(making, table, "bare")


def _open(making: Making) -> None:
    """A run's end is lost: what it wrote is named at its start, or not at all."""
    table = _table(making)
    if making.chance(0.7):
        _job(making, [_fresh(making)], table)
    _job(making, [_fresh(making)], table, loss="end")
    _train(making, table)
    if making.chance(0.4):
        _job(making, [_fresh(making)], table)
        _train(making, table)


def _late_write(making: Making) -> None:
    """A run whose end is lost writes long after its last event, when all seems replaced."""
    table = _table(making, BARE, COUNTING)
    first, second = _fresh(making, "x"), _fresh(making, "y")
    begin = making.now
    _job(making, [first], table, at=begin, lasts=_LONG, tool=0, loss="end")
    making.now = begin + 0.5 * _LONG
    _job(making, [second], Write(table, "OVERWRITE"))
    making.now = begin + _LONG + 100.0
    _train(making, table, "bare")


def _no_inputs(making: Making) -> None:
    """The only event that names what a run read is lost."""
    table = _table(making)
    _job(making, [_fresh(making)], table, tool=1)
    change = making.random.choice((None, "OVERWRITE"))
    _job(making, [_fresh(making)], Write(table, change), tool=1, loss="start")
    _train(making, table)


def _created(making: Making) -> None:
    """A table is created that was there: it may be replaced, or left as it is."""
    table = _table(making)
    _job(making, [_fresh(making)], table)
    _job(making, [_fresh(making)], Write(table, "CREATE", replaces=making.chance(0.5)))
    _train(making, table)


def _one_clock(making: Making) -> None:
    """A tool does one thing right after another, and its clock says in which order."""
    table = _table(making)
    tool = making.random.choice((0, 1))
    first, second = _fresh(making, "x"), _fresh(making, "y")
    _job(making, [first], table, tool=tool)
    begin = making.now
    _job(making, [second], Write(table, "OVERWRITE"), at=begin, tool=tool)
    _train(making, table, "bare", at=begin + making.random.choice((-3.0, 3.0)), tool=tool)
    making.now = begin + 60.0


def _members(making: Making) -> None:
    """A snapshot says that its members are complete."""
    table = _table(making, COUNTING)
    _job(making, [_fresh(making)], table)
    _job(making, [_fresh(making)], Write(table, "MEMBERS"))
    _train(making, table)


def _renamed(making: Making) -> None:
    """A table gets another name, and the old name another table."""
    old, new = _table(making), _table(making)
    _job(making, [_fresh(making)], old)
    _job(making, [], Write(new, "RENAME", before=old))
    _job(making, [_fresh(making)], making.random.choice((old, new)))
    _train(making, old, "bare")
    _train(making, new, "bare")


def _again(making: Making) -> None:
    """A table is dropped or truncated, and filled again."""
    table = _table(making)
    _job(making, [_fresh(making)], table)
    _job(making, [], Write(table, making.random.choice(("DROP", "TRUNCATE"))))
    change = making.random.choice((None, "CREATE"))
    _job(making, [_fresh(making)], Write(table, change))
    _train(making, table)


def _stream(making: Making) -> None:
    """A stream moves on what reaches its input, and is read before and after."""
    source, target = _table(making, BARE, COUNTING), _table(making, BARE)
    first, second = _fresh(making, "x"), _fresh(making, "y")
    _job(making, [first], source)
    begin = making.now
    ticks = (300.0, 600.0, 900.0)
    loss = "end" if making.kind == LOSSY else None
    making.keys += 1
    moves = Job(
        at=begin,
        tool=making.random.choice((0, 1)),
        key=making.keys,
        reads=(Read(source, "bare"),),
        writes=(Write(target),),
        moments=(0.0, 0.0, 1000.0),
        ticks=ticks,
        loss=loss,
    )
    making.steps.append(moves)
    if making.kind != PLAIN:
        making.now = begin + making.random.choice((150.0, 450.0, 750.0))
        _job(making, [second], source, tool=2 if making.tools[2].style == END else 0)
        _train(making, target, "bare")
    making.now = begin + 1100.0
    _train(making, target, "bare")


_SCENES: dict[str, tuple[Callable[[Making], None], ...]] = {
    PLAIN: (_members, _renamed, _again, _stream, _one_clock),
    CLOSE: (_close, _close, _one_clock, _long, _failed, _created, _stream),
    LOSSY: (_missing, _missing, _first_missing, _open, _late_write, _no_inputs, _long, _stream),
    ATTACKED: (_members, _renamed, _again, _one_clock, _stream, _long),
}
