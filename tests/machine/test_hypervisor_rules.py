"""The hypervisor chapter's rules about CSRs, one by one, each test named by its normative rule.

(Privileged manual, hypervisor.adoc: `norm:NAME` is test_norm_NAME.) What more there is to some of
them is in test_guests.py, test_lcofi.py and tests/isa/test_hypervisor_csrs.py.
"""

from __future__ import annotations

from itertools import product

import pytest

from isa.assembly import program as assembled
from isa.csrs import CSR_NUMBERS
from isa.ext import OPTIONAL
from isa.modes import VS, VU, M, S, U
from rvperf.engine.reference import Reference
from rvperf.machine.traps import Trap
from tests.machine.harts import RAM_AT, hart_in, value

ONES = (1 << 64) - 1
MODES = (U, S, M, VU, VS)
RATIFIED = tuple(OPTIONAL.keys() - {"Xrvpt"})
PLAIN = ("H",)
SSI, VSSI, STI, VSTI, SEI, VSEI, SGEI, LCOFI = (1 << n for n in (1, 2, 5, 6, 9, 10, 12, 13))
SPV, SPVP, GVA, HU = 1 << 7, 1 << 8, 1 << 6, 1 << 9
TVM, TW, TSR = 1 << 20, 1 << 21, 1 << 22
FS, SIE = 3 << 13, 1 << 1
OF_HS = """hstatus hedeleg hideleg hvip hip hie hgeip hgeie henvcfg hcounteren htimedelta htval
htinst hgatp""".split()
OF_VS = """vsstatus vsie vstvec vsscratch vsepc vscause vstval vsip vsatp vstimecmp""".split()
OPEN = {"menvcfg": 1 << 63, "henvcfg": 1 << 63, "mcounteren": ONES, "hcounteren": ONES}


def guest(mode=VS, extensions=PLAIN, **csrs):
    return hart_in(mode, extensions=extensions, **csrs)


def csr(hart, name, new):
    hart.set_csr(CSR_NUMBERS[name], new)


def kept(name, new=ONES, extensions=PLAIN, **csrs):
    """What a CSR holds after a write by M-mode."""
    hart = guest(M, extensions, **csrs)
    csr(hart, name, new)
    return value(hart, name)


def outcome(act):
    """What an access gives, or (its cause,)."""
    try:
        return act()
    except Trap as trap:
        return (int(trap.cause),)


def reads(hart, mode, name):
    hart.mode = mode
    number = CSR_NUMBERS[name] if isinstance(name, str) else name
    return outcome(lambda: hart.read_csr(number))


def writes(hart, mode, name, new):
    hart.mode = mode
    return outcome(lambda: hart.write_csr(CSR_NUMBERS[name], new))


def executes(hart, mode, text):
    """The cause of an instruction's trap, or None."""
    hart.mode, hart.pc = mode, RAM_AT
    hart.ram.write(RAM_AT, assembled(text, RAM_AT))
    found = outcome(lambda: Reference(hart).run(1))
    return found and found[0]


# CSRs and modes.


def test_norm_misa_h_op():
    assert kept("misa") >> 7 & 1 == 1
    assert value(hart_in(M), "misa") >> 7 & 1 == 0


def test_norm_H_mtval_nrz():
    assert kept("mtval") == ONES


@pytest.mark.parametrize("name", OF_HS)
def test_norm_H_csrs_hs_not_vs(name):
    """For HS-mode and not for VS-mode."""
    hart = guest(**OPEN)
    for mode in (S, M):
        assert isinstance(reads(hart, mode, name), int)
    assert [reads(hart, mode, name) for mode in (U, VU, VS)] == [(2,), (22,), (22,)]


@pytest.mark.parametrize("name", OF_VS)
def test_norm_H_vscsrs_acc_vs(name):
    """And H_vscsrs_acc_u, H_vscsrs_acc_m_hs: by its own address from M-mode and HS-mode alone."""
    hart = guest(**OPEN)
    for access in (reads, lambda hart, mode, name: writes(hart, mode, name, 0)):
        assert access(hart, VS, name) == access(hart, VU, name) == (22,)
        assert access(hart, U, name) == (2,)
        for mode in (S, M):
            assert access(hart, mode, name) != (2,)


