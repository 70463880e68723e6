"""Two machines that we did not write, to execute cases: QEMU's user mode, and Unicorn.

QEMU runs all cases in one process (batch.S); it doesn't tell where a jump went, nor survives a
trap. Unicorn steps each case, knows RV64GC alone, and is an older QEMU (5.0): see `UNICORN_KNOWS`.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

from isa.ext import RV64GC
from isa.ext.f import BOX
from isa.softfloat import is_signalling
from tests.engine.cases import (
    CODE_AT,
    CODE_STEP,
    JUMPS,
    MASK,
    MEMORY,
    MEMORY_IN_STATE,
    STATE_STEP,
    STATES_AT,
    Case,
    Outcome,
    format_of,
)

QEMU = "qemu-riscv64"
COMPILER = "riscv64-linux-gnu-gcc"
DONE = 0x10800  # where batch.S takes over from a case
EXTENSIONS = ("zba", "zbb", "zbs")
# They trap, or need a mode that user programs are not in, or are too new for QEMU 7.2.
NOT_FOR_QEMU = {
    "ecall", "ebreak", "c.ebreak", "mret", "sret", "wfi", "sfence.vma",
    "cbo.inval", "cbo.clean", "cbo.flush", "cbo.zero", "wrs.nto", "wrs.sto",
    "czero.eqz", "czero.nez",
}  # fmt: skip
UNICORN_EXTENSIONS = ("I", "M", "A", "F", "D", "C")


def missing_for_qemu() -> str | None:
    """What has to be installed before QEMU can be asked."""
    absent = [tool for tool in (QEMU, COMPILER) if not shutil.which(tool)]
    return f"not installed: {', '.join(absent)}" if absent else None


def qemu_can(case: Case) -> bool:
    """Whether QEMU's batch can execute a case and tell all of its outcome."""
    decoded = RV64GC.decode(int.from_bytes(case.code[-4:], "little"))
    return decoded.insn.kind not in JUMPS and decoded.spelled.name not in NOT_FOR_QEMU


def qemu(cases: list[Case], directory: Path) -> dict[int, Outcome]:
    """What QEMU makes of the cases, by their index."""
    program = directory / "batch"
    subprocess.run(
        [COMPILER, "-nostdlib", "-static", "-no-pie", "-march=rv64gc", "-Wl,-Ttext=0x10000",
         "-Wl,-Tdata=0x18000", "-Wl,--no-relax,--build-id=none",
         str(Path(__file__).with_name("batch.S")), "-o", str(program)],
        check=True,
    )  # fmt: skip
    back = RV64GC["lui"].encode(rd=31, imm=DONE + 0x800 & ~0xFFF).to_bytes(4, "little")
    back += RV64GC["jalr"].encode(rd=0, rs1=31, imm=(DONE & 0xFFF ^ 0x800) - 0x800).to_bytes(
        4, "little"
    )
    count = max(case.index for case in cases) + 1
    code = bytearray((b"\x01\x00" * 12 + back) * count)
    states = bytearray(STATE_STEP * count)
    for case in cases:
        at = case.index * CODE_STEP
        code[at : at + len(case.code)] = case.code
        at = case.index * STATE_STEP
        states[at : at + 520] = struct.pack("<65Q", *case.x, *case.f, case.fcsr)
        at += MEMORY_IN_STATE
        states[at : at + MEMORY] = case.memory
    done = subprocess.run(
        [QEMU, "-cpu", "rv64," + ",".join(f"{name}=true" for name in EXTENSIONS), str(program)],
        input=struct.pack("<Q", count) + code + states,
        capture_output=True,
        check=True,
    )
    outcomes = {}
    for case in cases:
        at = case.index * STATE_STEP
        *registers, fcsr = struct.unpack_from("<65Q", done.stdout, at)
        at += MEMORY_IN_STATE
        memory = done.stdout[at : at + MEMORY]
        outcomes[case.index] = Outcome(
            tuple(registers[:31]), tuple(registers[32:]), fcsr, memory, None, None
        )
    return outcomes


class Unicorn:
    """Steps cases in M-mode, without translation."""

    def __init__(self):
        import unicorn
        from unicorn import riscv_const as names

        self._error = unicorn.UcError
        self._uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
        self._uc.mem_map(CODE_AT, 64 << 20)
        self._uc.mem_map(STATES_AT, 64 << 20)
        self._x = [names.UC_RISCV_REG_X0 + n for n in range(1, 31)]
        self._f = [names.UC_RISCV_REG_F0 + n for n in range(32)]
        self._pc, self._fcsr = names.UC_RISCV_REG_PC, names.UC_RISCV_REG_FCSR
        self._mstatus = names.UC_RISCV_REG_MSTATUS

    def run(self, case: Case) -> Outcome:
        """What becomes of a case."""
        uc = self._uc
        uc.mem_write(case.pc, case.code)
        uc.mem_write(case.memory_at, case.memory)
        uc.reg_write(self._mstatus, 3 << 13)
        for register, value in zip(self._x, case.x[1:31], strict=True):
            uc.reg_write(register, value)
        for register, value in zip(self._f, case.f, strict=True):
            uc.reg_write(register, value)
        uc.reg_write(self._fcsr, case.fcsr)
        cause = None
        try:
            uc.emu_start(case.pc, 0, count=case.steps)
        except self._error:
            cause = -1
        x = (0, *(uc.reg_read(register) & MASK for register in self._x))
        f = tuple(uc.reg_read(register) & MASK for register in self._f)
        memory = bytes(uc.mem_read(case.memory_at, MEMORY))
        return Outcome(x, f, uc.reg_read(self._fcsr), memory, uc.reg_read(self._pc), cause)


def unicorn_knows(case: Case) -> bool:
    """Whether an instruction is Unicorn's to judge.

    It has no Zb*, takes an unboxed single for its low half, and has the fmin and fmax of before
    version 2.2 of F, where a signalling NaN gave a NaN.
    """
    decoded = RV64GC.decode(int.from_bytes(case.code[-4:], "little"))
    insn, operands = decoded.insn, decoded.operands
    if insn.extension not in UNICORN_EXTENSIONS or insn.name in NOT_FOR_QEMU:
        return False
    if insn.extension not in ("F", "D"):
        return True
    fmt = format_of(insn)
    values = [case.f[operands[name]] for name in ("fs1", "fs2", "fs3") if name in operands]
    if fmt == 32 and any(value < BOX for value in values):
        return False
    return not (
        insn.name.startswith(("fmin", "fmax"))
        and any(is_signalling(fmt, value & (1 << fmt) - 1) for value in values)
    )
