"""H: the hypervisor extension, its instructions and CSRs.

Privileged manual, version 20211203, chapter 8: the sections of it are named in this tree as 8.N.
"""

from isa.csr import View, bits
from isa.ext.machine import state_dirty
from isa.modes import VS, S, virtual
from isa.spec import Extension

EXTENSION = Extension("H", "Hypervisor extension")
insn = EXTENSION.insn
csr = EXTENSION.csr
extend = EXTENSION.extend

TVM, VTVM, FS = 1 << 20, 1 << 20, 3 << 13  # of mstatus, of hstatus, of a status
# Bits of mip and mie: VSSI, VSTI, VSEI, and SGEI.
VS_SOFTWARE, VS_TIMER, VS_EXTERNAL, GUEST_EXTERNAL = 1 << 2, 1 << 6, 1 << 10, 1 << 12
VS_OVERFLOW = 1 << 14  # with Xrvpt; as VSSI, its pending bit is software's to set
VS_INTERRUPTS = VS_SOFTWARE | VS_TIMER | VS_EXTERNAL | VS_OVERFLOW
GUEST_FILES = 1  # GEILEN: how many guest external interrupts there are


@insn("hlv.b", "0110000 00000 rs1 100 rd 1110011", "load", native=False)
def hlv_b(m, rs1):
    """Load a byte as the guest does, sign-extended."""
    return m.guest_load(rs1, 1).sext(8)


@insn("hlv.bu", "0110000 00001 rs1 100 rd 1110011", "load", native=False)
def hlv_bu(m, rs1):
    """Load a byte as the guest does."""
    return m.guest_load(rs1, 1)


@insn("hlv.h", "0110010 00000 rs1 100 rd 1110011", "load", native=False)
def hlv_h(m, rs1):
    """Load two bytes as the guest does, sign-extended."""
    return m.guest_load(rs1, 2).sext(16)


@insn("hlv.hu", "0110010 00001 rs1 100 rd 1110011", "load", native=False)
def hlv_hu(m, rs1):
    """Load two bytes as the guest does."""
    return m.guest_load(rs1, 2)


@insn("hlvx.hu", "0110010 00011 rs1 100 rd 1110011", "load", native=False)
def hlvx_hu(m, rs1):
    """Load two bytes that the guest may execute."""
    return m.guest_load(rs1, 2, execute=True)


@insn("hlv.w", "0110100 00000 rs1 100 rd 1110011", "load", native=False)
def hlv_w(m, rs1):
    """Load four bytes as the guest does, sign-extended."""
    return m.guest_load(rs1, 4).sext(32)


@insn("hlv.wu", "0110100 00001 rs1 100 rd 1110011", "load", native=False)
def hlv_wu(m, rs1):
    """Load four bytes as the guest does."""
    return m.guest_load(rs1, 4)


@insn("hlvx.wu", "0110100 00011 rs1 100 rd 1110011", "load", native=False)
def hlvx_wu(m, rs1):
    """Load four bytes that the guest may execute."""
    return m.guest_load(rs1, 4, execute=True)


@insn("hlv.d", "0110110 00000 rs1 100 rd 1110011", "load", native=False)
def hlv_d(m, rs1):
    """Load eight bytes as the guest does."""
    return m.guest_load(rs1, 8)


@insn("hsv.b", "0110001 rs2 rs1 100 00000 1110011", "store", native=False)
def hsv_b(m, rs1, rs2):
    """Store a byte as the guest does."""
    m.guest_store(rs1, 1, rs2)


@insn("hsv.h", "0110011 rs2 rs1 100 00000 1110011", "store", native=False)
def hsv_h(m, rs1, rs2):
    """Store two bytes as the guest does."""
    m.guest_store(rs1, 2, rs2)


@insn("hsv.w", "0110101 rs2 rs1 100 00000 1110011", "store", native=False)
def hsv_w(m, rs1, rs2):
    """Store four bytes as the guest does."""
    m.guest_store(rs1, 4, rs2)


