"""The fields that `rvperf script` prints for each type of event: perf's defaults, and -F.

The rules are those of tools/perf/builtin-script.c.
"""

from rvperf.perfdata.attr import BRANCH, SAMPLE, Attr
from rvperf.perfdata.reader import Event, Reader

FIELDS = (
    "comm", "tid", "pid", "time", "cpu", "event", "trace", "ip", "sym", "dso", "addr", "symoff",
    "srcline", "period", "iregs", "uregs", "brstack", "brstacksym", "data_src", "weight",
    "bpf-output", "callindent", "insn", "insnlen", "brstackinsn", "brstackoff", "synth",
    "phys_addr", "metric", "misc", "srccode", "ipc", "tod", "data_page_size", "code_page_size",
    "ins_lat", "brstackinsnlen", "machine_pid", "vcpu",
)  # fmt: skip
TYPES = ("hw", "sw", "trace", "cache", "raw", "break", "synth", "other")
"""Types of events, by number; the last two are perf's own and those of other PMUs."""
NAMED = {"hw": 0, "sw": 1, "trace": 2, "raw": 4, "break": 5, "synth": 6}
"""What -F calls them."""
SYNTH, OTHER = 6, 7
WORDS = ("hardware", "software", "tracepoint", "hardware-cache")

USUAL = {"comm", "tid", "cpu", "time", "event", "ip", "sym", "symoff", "dso", "period"}
DEFAULTS = (
    USUAL,
    USUAL | {"bpf-output"},
    {"comm", "tid", "cpu", "time", "event", "trace"},
    USUAL,
    USUAL
    | {"addr", "data_src", "weight", "phys_addr", "data_page_size", "code_page_size", "ins_lat"},
    USUAL,
    USUAL - {"period"} | {"synth"},
    USUAL,
)
INVALID = (
    {"trace", "bpf-output"}, {"trace"}, set(), {"trace", "bpf-output"}, {"trace", "bpf-output"},
    {"trace", "bpf-output"}, {"trace", "bpf-output"}, {"trace", "bpf-output"},
)  # fmt: skip


class FieldError(Exception):
    """Fields that can't be had. The message is perf's."""


def type_of(attr: Attr) -> int:
    """The type of an event, as an index of TYPES."""
    return attr.type if attr.type < SYNTH else OTHER


def type_word(number: int) -> str:
    return WORDS[number] if number < len(WORDS) else "unknown"


class Output:
    """What is printed for a type of events."""

    def __init__(self, number: int):
        self.number = number
        self.fields = set(DEFAULTS[number])
        self.set_by_user = self.wildcard = False
        self.asked: set[str] = set()
        """Fields that -F names."""
        self.unasked: set[str] = set()


