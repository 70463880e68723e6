"""`rvperf buildid-list`: the build-ids in a perf.data, or of an ELF file."""

from rvperf.cli.options import Option, Usage, parse, usage
from rvperf.cli.streams import say, tell

SYNOPSIS = "rvperf buildid-list [<options>]"
OPTIONS = (
    Option("H", "with-hits", "Show only DSOs with hits"),
    Option("i", "input", "input file name", "text", "file", default="perf.data"),
    Option("f", "force", "don't complain, do it"),
    Option("k", "kernel", "", "missing"),
    Option("m", "kernel-maps", "", "missing"),
    Option("v", "verbose", "be more verbose", "count"),
)


def run(words: list[str], guest: bool = False, host: bool = True) -> int:
    """`buildid-list`; for `kvm`, of the guest, the host or both."""
    from rvperf.perfdata import buildid
    from rvperf.perfdata.reader import PerfDataError, Reader
    from rvperf.profile.samples import Profile
    from rvperf.render import header

    try:
        options, _ = parse(OPTIONS, words)
    except Usage as mistake:
        tell(mistake.message + usage(SYNOPSIS, OPTIONS, mistake.about))
        return mistake.status
    of_file = buildid.of_elf(options["input"])
    if of_file:
        say(f"{of_file.hex()}\n")
        return 0
    try:
        reader = Reader(options["input"])
    except PerfDataError as error:
        tell(f"{error.message}\n")
        return error.status
    for warning in reader.warnings:
        tell(f"{warning}\n")
    if "AUXTRACE" not in reader.features and (
        options["with_hits"] or "BUILD_ID" not in reader.features
    ):
        hits = Profile(reader).hit_dsos() if host else []
        hits += Profile(reader, guest=True, host=False).hit_dsos() if guest else []
        say(header.build_ids(hits))
    else:
        say(header.build_ids(Profile(reader).known_dsos()))
    return 0


def manual() -> str:
    page = "rvperf-buildid-list - List the buildids in a perf.data file\n\n"
    return page + usage(SYNOPSIS, OPTIONS)