@pytest.mark.parametrize("name", ["sstatus", "sepc", "scause", "stvec", "sscratch", "stval"])
def test_norm_H_vscsrs_v1(name):
    """While V=1 the HS-level CSR keeps its value; a VS CSR does nothing in V=0 (H_vscsrs_v0)."""
    hart = guest(S)
    writes(hart, S, name, 0x40)
    before = value(hart, name)
    writes(hart, VS, name, 0x100)
    assert value(hart, name) == before
    assert reads(hart, S, name) == before
    assert reads(hart, VS, name) == value(hart, f"v{name}")


@pytest.mark.parametrize("name", ["scounteren", "senvcfg"])
def test_norm_H_scsrs_nomatch(name):
    hart = guest()
    assert writes(hart, VS, name, 1) is None
    assert value(hart, name) == reads(hart, VS, name) == reads(hart, S, name) == 1
    assert reads(hart, VU, name) == (22,)


@pytest.mark.parametrize("number", [0x612, 0x615, 0x61A, 0x254 + 9, 0xC80, 0xC82, 0xC9F, 0x31A])
def test_norm_H_illegal_high_half(number):
    """High-half CSRs are illegal instructions where XLEN is 64 (hedelegh_sz_acc_op,
    htimedeltah_sz_acc_op, henvcfgh_sz_acc_op: they don't exist)."""
    hart = guest(**OPEN)
    assert {reads(hart, mode, number) for mode in MODES} == {(2,)}


# hstatus.


def test_norm_hstatus_vsxl_64():
    """vsxl_ro: VSXLEN is always 64. vsbe is read-only zero (hstatus_vsbe_op)."""
    for new in (0, ONES):
        assert kept("hstatus", new) >> 32 & 3 == 2
        assert not kept("hstatus", new) & 1 << 5


def test_norm_hstatus_vgein_op():
    for vgein in range(64):
        held = kept("hstatus", vgein << 12) >> 12 & 63
        assert held == (vgein if vgein <= 1 else 0)  # GEILEN is 1


@pytest.mark.parametrize("bit, text", [(TSR, "sret"), (TW, "wfi"), (TVM, "sfence.vma")])
def test_norm_hstatus_vtsr_op(bit, text):
    """And hstatus_vtw_op, hstatus_vtvm_op: virtual instruction in VS-mode, and in no other."""
    for mode in (S, M, VS):
        assert executes(guest(mode, hstatus=bit), mode, text) == (22 if mode == VS else None)
        assert executes(guest(mode), mode, text) is None
    if text == "wfi":  # mstatus.TW comes first
        assert executes(guest(VS, hstatus=bit, mstatus=TW), VS, text) == 2


def test_norm_hstatus_vtvm_op():
    hart = guest(hstatus=TVM)
    assert reads(hart, VS, "satp") == (22,) == writes(hart, VS, "satp", 0)
    assert reads(hart, S, "satp") == 0 == reads(hart, S, "vsatp")


@pytest.mark.parametrize("hu", [0, HU])
def test_norm_hstatus_hu_op(hu):
    """HLV and HSV in U-mode; without HU all are illegal instructions there."""
    for text in ("hlv.w a0, (a1)", "hsv.b a0, (a1)", "hlvx.hu a0, (a1)"):
        hart = guest(U, hstatus=hu)
        hart.x[11] = RAM_AT + 0x100
        assert executes(hart, U, text) == (None if hu else 2)
        assert executes(hart, S, text) is None
        assert executes(hart, VS, text) == executes(hart, VU, text) == 22
    assert executes(guest(hstatus=hu), U, "hfence.vvma") == 2


