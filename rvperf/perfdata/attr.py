"""perf_event_attr: what an event counts and what its samples hold (uapi/linux/perf_event.h).

The structure has grown over the years and says its own size; what a shorter one lacks is zero.
"""

import struct

FIELDS = (
    ("type", "I"),
    ("size", "I"),
    ("config", "Q"),
    ("sample_period", "Q"),  # with flag freq: samples a second
    ("sample_type", "Q"),
    ("read_format", "Q"),
    ("flags", "Q"),
    ("wakeup_events", "I"),
    ("bp_type", "I"),
    ("config1", "Q"),  # or bp_addr
    ("config2", "Q"),  # or bp_len
    ("branch_sample_type", "Q"),
    ("sample_regs_user", "Q"),
    ("sample_stack_user", "I"),
    ("clockid", "i"),
    ("sample_regs_intr", "Q"),
    ("aux_watermark", "I"),
    ("sample_max_stack", "H"),
    ("reserved_2", "H"),
    ("aux_sample_size", "I"),
    ("reserved_3", "I"),
    ("sig_data", "Q"),
)
LAYOUT = struct.Struct("<" + "".join(code for _, code in FIELDS))
SIZE = LAYOUT.size
"""Bytes of the attribute that is written here: version 7, 128."""
SMALLEST = 64
LARGEST = 4096

TYPES = ("HARDWARE", "SOFTWARE", "TRACEPOINT", "HW_CACHE", "RAW", "BREAKPOINT")
"""PERF_TYPE_*, by number."""

FLAGS = (
    "disabled", "inherit", "pinned", "exclusive", "exclude_user", "exclude_kernel", "exclude_hv",
    "exclude_idle", "mmap", "comm", "freq", "inherit_stat", "enable_on_exec", "task", "watermark",
    "precise_ip", "", "mmap_data", "sample_id_all", "exclude_host", "exclude_guest",
    "exclude_callchain_kernel", "exclude_callchain_user", "mmap2", "comm_exec", "use_clockid",
    "context_switch", "write_backward", "namespaces", "ksymbol", "bpf_event", "aux_output",
    "cgroup", "text_poke", "build_id", "inherit_thread", "remove_on_exec", "sigtrap",
)  # fmt: skip
"""The bits of `flags` from bit 0 on; precise_ip has two."""

SAMPLE_TYPE = (
    "IP", "TID", "TIME", "ADDR", "READ", "CALLCHAIN", "ID", "CPU", "PERIOD", "STREAM_ID", "RAW",
    "BRANCH_STACK", "REGS_USER", "STACK_USER", "WEIGHT", "DATA_SRC", "IDENTIFIER", "TRANSACTION",
    "REGS_INTR", "PHYS_ADDR", "AUX", "CGROUP", "DATA_PAGE_SIZE", "CODE_PAGE_SIZE", "WEIGHT_STRUCT",
)  # fmt: skip
READ_FORMAT = ("TOTAL_TIME_ENABLED", "TOTAL_TIME_RUNNING", "ID", "GROUP", "LOST")
BRANCH_SAMPLE_TYPE = (
    "USER", "KERNEL", "HV", "ANY", "ANY_CALL", "ANY_RETURN", "IND_CALL", "ABORT_TX", "IN_TX",
    "NO_TX", "COND", "CALL_STACK", "IND_JUMP", "CALL", "NO_FLAGS", "NO_CYCLES", "TYPE_SAVE",
    "HW_INDEX", "PRIV_SAVE",
)  # fmt: skip


def bits(names: tuple[str, ...], wanted: str) -> int:
    """The mask of some names of a tuple above, separated by `|`: bits(SAMPLE_TYPE, "IP|TID")."""
    return sum(1 << names.index(name) for name in wanted.split("|") if name)


class Bits:
    """The bits of a 64-bit word as constants: SAMPLE.IP, READ.GROUP, BRANCH.ANY."""

    def __init__(self, names: tuple[str, ...]):
        for number, name in enumerate(names):
            setattr(self, name, 1 << number)


SAMPLE = Bits(SAMPLE_TYPE)
READ = Bits(READ_FORMAT)
BRANCH = Bits(BRANCH_SAMPLE_TYPE)


class Attr:
    """One perf_event_attr. Fields and flags are attributes by the names above, all may be changed.

    Attr(type=0, config=1, sample_period=1000, sample_type=SAMPLE.IP | SAMPLE.TID, mmap=1)
    """

    __slots__ = tuple(name for name, _ in FIELDS)

    def __init__(self, **values):
        for name in Attr.__slots__:
            setattr(self, name, 0)
        self.size = SIZE
        for name, value in values.items():
            setattr(self, name, value)

    def encode(self) -> bytes:
        """SIZE bytes. `size` is written as SIZE."""
        values = [getattr(self, name) for name in Attr.__slots__]
        values[1] = SIZE
        return LAYOUT.pack(*values)

    @classmethod
    def decode(cls, data: bytes) -> "Attr":
        """From bytes of any version; fields that are not there are zero, newer ones unseen."""
        attr = cls()
        padded = bytes(data[:SIZE]).ljust(SIZE, b"\0")
        for name, value in zip(Attr.__slots__, LAYOUT.unpack(padded), strict=True):
            setattr(attr, name, value)
        return attr

    def __eq__(self, other):
        return type(other) is Attr and all(
            getattr(self, name) == getattr(other, name) for name in Attr.__slots__
        )

    __hash__ = None

    def __repr__(self):
        names = [name for name in Attr.__slots__ if name != "flags" and getattr(self, name)]
        names += [name for name in FLAGS if name and getattr(self, name)]
        return f"Attr({', '.join(f'{name}={getattr(self, name)}' for name in names)})"


def _flag(position: int, mask: int):
    def get(attr):
        return attr.flags >> position & mask

    def put(attr, value):
        attr.flags = attr.flags & ~(mask << position) | (int(value) & mask) << position

    return property(get, put)


for _position, _name in enumerate(FLAGS):
    if _name:
        setattr(Attr, _name, _flag(_position, 3 if _name == "precise_ip" else 1))
