"""M-mode: its instructions and CSRs (privileged manual, chapter 3)."""

from isa.csr import bits
from isa.spec import Extension

EXTENSION = Extension("Machine", "Machine-level instructions and CSRs")
insn = EXTENSION.insn
csr = EXTENSION.csr


@insn("mret", "001100000010 00000 000 00000 1110011", "system", native=False)
def mret(m):
    """Return from a trap taken in M-mode: to mepc, in the mode and with the MIE of before."""
    m.mret()


@insn("wfi", "000100000101 00000 000 00000 1110011", "system", native=False)
def wfi(m):
    """Wait for interrupt. A hint: it may end early."""
    m.wfi()


def state_dirty(mstatus: int) -> int:
    """FS is Off or Dirty, never between, and SD says whether any unit's state is dirty."""
    if mstatus & 3 << 13:
        return mstatus | 3 << 13 | 1 << 63
    return mstatus & ~(1 << 63)


csr("mvendorid", 0xF11, "Vendor: 0, not a commercial implementation.")
csr("marchid", 0xF12, "Microarchitecture: 0, not told.")
csr("mimpid", 0xF13, "Version: 0, not told.")
csr("mhartid", 0xF14, "This hart's number.", fields={"id": bits(63, 0, value=0)})
csr("mconfigptr", 0xF15, "Address of a configuration structure: 0, there is none.")

csr(
    "mstatus",
    0x300,
    "Machine status: interrupt enables, previous modes, and how memory is accessed.",
    fields={
        "SIE": bits(1),
        "MIE": bits(3),
        "SPIE": bits(5),
        "MPIE": bits(7),
        "SPP": bits(8),
        "MPP": bits(12, 11, legal=(0, 1, 3)),
        "FS": bits(14, 13),
        "MPRV": bits(17),
        "SUM": bits(18),
        "MXR": bits(19),
        "TVM": bits(20),
        "TW": bits(21),
        "TSR": bits(22),
        "UXL": bits(33, 32, value=2),
        "SXL": bits(35, 34, value=2),
        "SD": bits(63),
    },
    derive=state_dirty,
)
csr(
    "misa",
    0x301,
    "The base width and single-letter extensions; none can be turned off.",
    fields={
        "MXL": bits(63, 62, value=2),
        **{letter: bits(ord(letter) - ord("A"), value=1) for letter in "ABCDFIMSU"},
    },
)
csr(
    "medeleg",
    0x302,
    "Which exceptions of U-mode and S-mode are taken in S-mode. Not calls from M-mode.",
    fields={"low": bits(9, 0), "pages": bits(13, 12), "store": bits(15)},
)
csr(
    "mideleg",
    0x303,
    "Which interrupts are taken in S-mode: only those of S-mode can be.",
    fields={"SSI": bits(1), "STI": bits(5), "SEI": bits(9)},
)
csr(
    "mie",
    0x304,
    "Which interrupts are enabled.",
    fields={
        "SSIE": bits(1),
        "MSIE": bits(3),
        "STIE": bits(5),
        "MTIE": bits(7),
        "SEIE": bits(9),
        "MEIE": bits(11),
    },
)
csr(
    "mtvec",
    0x305,
    "Where traps into M-mode go: the base, and in MODE 1 interrupts by their number.",
    fields={"BASE": bits(63, 2), "MODE": bits(1, 0, legal=(0, 1))},
)
csr("mcounteren", 0x306, "Which counters S-mode may read.", fields={"enable": bits(31, 0)})
csr(
    "menvcfg",
    0x30A,
    "What less privileged modes may do: cache-block operations, and the timer of Sstc.",
    fields={
        "FIOM": bits(0),
        "CBIE": bits(5, 4, legal=(0, 1, 3)),
        "CBCFE": bits(6),
        "CBZE": bits(7),
        "STCE": bits(63),
    },
)
csr(
    "mcountinhibit",
    0x320,
    "Which counters stand still. The time does not.",
    fields={"CY": bits(0), "IR": bits(2), "HPM": bits(31, 3)},
)
csr("mscratch", 0x340, "A word for the trap handler.", fields={"value": bits(63, 0)})
csr("mepc", 0x341, "Where the trap happened, and where mret returns.", fields={"pc": bits(63, 1)})
csr(
    "mcause",
    0x342,
    "What caused the trap.",
    fields={"interrupt": bits(63), "code": bits(62, 0)},
)
csr("mtval", 0x343, "The trap's address or instruction.", fields={"value": bits(63, 0)})
csr(
    "mip",
    0x344,
    "Which interrupts are pending. Those of M-mode belong to devices.",
    fields={
        "SSIP": bits(1),
        "MSIP": bits(3, writable=False),
        "STIP": bits(5),
        "MTIP": bits(7, writable=False),
        "SEIP": bits(9),
        "MEIP": bits(11, writable=False),
    },
)
# Of PMP entries a hart has 16 here, or none (3.7); all CSRs exist. `isa.pmp` says what they keep
# and show beside this.
csr(
    "pmpcfg{0..2..2}",
    0x3A0,
    "Physical memory protection: what eight entries permit, and how their addresses are meant.",
    fields={"entries": bits(63, 0)},
)
csr("pmpcfg{4..14..2}", 0x3A4, "Physical memory protection: of entries that aren't there.")
csr(
    "pmpaddr{0..15}",
    0x3B0,
    "Physical memory protection: bits 55 to 2 of an entry's address.",
    fields={"address": bits(53, 0)},
)
csr("pmpaddr{16..63}", 0x3C0, "Physical memory protection: of an entry that isn't there.")
# This hart has no triggers, so that tselect can't be told to select one (debug specification 5.7).
csr("tselect", 0x7A0, "Which trigger tdata1 and the others are about: there is none.")
csr("tdata{1..3}", 0x7A1, "A trigger's type and conditions: of a trigger that isn't there.")
csr(
    "tinfo",
    0x7A4,
    "Which types of trigger there may be here: none.",
    fields={"info": bits(0, value=1)},
)
csr("mcycle", 0xB00, "Cycles executed.", fields={"count": bits(63, 0)})
csr("minstret", 0xB02, "Instructions retired.", fields={"count": bits(63, 0)})