@pytest.mark.parametrize("mode", [U, S, VU, VS])
@pytest.mark.parametrize("before", [0, SPV | SPVP | GVA])
def test_norm_hstatus_spv_op(mode, before):
    """And hstatus_spvp_op, hstatus_gva_op: what a trap into HS-mode writes there."""
    hart = guest(mode, medeleg=ONES, hstatus=before)
    hart.take(Trap(13, 0x1234))  # a load page fault: stval is an address
    assert hart.mode == S
    found = value(hart, "hstatus")
    virtual = mode in (VU, VS)
    assert bool(found & SPV) == virtual == bool(found & GVA)
    assert found & SPVP == ((SPVP if mode == VS else 0) if virtual else before & SPVP)
    hart = guest(mode, medeleg=ONES, hstatus=GVA)
    hart.take(Trap(2, 0x1234))  # stval is no address
    assert not value(hart, "hstatus") & GVA


@pytest.mark.parametrize("spv, spp, to", [(0, 0, U), (0, 1, S), (SPV, 0, VU), (SPV, 1, VS)])
def test_norm_hstatus_spv_sret(spv, spp, to):
    hart = guest(S, hstatus=spv, mstatus=spp << 8)
    hart.sret()
    assert hart.mode == to and not value(hart, "hstatus") & SPV


# Delegation.


def test_norm_hedeleg_acc():
    """Bits that must be writable, and those that must be zero."""
    found = kept("hedeleg")
    writable = [1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15]
    assert all(found >> n & 1 for n in writable)
    assert not any(found >> n & 1 for n in (9, 10, 11, 14, 16, 17, 20, 21, 22, 23))


def test_norm_hideleg_acc():
    assert kept("hideleg") & 0xFFFF == VSSI | VSTI | VSEI
    assert kept("hideleg", extensions=RATIFIED) & 0xFFFF == VSSI | VSTI | VSEI | LCOFI


@pytest.mark.parametrize("mode", [U, S, VU, VS])
@pytest.mark.parametrize("medeleg, hedeleg", [*product((0, 1 << 3), repeat=2)])
def test_norm_hedeleg_op(mode, medeleg, hedeleg):
    hart = guest(mode, medeleg=medeleg, hedeleg=hedeleg)
    hart.trap(3)
    assert hart.mode == (M if not medeleg else VS if hedeleg and mode in (VU, VS) else S)


@pytest.mark.parametrize("bit, code", [(VSSI, 1), (VSTI, 5), (VSEI, 9)])
def test_norm_hideleg_trans(bit, code):
    """Codes 2, 6 and 10 are 1, 5 and 9 for VS-mode, and in its vsip and vsie (hideleg_op)."""
    hart = guest(VU, hideleg=bit, hvip=bit, mie=bit)
    assert value(hart, "vsip") == value(hart, "vsie") == bit >> 1
    assert hart.interrupt()
    assert (hart.mode, value(hart, "vscause")) == (VS, 1 << 63 | code)
    hart = guest(VU, hvip=bit, mie=bit)
    assert hart.interrupt()
    assert (hart.mode, value(hart, "scause")) == (S, 1 << 63 | code + 1)


# Interrupts.


def test_norm_hvip_acc():
    """And hvip_sz_op: VSEIP, VSTIP and VSSIP are writable, the others read-only zero."""
    assert kept("hvip") == VSSI | VSTI | VSEI


def test_norm_sie_hip_hie_mutex():
    """Bits that sie has are read-only zero in hip and hie."""
    everything = {"mideleg": ONES, "mie": ONES, "hvip": ONES}
    hart = guest(M, RATIFIED, **everything)
    assert value(hart, "sie") & value(hart, "hie") == 0
    csr(hart, "hie", ONES)
    assert value(hart, "hie") == VSSI | VSTI | VSEI | SGEI
    csr(hart, "sie", ONES)
    assert value(hart, "sie") == SSI | STI | SEI | LCOFI
    csr(hart, "mip", ONES)
    assert value(hart, "sip") & value(hart, "hip") == 0


def test_norm_hie_acc():
    """A bit is writable if the interrupt can become pending in hip (hip_op, hie_op)."""
    assert kept("hie") == VSSI | VSTI | VSEI | SGEI