@insn("hsv.d", "0110111 rs2 rs1 100 00000 1110011", "store", native=False)
def hsv_d(m, rs1, rs2):
    """Store eight bytes as the guest does."""
    m.guest_store(rs1, 8, rs2)


@insn("hfence.vvma", "0010001 rs2 rs1 000 00000 1110011", "system", native=False)
def hfence_vvma(m, rs1, rs2, rs1_n, rs2_n):
    """Order stores to the guest's page tables before later translations, as sfence.vma there."""
    m.hfence_vvma(rs1, rs2, rs1_n != 0, rs2_n != 0)


@insn("hfence.gvma", "0110001 rs2 rs1 000 00000 1110011", "system", native=False)
def hfence_gvma(m, rs1, rs2, rs1_n, rs2_n):
    """Order stores to tables of guest physical addresses before later translations."""
    m.hfence_gvma(rs1, rs2, rs1_n != 0, rs2_n != 0)


# What other CSRs get (8.4).

extend("misa", fields={"H": bits(7, value=1)})
extend("mstatus", fields={"GVA": bits(38), "MPV": bits(39)})
extend(
    "medeleg",
    fields={"VS call": bits(10), "guest pages and virtual instruction": bits(23, 20)},
)
extend(
    "mideleg",
    fields={name: bits(n, value=1) for name, n in
            {"VSSI": 2, "VSTI": 6, "VSEI": 10, "SGEI": 12}.items()},
)  # fmt: skip
extend("mie", fields={"VSSIE": bits(2), "VSTIE": bits(6), "VSEIE": bits(10), "SGEIE": bits(12)})
extend(
    "mip",
    fields={
        "VSSIP": bits(2),
        "VSTIP": bits(6, writable=False),
        "VSEIP": bits(10, writable=False),
        "SGEIP": bits(12, writable=False),
    },
)
extend("satp", visible=lambda mode, read: mode != VS or not read("hstatus") & VTVM)
for _name in ("fflags", "frm", "fcsr"):
    # Both must be on; vsstatus.FS raises an illegal instruction too (8.2.11).
    extend(_name, off=lambda mode, read: virtual(mode) and not read("vsstatus") & FS)

csr("mtinst", 0x34A, "The trap's instruction, transformed.", fields={"value": bits(63, 0)})
csr(
    "mtval2",
    0x34B,
    "The trap's guest physical address, shifted right by 2.",
    fields={"value": bits(63, 0)},
)

# HS-mode's (8.2).

