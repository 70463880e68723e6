"""S-mode: its instructions and CSRs (privileged manual, chapter 10)."""

from isa.csr import View, bits
from isa.modes import S
from isa.spec import Extension

EXTENSION = Extension("S", "Supervisor-level instructions and CSRs")
insn = EXTENSION.insn
csr = EXTENSION.csr

SSTATUS = 0x80000003_000DE762  # SIE SPIE UBE SPP VS FS XS SUM MXR UXL SD
SUPERVISOR_INTERRUPTS = 1 << 1 | 1 << 5 | 1 << 9 | 1 << 13
WRITABLE_PENDING = 1 << 1 | 1 << 13


@insn("sret", "000100000010 00000 000 00000 1110011", "system", native=False)
def sret(m):
    """Return from a trap taken in S-mode: to sepc, in the mode and with the SIE of before."""
    m.sret()


@insn("sfence.vma", "0001001 rs2 rs1 000 00000 1110011", "system", native=False)
def sfence_vma(m, rs1, rs2, rs1_n, rs2_n):
    """Order page table stores before later translations; x0 stands for every address or ASID."""
    m.sfence_vma(rs1, rs2, rs1_n != 0, rs2_n != 0)


def _translation_trusted(mode, read):
    """mstatus.TVM keeps S-mode from changing how its memory is translated."""
    return mode != S or not read("mstatus") & 1 << 20


csr("sstatus", 0x100, "The part of mstatus that is S-mode's.", view=View("mstatus", SSTATUS))
csr(
    "sie",
    0x104,
    "Which of the interrupts delegated to S-mode are enabled.",
    view=View("mie", SUPERVISOR_INTERRUPTS, gate="mideleg"),
)
csr(
    "stvec",
    0x105,
    "Where traps into S-mode go: the base, and in MODE 1 interrupts by their number.",
    fields={"BASE": bits(63, 2), "MODE": bits(1, 0, legal=(0, 1))},
)
csr("scounteren", 0x106, "Which counters U-mode may read.", fields={"enable": bits(31, 0)})
csr(
    "senvcfg",
    0x10A,
    "What U-mode may do: cache-block operations.",
    fields={
        "FIOM": bits(0),
        "CBIE": bits(5, 4, legal=(0, 1, 3)),
        "CBCFE": bits(6),
        "CBZE": bits(7),
    },
)
csr("sscratch", 0x140, "A word for the trap handler.", fields={"value": bits(63, 0)})
csr("sepc", 0x141, "Where the trap happened, and where sret returns.", fields={"pc": bits(63, 1)})
csr(
    "scause",
    0x142,
    "What caused the trap.",
    fields={"interrupt": bits(63), "code": bits(62, 0)},
)
csr("stval", 0x143, "The trap's address or instruction.", fields={"value": bits(63, 0)})
csr(
    "sip",
    0x144,
    "Which of the interrupts delegated to S-mode are pending.",
    view=View("mip", SUPERVISOR_INTERRUPTS, writable=WRITABLE_PENDING, gate="mideleg"),
)
csr(
    "satp",
    0x180,
    "The page table's root, its ASID, and the scheme: none, or Sv39. Another: no effect at all.",
    fields={"MODE": bits(63, 60, legal=(0, 8)), "ASID": bits(59, 44), "PPN": bits(43, 0)},
    whole=True,
    visible=_translation_trusted,
)