def test_norm_hip_vssip_vssie_op():
    """hip.VSSIP is hvip's; VSTIP, VSEIP and SGEIP are read-only in hip."""
    hart = guest(M)
    csr(hart, "hip", ONES)
    assert value(hart, "hip") == VSSI == value(hart, "hvip")
    csr(hart, "hvip", ONES)
    csr(hart, "hip", 0)
    assert value(hart, "hip") == VSTI | VSEI == value(hart, "hvip")


@pytest.mark.parametrize("hvip, external, vgein", [*product((0, VSEI), (0, 2), (0, 1))])
def test_norm_hip_vseip_vseie_op(hvip, external, vgein):
    """hvip.VSEIP, or the guest external interrupt of VGEIN; hgeie does not matter (hgeie_op)."""
    for hgeie in (0, ONES):
        hart = guest(M, hvip=hvip, hstatus=vgein << 12, hgeie=hgeie)
        hart.csrs.words[CSR_NUMBERS["hgeip"]] = external
        assert bool(value(hart, "hip") & VSEI) == bool(hvip or (external and vgein))
        assert bool(value(hart, "hip") & SGEI) == bool(external and hgeie)


def test_norm_geilen():
    """hgeip_sz_acc_op, hgeie_sz_acc_op, hgeip_hgeie_fields: GEILEN is 1, so bit 1 is there."""
    assert kept("hgeie") == 2
    hart = guest(M)
    assert writes(hart, M, "hgeip", 0) == (2,) == writes(hart, S, "hgeip", 0)


@pytest.mark.parametrize("hvip", [0, VSTI])
@pytest.mark.parametrize("delta", [0, 50, -50])
@pytest.mark.parametrize("stce", [0, 1 << 63])
def test_norm_hip_vstip_vstie_acc_op(hvip, delta, stce):
    """hvip.VSTIP or, with Sstc, the guest's time at or past vstimecmp."""
    hart = guest(M, menvcfg=1 << 63, henvcfg=stce, hvip=hvip, htimedelta=delta & ONES)
    csr(hart, "vstimecmp", 100)
    for time in (40, 60, 99, 100, 149, 150):
        hart.idle_until(100 * time)
        guests = time + delta & ONES
        due = stce and guests >= 100
        assert bool(value(hart, "hip") & VSTI) == bool(hvip or due), time


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sie, hie, hideleg", [*product((0, SIE), (0, VSSI), (0, VSSI))])
def test_norm_hideleg_hs(mode, sie, hie, hideleg):
    """When an interrupt of hip traps to HS-mode."""
    hart = guest(mode, mstatus=sie, hvip=VSSI, mie=hie, hideleg=hideleg)
    below = mode in (U, VU, VS) or (mode == S and sie)
    to_hs = below and hie and not hideleg
    taken = hart.interrupt()
    assert (taken and hart.mode == S) == bool(to_hs)


# henvcfg.


@pytest.mark.parametrize("name, high, low", [("pbmte", 62, 62), ("adue", 61, 61), ("dte", 59, 59),
                                             ("pmm", 33, 32), ("sse", 3, 3),
                                             ("lpe", 2, 2)])  # fmt: skip
def test_norm_henvcfg_of_extensions_that_there_are_not(name, high, low):
    """henvcfg_pbmte_op, henvcfg_adue_op, henvcfg_dte_op, henvcfg_pmm_op, henvcfg_sse_op,
    henvcfg_lpe_op: read-only zero without Svpbmt, Svadu, Ssdbltrp, Ssnpm, Zicfiss, Zicfilp."""
    assert kept("henvcfg", menvcfg=ONES) >> low & (1 << high - low + 1) - 1 == 0, name


def test_norm_henvcfg_stce():
    assert kept("henvcfg", menvcfg=0) >> 63 == 0
    assert kept("henvcfg", menvcfg=1 << 63) >> 63 == 1
    hart = guest(menvcfg=1 << 63, mcounteren=2, hcounteren=2)
    assert reads(hart, VS, "stimecmp") == (22,)


@pytest.mark.parametrize("field, text", [(1 << 7, "cbo.zero (a1)"), (1 << 6, "cbo.clean (a1)"),
                                         (1 << 6, "cbo.flush (a1)"),
                                         (1 << 4, "cbo.inval (a1)")])  # fmt: skip
