"""The formats that a profile can be exported in, by name, and the one call that does it."""

import os
import tempfile
from collections.abc import Sequence

from isa.record import Record
from rvperf.perfdata.reader import Event
from rvperf.profile.samples import Profile
from rvperf.render.stacks import Stacks, choose


class Format(Record):
    """A format. `several` says whether a file of it takes all events; else it takes one."""

    name: str
    help: str
    several: bool
    ending: str
    """What files of it are called after the dot."""


FORMATS = {
    one.name: one
    for one in (
        Format("folded", "collapsed stacks, as flame graph tools take them", False, "folded"),
        Format("speedscope", "https://www.speedscope.app", True, "speedscope.json"),
        Format("firefox", "https://profiler.firefox.com", False, "firefox.json"),
        Format("pprof", "https://github.com/google/pprof", False, "pb.gz"),
        Format("chrome", "Chrome's trace, for DevTools and Perfetto", False, "trace.json"),
        Format("flamegraph", "a flame graph, self-contained SVG", False, "svg"),
        Format("html", "a report, self-contained HTML", True, "html"),
    )
}


def exported(
    profile: Profile,
    format: str,
    event: str | int | None = None,
    annotate=None,
    chosen=None,
) -> bytes:
    """A profile in one of FORMATS.

    `event` is the name or the number of an event; without one it is all of them if the format takes
    several, else the first that was sampled. `chosen` is a mask over the samples; without one it is
    all. `annotate` replaces what finds the code for html, see `rvperf.render.page`. Raises
    rvperf.render.stacks.NoSuchEvent.
    """
    events: Sequence[Event] = [choose(profile, event)]
    if FORMATS[format].several and event is None:
        sampled = [one for one in profile.events if (profile.event == one.index).any()]
        events = sampled or events
    stacks = [Stacks(profile, one, chosen) for one in events]
    written = write(profile, format, stacks, annotate)
    return written if isinstance(written, bytes) else written.encode()


def write(profile: Profile, format: str, stacks: list[Stacks], annotate) -> str | bytes:
    """Only the module of the format is imported."""
    if format == "folded":
        from rvperf.render.folded import folded

        return folded(stacks[0])
    if format == "speedscope":
        from rvperf.render.speedscope import speedscope

        return speedscope(stacks, command_line(profile))
    if format == "firefox":
        from rvperf.render.firefox import firefox

        return firefox(stacks[0])
    if format == "pprof":
        from rvperf.render.pprof import pprof

        return pprof(stacks[0])
    if format == "chrome":
        from rvperf.render.chrome import chrome

        return chrome(stacks[0])
    if format == "flamegraph":
        from rvperf.render.flame import flamegraph

        return flamegraph(stacks[0], command_line(profile))
    if format == "html":
        from rvperf.render.listings import listings
        from rvperf.render.page import page

        return page(stacks, facts(profile), annotate or listings)
    raise ValueError(f"{format!r} is none of {', '.join(FORMATS)}")


def export(
    profile: Profile,
    event: str | int | None,
    format: str,
    path: str,
    annotate=None,
    chosen=None,
) -> None:
    """Write a profile in a format to a file; "-" is the standard output.

    The file appears when it is whole. Raises NoSuchEvent, and OSError for the file.
    """
    data = exported(profile, format, event, annotate, chosen)
    if path == "-":
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
        return
    if os.path.exists(path) and not os.path.isfile(path):  # a device, a pipe
        with open(path, "wb") as file:
            file.write(data)
        return
    path = os.path.realpath(path)
    number, partial = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".rvperf-")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(partial, 0o666 & ~mask)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def command_line(profile: Profile) -> str:
    """What was recorded, as it was asked for; the file's name if it doesn't say."""
    words = profile.reader.features.get("CMDLINE")
    return " ".join(words) if words else os.path.basename(profile.reader.path)


def facts(profile: Profile) -> list[tuple[str, str]]:
    """What the file says of itself, by names: the command line first, then the machine."""
    features = profile.reader.features
    found = [("command", command_line(profile))]
    cpus = features.get("NRCPUS")
    machine = [features.get("CPUDESC"), features.get("ARCH"), features.get("CPUID")]
    count = f"{cpus.online} CPU{'s' * (cpus.online != 1)}" if cpus else ""
    found.append(("machine", ", ".join(text for text in (*machine, count) if text)))
    found.append(("host", features.get("HOSTNAME") or ""))
    found.append(("kernel", features.get("OSRELEASE") or ""))
    if len(profile):
        span = int(profile.time.max()) - int(profile.time.min())
        if span:
            found.append(("sampled for", f"{span / 1e9:.6f} s"))
    found.append(("samples", f"{len(profile):,}"))
    found.append(("threads", str(len(set(profile.thread.tolist())))))
    found.append(("recorded by", features.get("VERSION") or ""))
    return [(name, value) for name, value in found if value and value != "(none)"]