csr(
    "hstatus",
    0x600,
    "Hypervisor status: where traps into HS-mode came from, and what VS-mode may do.",
    fields={
        "VSBE": bits(5, value=0),
        "GVA": bits(6),
        "SPV": bits(7),
        "SPVP": bits(8),
        "HU": bits(9),
        "VGEIN": bits(17, 12, legal=tuple(range(GUEST_FILES + 1))),
        "VTVM": bits(20),
        "VTW": bits(21),
        "VTSR": bits(22),
        "VSXL": bits(33, 32, value=2),
    },
)
csr(
    "hedeleg",
    0x602,
    "Which exceptions of VS-mode and VU-mode are taken in VS-mode. Not those that are the host's.",
    fields={"low": bits(8, 0), "pages": bits(13, 12), "store": bits(15)},
)
csr(
    "hideleg",
    0x603,
    "Which interrupts are taken in VS-mode: only those of VS-mode can be.",
    fields={"VSSI": bits(2), "VSTI": bits(6), "VSEI": bits(10)},
)
csr(
    "hie",
    0x604,
    "Which interrupts of VS-mode, and guest external interrupts, are enabled.",
    view=View("mie", VS_INTERRUPTS | GUEST_EXTERNAL),
)
csr("htimedelta", 0x605, "What the guest's time has more.", fields={"delta": bits(63, 0)})
csr("hcounteren", 0x606, "Which counters a guest may read.", fields={"enable": bits(31, 0)})
csr(
    "hgeie",
    0x607,
    "Which guest external interrupts make SGEI pending.",
    fields={"files": bits(GUEST_FILES, 1)},
)
csr(
    "henvcfg",
    0x60A,
    "What a guest may do: cache-block operations, and the timer of Sstc.",
    fields={
        "FIOM": bits(0),
        "CBIE": bits(5, 4, legal=(0, 1, 3)),
        "CBCFE": bits(6),
        "CBZE": bits(7),
    },
    # The timer's bit is zero while menvcfg's is.
    open=lambda read: ~(1 << 63) | read("menvcfg") & 1 << 63,
)
csr(
    "htval",
    0x643,
    "The trap's guest physical address, shifted right by 2.",
    fields={"value": bits(63, 0)},
)
csr(
    "hip",
    0x644,
    "Which interrupts of VS-mode, and guest external interrupts, are pending.",
    view=View("mip", VS_INTERRUPTS | GUEST_EXTERNAL, writable=VS_SOFTWARE | VS_OVERFLOW),
)
csr(
    "hvip",
    0x645,
    "Which interrupts the hypervisor makes pending for VS-mode.",
    fields={"VSSIP": bits(2), "VSTIP": bits(6), "VSEIP": bits(10)},
)
csr("htinst", 0x64A, "The trap's instruction, transformed.", fields={"value": bits(63, 0)})
csr(
    "hgatp",
    0x680,
    "The root of the tables for guest physical addresses, their VMID, and the scheme: none, or "
    "Sv39x4.",
    # The root is 16 KiB, so two bits of its page number are zero.
    fields={"MODE": bits(63, 60, legal=(0, 8)), "VMID": bits(57, 44), "PPN": bits(43, 2)},
    visible=lambda mode, read: mode != S or not read("mstatus") & TVM,
)
csr(
    "hgeip",
    0xE12,
    "Which guest external interrupts are pending.",
    fields={"files": bits(GUEST_FILES, 1, writable=False)},
)

# VS-mode's own, which stand for the supervisor's while V=1.

csr(
    "vsstatus",
    0x200,
    "The guest's sstatus.",
    fields={
        "SIE": bits(1),
        "SPIE": bits(5),
        "SPP": bits(8),
        "FS": bits(14, 13),
        "SUM": bits(18),
        "MXR": bits(19),
        "UXL": bits(33, 32, value=2),
        "SD": bits(63),
    },
    derive=state_dirty,
    stands_for="sstatus",
)
csr(
    "vsie",
    0x204,
    "The guest's sie: interrupts that hideleg delegates, by their numbers in S-mode.",
    fields={"SSIE": bits(1), "STIE": bits(5), "SEIE": bits(9)},
    stands_for="sie",
)
csr(
    "vstvec",
    0x205,
    "The guest's stvec.",
    fields={"BASE": bits(63, 2), "MODE": bits(1, 0, legal=(0, 1))},
    stands_for="stvec",
)
csr("vsscratch", 0x240, "The guest's sscratch.", fields={"value": bits(63, 0)},
    stands_for="sscratch")  # fmt: skip
csr("vsepc", 0x241, "The guest's sepc.", fields={"pc": bits(63, 1)}, stands_for="sepc")
csr(
    "vscause",
    0x242,
    "The guest's scause.",
    fields={"interrupt": bits(63), "code": bits(62, 0)},
    stands_for="scause",
)
csr("vstval", 0x243, "The guest's stval.", fields={"value": bits(63, 0)}, stands_for="stval")
csr(
    "vsip",
    0x244,
    "The guest's sip: interrupts that hideleg delegates, by their numbers in S-mode.",
    fields={
        "SSIP": bits(1),
        "STIP": bits(5, writable=False),
        "SEIP": bits(9, writable=False),
    },
    stands_for="sip",
)
csr(
    "vsatp",
    0x280,
    "The guest's satp.",
    fields={"MODE": bits(63, 60, legal=(0, 8)), "ASID": bits(59, 44), "PPN": bits(43, 0)},
    whole=True,
    stands_for="satp",
)