@pytest.mark.parametrize("mode", [VU, VS])
def test_norm_henvcfg_cbze(mode, field, text):
    """And henvcfg_cbcfe, henvcfg_cbie: not HS-qualified is illegal, else it is henvcfg's."""
    for m, h in product((0, field), repeat=2):
        hart = guest(mode, menvcfg=m, henvcfg=h, senvcfg=field)
        hart.x[11] = RAM_AT + 0x1000
        expected = 2 if not m else None if h else 22
        assert executes(hart, mode, text) == expected


# Counters and time.


def test_norm_hcounteren_sz():
    assert kept("hcounteren") == 0xFFFF_FFFF  # hcounteren_warl: all are implemented


@pytest.mark.parametrize("m, h", [*product((0, 2), repeat=2)])
def test_norm_hcounteren_acc(m, h):
    """TM gates a guest's timer as well."""
    hart = guest(menvcfg=1 << 63, henvcfg=1 << 63, mcounteren=m, hcounteren=h)
    found = reads(hart, VS, "stimecmp")
    assert found == ((2,) if not m else (22,) if not h else ONES)


def test_norm_htimedelta_sz_acc_op():
    hart = guest(mcounteren=2, hcounteren=2, scounteren=2)
    csr(hart, "htimedelta", -3 & ONES)
    hart.idle_until(1_000)
    assert [reads(hart, mode, "time") for mode in (M, S, U)] == [10] * 3
    assert [reads(hart, mode, "time") for mode in (VS, VU)] == [7] * 2
    csr(hart, "htimedelta", ONES - 5)
    assert reads(hart, VS, "time") == 4  # overflow is ignored


# Trap values and guest translation.


@pytest.mark.parametrize("cause", [20, 21, 23])
def test_norm_htval_trapval(cause):
    hart = guest(VS, medeleg=1 << cause)
    hart.take(Trap(cause, 0x1000, 0x8765_4321, guest=True))
    assert value(hart, "htval") == 0x8765_4321 >> 2
    hart.mode = VS
    hart.csrs.words[CSR_NUMBERS["medeleg"]] |= 4
    hart.take(Trap(2, 0))
    assert value(hart, "htval") == 0 == value(hart, "htinst")  # for other traps


@pytest.mark.parametrize("name", ["htval", "htinst", "mtval2", "mtinst", "vsscratch", "vstval"])
def test_norm_htval_val(name):
    """And htinst_val, mtval2_val, mtinst_val, vsscratch and vstval: they hold anything."""
    for new in (0, 0x1234_5678_9ABC_DEF0, ONES):
        assert kept(name, new) == new


@pytest.mark.parametrize("tvm", [0, TVM])
def test_norm_hgatp_tvm_illegal(tvm):
    hart = guest(S, mstatus=tvm)
    for found in (reads(hart, S, "hgatp"), writes(hart, S, "hgatp", 0)):
        assert found == (2,) if tvm else found in (0, None)
    assert reads(hart, M, "hgatp") == 0


@pytest.mark.parametrize("mode", range(16))
def test_norm_hgatp_mode_warl(mode):
    """An unsupported MODE does not make a write be ignored (hgatp_mode_sv: Bare and Sv39x4)."""
    found = kept("hgatp", mode << 60 | 5 << 44 | 0x1237)
    assert found >> 60 == (mode if mode in (0, 8) else 0)
    assert found & (1 << 60) - 1 == 5 << 44 | 0x1234  # hgatp_ppn_op: 16 KiB


def test_norm_hgatp_vmid_lsbs():
    assert kept("hgatp", 8 << 60 | 0xFFFF << 44) >> 44 & 0xFFFF == 0x3FFF


@pytest.mark.parametrize("mode", range(16))
def test_norm_vsatp_mode_unsupported_v1(mode):
    """A write with V=1 of an unsupported MODE has no effect; with V=0 as well here."""
    for by, name in ((VS, "satp"), (S, "vsatp")):
        hart = guest(vsatp=8 << 60 | 7)
        writes(hart, by, name, mode << 60 | 9)
        assert value(hart, "vsatp") == (mode << 60 | 9 if mode in (0, 8) else 8 << 60 | 7)


