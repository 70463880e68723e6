"""`stat -I`: its rows, printed as they come."""

from isa.record import replace
from rvperf.cli import stat
from rvperf.cli.options import Usage
from rvperf.cli.streams import tell
from rvperf.render import stat as render
from rvperf.results import Exit, Interval, StatResult

TO_A_FILE = "--interval-clear does not work with output\n\n"
HEADING_EVERY = 25  # rows of perf's, each of all events


def check_output(options, output) -> None:
    """Raises Usage if a screen is to be cleared that isn't there."""
    if options["interval_clear"] and not output.stream.isatty():
        raise Usage(TO_A_FILE, ("output", "log-fd", "interval-clear"), stat.FAILED_STATUS)


def every(options, told):
    """How often the session is asked to tell."""
    from rvperf.session import Every

    return Every(options["interval_print"] * 1_000_000, options["interval_count"] or 0, told)


class Rows:
    """Prints what the session tells of `events`, counted or not, to a `stat.Output`."""

    def __init__(self, options, events, output):
        self.options, self.events, self.output = options, events, output
        self.printed = 0
        self.arrived = True
        """Whether all that was printed could be written."""

    def print(self, interval: Interval) -> None:
        """One more interval."""
        options = self.options
        counted = iter(interval.counts)
        counts = tuple(stat.shown(options, event, counted) for event in self.events)
        # As in perf, rates are those of a whole interval, however long it was.
        elapsed = options["interval_print"] * 1_000_000
        result = StatResult((), counts, elapsed, 0, 0, Exit(code=0))
        if options["verbose"]:
            tell(render.raw(result))
        if not options["quiet"]:
            self.arrived &= self.output.write(self._page(interval.time, result))
        self.printed += 1

    def _page(self, time: int, result: StatResult) -> str:
        options = self.options
        result = replace(result, runs=options["repeat"] or 1)
        before = ""
        if options["interval_clear"]:
            before = render.CLEAR + render.heading(result)
        if options["json_output"]:
            return before + render.interval_json(time, result)
        separator = stat.separator(options)
        if separator is not None:
            return before + render.interval_csv(time, result, separator)
        if not before and self.printed % HEADING_EVERY == 0:
            before = render.heading(result)
        group = stat.by_locale() if options["big_num"] else render.ungrouped
        colour = self.output.stream.isatty()
        return before + render.interval_text(time, result, group=group, colour=colour)