class Fields:
    """The outputs of all types. `choose` follows one -F; `check` fits them to a file's events."""

    def __init__(self):
        self.outputs = [Output(number) for number in range(len(TYPES))]
        self.flags = False
        self.warnings: list[str] = []

    def __getitem__(self, attr: Attr) -> set[str]:
        return self.outputs[type_of(attr)].fields

    @property
    def set_by_user(self) -> bool:
        return any(output.set_by_user for output in self.outputs)

    # --- -F

    def choose(self, text: str) -> None:
        """Follow a -F. Raises FieldError."""
        kind, colon, listed = text.partition(":")
        only = None
        if colon:
            if kind not in NAMED:
                raise FieldError("Invalid event type in field string.")
            only = self.outputs[NAMED[kind]]
            if only.set_by_user:
                self.warnings.append(
                    f"Overriding previous field request for {type_word(only.number)} events."
                )
        else:
            listed = text
            if not text:
                raise FieldError("Cannot set fields to 'none' for all event types.")
        if "+" not in listed and "-" not in listed:
            if only is None and self.set_by_user:
                self.warnings.append("Overriding previous field request for all events.")
            for output in self.outputs if only is None else (only,):
                output.fields = set()
                output.set_by_user, output.wildcard = True, only is None
        change = ""
        for word in filter(None, listed.split(",")):
            sign = word[0] if word[0] in "+-" else "="
            if change and (change == "=") != (sign == "="):
                raise FieldError("Cannot mix +-field with overridden fields")
            change = sign
            field = word.removeprefix(sign)
            if field == "flags":
                self.flags = sign != "-"
                continue
            if field not in FIELDS:
                raise FieldError("Invalid field requested.")
            if only is not None:
                self._change_one(only, field, sign)
            else:
                self._change_all(field, sign)

    def _change_one(self, output: Output, field: str, sign: str) -> None:
        if field in INVALID[output.number]:
            raise FieldError(f"'{field}' not valid for {type_word(output.number)} events.")
        (output.fields.discard if sign == "-" else output.fields.add)(field)
        output.set_by_user = output.wildcard = True

    def _change_all(self, field: str, sign: str) -> None:
        for output in self.outputs:
            if field in INVALID[output.number]:
                self.warnings.append(
                    f"'{field}' not valid for {type_word(output.number)} events. Ignoring."
                )
                continue
            if sign == "-":
                output.fields.discard(field)
                output.asked.discard(field)
                output.unasked.add(field)
            else:
                output.fields.add(field)
                output.asked.add(field)
                output.unasked.discard(field)
            output.set_by_user = output.wildcard = True

    # --- what a file has

    def check(self, reader: Reader, callchains: bool) -> bool:
        """Drop fields that the file's events lack. Raises FieldError for those that -F names.

        Gives whether callchains are shown.
        """
        if reader.is_pipe:
            self._check_pipe(reader, callchains)
            return callchains
        events = [event for event in reader.events if not is_dummy(event)]
        for output in self.outputs:
            first = next((e for e in events if type_of(e.attr) == output.number), None)
            if first is None:
                if output.set_by_user and not output.wildcard and output.number != SYNTH:
                    raise FieldError(
                        f"{type_word(output.number)} events do not exist. "
                        "Remove corresponding -F option to proceed."
                    )
            elif output.fields:
                self._check_event(output, first, reader)
        dated = any("tod" in self[event.attr] for event in events)
        if dated and "CLOCK_DATA" not in reader.features:
            raise FieldError(
                "Can't provide 'tod' time, missing clock data. "
                "Please record with -k/--clockid option."
            )
        chained = any(event.attr.sample_type & SAMPLE.CALLCHAIN for event in reader.events)
        callchains = callchains and chained
        traced = self.outputs[2]
        if callchains and not traced.set_by_user:
            if any(e.attr.type == 2 and e.attr.sample_type & SAMPLE.CALLCHAIN for e in events):
                traced.fields |= {"ip", "sym", "symoff", "dso"}
        return callchains

    def _check_pipe(self, reader: Reader, callchains: bool) -> None:
        """In a pipe events come one by one; perf looks at the first of each type when it does."""
        together = 0
        seen = set()
        for event in reader.events:
            kind = type_of(event.attr)
            together |= event.attr.sample_type
            if event.attr.type > SYNTH or kind in seen:
                continue
            seen.add(kind)
            output = self.outputs[kind]
            if event.attr.sample_type:
                self._check_event(output, event, reader)
            dwarf = SAMPLE.REGS_USER | SAMPLE.STACK_USER
            chained = together & (SAMPLE.CALLCHAIN | SAMPLE.BRANCH_STACK)
            if callchains and (chained or together & dwarf == dwarf):
                output.fields |= {"ip", "sym"} - output.unasked

    def _check_event(self, output: Output, event: Event, reader: Reader) -> None:
        if is_dummy(event):
            return
        kind, fields = event.attr.sample_type, output.fields
        late = "AUXTRACE" in reader.features
        if "trace" in fields and not any(e.attr.type == 2 for e in reader.events):
            raise FieldError("No trace sample to read. Did you call 'perf record -R'?")
        for field, bits, word, lenient in NEEDS[:4]:
            self._need(output, event, field, bits, word, late and lenient)
        place = kind & (SAMPLE.IP | SAMPLE.ADDR)
        if "sym" in fields and not place:
            raise FieldError(
                "Display of symbols requested but neither sample IP nor sample address\n"
                "available. Hence, no addresses to convert to symbols."
            )
        if "symoff" in fields and "sym" not in fields:
            raise FieldError("Display of offsets requested but symbol is notselected.")
        if "dso" in fields and not place:
            raise FieldError("Display of DSO requested but no address to convert.")
        if fields & {"srcline", "srccode"} and "ip" not in fields:
            raise FieldError(
                "Display of source line number requested but sample IP is not\n"
                "selected. Hence, no address to lookup the source line number."
            )
        branches = 0
        for other in reader.events:
            branches |= other.attr.branch_sample_type
        if fields & {"brstackinsn", "brstackinsnlen"} and not late and not branches & BRANCH.ANY:
            raise FieldError(
                "Display of branch stack assembler requested, but non all-branch filter set\n"
                "Hint: run 'perf record -b ...'"
            )
        for field, bits, word, lenient in NEEDS[4:]:
            self._need(output, event, field, bits, word, late and lenient)

    def _need(self, output, event, field, bits, word, lenient) -> None:
        wanted = set(field.split("|"))
        if not output.fields & wanted or event.attr.sample_type & bits:
            return
        if output.asked & wanted:
            if lenient:
                return
            shown = field if "|" not in field else ""
            raise FieldError(
                f"Samples for '{event.name}' event do not have {word} attribute set. "
                f"Cannot print '{shown}' field."
            )
        output.fields -= wanted


NEEDS = (
    ("ip", SAMPLE.IP, "IP", False),
    ("addr", SAMPLE.ADDR, "ADDR", True),
    ("data_src", SAMPLE.DATA_SRC, "DATA_SRC", True),
    ("weight", SAMPLE.WEIGHT | SAMPLE.WEIGHT_STRUCT, "WEIGHT", True),
    ("pid|tid", SAMPLE.TID, "TID", False),
    ("time", SAMPLE.TIME, "TIME", False),
    ("cpu", SAMPLE.CPU, "CPU", True),
    ("iregs", SAMPLE.REGS_INTR, "IREGS", True),
    ("uregs", SAMPLE.REGS_USER, "UREGS", False),
    ("phys_addr", SAMPLE.PHYS_ADDR, "PHYS_ADDR", True),
    ("data_page_size", SAMPLE.DATA_PAGE_SIZE, "DATA_PAGE_SIZE", False),
    ("code_page_size", SAMPLE.CODE_PAGE_SIZE, "CODE_PAGE_SIZE", False),
    ("ins_lat", SAMPLE.WEIGHT_STRUCT, "WEIGHT_STRUCT", False),
)
"""What a field needs: bits of sample_type, perf's word for them, and whether it may be missing in
files whose samples are made later (from AUX data)."""


def is_dummy(event: Event) -> bool:
    return event.attr.type == 1 and event.attr.config == 9