# vsstatus and the other VS CSRs.


def test_norm_vsstatus_sz_acc_op():
    found = kept("vsstatus")
    assert found == 0x8000_0002_000C_6122
    assert kept("vsstatus", 0) >> 32 & 3 == 2  # vsstatus_uxl_op


def test_norm_vsstatus_sd_xs_op():
    """SD of vsstatus is about vsstatus alone."""
    hart = guest(M, mstatus=FS)
    assert value(hart, "vsstatus") >> 63 == 0
    csr(hart, "vsstatus", FS)
    csr(hart, "mstatus", 0)
    assert (value(hart, "vsstatus") >> 63, value(hart, "mstatus") >> 63) == (1, 0)


def test_norm_vsstatus_fs_op():
    """Both units have to be on in V=1; vsstatus does nothing in V=0 (vsstatus_v0)."""
    for host, own in product((0, FS), repeat=2):
        hart = guest(VS, mstatus=host, vsstatus=own)
        assert (reads(hart, VS, "fcsr") == 0) == bool(host and own)
        assert (reads(hart, S, "fcsr") == 0) == bool(host)


@pytest.mark.parametrize("host, own", [(VSEI, SEI), (VSTI, STI), (VSSI, SSI)])
def test_norm_vsip_vsie_sei(host, own):
    """And vsip_vsie_sti, vsip_vsie_ssi: aliases of hip's and hie's with hideleg, else zero."""
    for hideleg in (0, host):
        hart = guest(M, hideleg=hideleg, hvip=host, mie=host)
        shown = own if hideleg else 0
        assert value(hart, "vsip") == value(hart, "vsie") == shown
        csr(hart, "vsie", 0)
        assert value(hart, "hie") == (0 if hideleg else host)
        csr(hart, "vsie", own)
        assert value(hart, "hie") == host
        csr(hart, "vsip", 0)  # only the software interrupt's is the guest's to clear
        assert value(hart, "hip") == (0 if hideleg and host == VSSI else host)


def test_norm_vsepc_warl():
    """And vstvec: they hold what sepc and stvec can; vscause_wlrl holds scause's codes."""
    assert kept("vsepc", ONES) == ONES - 1 == kept("sepc", ONES)
    assert kept("vstvec", ONES) == kept("stvec", ONES)
    for code in (0, 13, 15, 1 << 63 | 13, 1 << 63 | 9):
        assert kept("vscause", code) == code


# What machine-level CSRs get.


@pytest.mark.parametrize("mode", [U, S, VU, VS])
def test_norm_mstatus_mpv_op(mode):
    """MPV is V before a trap to M-mode; mstatus_gva_op as hstatus'."""
    hart = guest(mode)
    hart.take(Trap(13, 0x1234))
    virtual = mode in (VU, VS)
    assert value(hart, "mstatus") >> 38 & 3 == (3 if virtual else 0)
    hart.mret()
    assert hart.mode == mode


def test_norm_mideleg_acc_h():
    """Bits 10, 6 and 2, and 12 with GEILEN, are read-only one; without H zero (mideleg_hroz)."""
    for new in (0, ONES):
        assert kept("mideleg", new) & (VSEI | VSTI | VSSI | SGEI) == VSEI | VSTI | VSSI | SGEI
        assert kept("mideleg", new, extensions=()) & (VSEI | VSTI | VSSI | SGEI) == 0


def test_norm_mip_mie_alias():
    """mip and mie have hip's and hie's bits (mip_mie_vs)."""
    hart = guest(M, hvip=ONES)
    assert value(hart, "mip") == value(hart, "hip") == VSSI | VSTI | VSEI
    csr(hart, "mie", ONES)
    assert value(hart, "hie") == VSSI | VSTI | VSEI | SGEI
    csr(hart, "hie", 0)
    assert value(hart, "mie") & (VSSI | VSTI | VSEI | SGEI) == 0
