"""The file that `kvm run --migrate` takes: what happens to vCPUs and harts, a line for each."""

from rvperf.cli.virtual_options import Mistake

EXPECTED = (
    "a time and what happens then: `3ms vm0/1 1' (to hart 1), `3ms vm0 snapshot', restore, reset, "
    "destroy, `counters 8', `3ms hart1 offline' or online"
)
CHANGES = ("snapshot", "restore", "reset", "destroy")
FOR_EVER = 1 << 63


class Unclear(Exception):
    """A line that says nothing we know."""


def numbers(name: str) -> tuple[int, int | None]:
    """(VM, vCPU or None for all) of vm0 or vm0/1. Unclear."""
    vm, slash, vcpu = name.removeprefix("vm").partition("/")
    if not vm.isdecimal() or slash and not vcpu.isdecimal():
        raise Unclear
    return int(vm), int(vcpu) if slash else None


def script(path: str | None, time_of, migrate_every: int):
    """What the file at `path` says; `time_of` reads a time. Raises Usage."""
    from rvperf.session.script import Change, Migration, Offline, Script

    found: list = []
    for at, line in lines(path) if path else ():
        try:
            time, whose, *what = line.partition("#")[0].replace(",", " ").split()
            found.append(happening(time_of(time), whose, what))
        except (ValueError, Unclear, Mistake):
            text = f" Error: {path}:{at}: expected {EXPECTED}; not `{line.strip()}'\n"
            raise Mistake(text) from None
    kinds = {kind: tuple(one for one in found if isinstance(one, kind))
             for kind in (Migration, Change)}  # fmt: skip
    return Script(
        migrations=tuple(sorted(kinds[Migration], key=lambda one: one.time)),
        changes=tuple(sorted(kinds[Change], key=lambda one: one.time)),
        offline=tuple(
            Offline(start, end, hart) for start, end, hart in away([*filter(is_of_hart, found)])
        ),
        migrate_every=migrate_every,
    )


def lines(path: str):
    """The lines that say something, with their numbers. Raises Usage."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = file.read().splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise Mistake(f" Error: {path}: {why}\n") from None
    return [(at, line) for at, line in enumerate(found, 1) if line.partition("#")[0].strip()]


def happening(time: int, whose: str, what: list[str]):
    """What one line says. ValueError, Unclear."""
    from rvperf.session.script import Change, Migration

    if whose.startswith("hart"):
        (to,) = what
        if to not in ("offline", "online"):
            raise Unclear
        return time, whole(whose.removeprefix("hart")), to == "offline"
    vm, vcpu = numbers(whose)
    if len(what) == 2 and what[0] == "counters":
        return Change(time, what[0], vm, vcpu, whole(what[1], 1))
    (word,) = what
    if word in CHANGES:
        return Change(time, word, vm, vcpu)
    return Migration(time, vm, vcpu or 0, whole(word))


def whole(text: str, least: int = 0) -> int:
    """A number. Unclear."""
    if not text.isdecimal() or int(text) < least:
        raise Unclear
    return int(text)


def is_of_hart(one) -> bool:
    return isinstance(one, tuple)


def away(found: list[tuple[int, int, bool]]) -> list[tuple[int, int, int]]:
    """From when to when which hart is offline, by when it goes and comes."""
    times, gone = [], {}
    for time, hart, offline in sorted(found):
        if offline:
            gone.setdefault(hart, time)
        elif hart in gone:
            times.append((gone.pop(hart), time, hart))
    return sorted([*times, *((time, FOR_EVER, hart) for hart, time in gone.items())])
