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
from isa.softfloat import is_nan, is_signalling
from tests.engine.cases import (
    CODE_AT,
    CODE_STEP,
    JUMPS,
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
C_NOP = b"\x01\x00"
DONE = 0x10800  # where batch.S takes over from a case
EXTENSIONS = ("zba", "zbb", "zbs")
# They trap, or need a mode that user programs are not in, or are too new for QEMU 7.2.
NOT_FOR_QEMU = {
    "ecall", "ebreak", "c.ebreak", "mret", "sret", "wfi", "sfence.vma",
    "cbo.inval", "cbo.clean", "cbo.flush", "cbo.zero", "wrs.nto", "wrs.sto",
    "czero.eqz", "czero.nez",
}  # fmt: skip
OF_GUESTS = {insn.name for insn in RV64GC.insns if insn.extension in ("H", "Svinval", "Smctr")}
NOT_FOR_QEMU |= OF_GUESTS  # and stand in test_guests.py
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
    back += (
        RV64GC["jalr"]
        .encode(rd=0, rs1=31, imm=(DONE & 0xFFF ^ 0x800) - 0x800)
        .to_bytes(4, "little")
    )
    count = max(case.index for case in cases) + 1
    code = bytearray((C_NOP * 12 + back) * count)
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

        self._outcomes: dict[int, Outcome] = {}
        self._error, self._nothing_there = unicorn.UcError, unicorn.UC_ERR_FETCH_UNMAPPED
        self._uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
        self._uc.mem_map(CODE_AT, 64 << 20)
        self._uc.mem_map(STATES_AT, 64 << 20)
        self._uc.mem_write(CODE_AT, C_NOP * (4 << 20))  # where jumps go
        self._uc.hook_add(unicorn.UC_HOOK_CODE, self._visit)
        self._registers = [
            *range(names.UC_RISCV_REG_X1, names.UC_RISCV_REG_X31),
            *range(names.UC_RISCV_REG_F0, names.UC_RISCV_REG_F31 + 1),
            names.UC_RISCV_REG_FCSR,
        ]
        self._pc = names.UC_RISCV_REG_PC
        self._mstatus = names.UC_RISCV_REG_MSTATUS

    def run(self, case: Case) -> Outcome:
        """What becomes of a case; each is executed once."""
        if case.index not in self._outcomes:
            self._outcomes[case.index] = self._execute(case)
        return self._outcomes[case.index]

    def _execute(self, case: Case) -> Outcome:
        uc = self._uc
        uc.mem_write(case.pc, case.code)
        uc.mem_write(case.memory_at, case.memory)
        uc.reg_write(self._mstatus, 3 << 13)
        state = (*case.x[1:31], *case.f, case.fcsr)
        uc.reg_write_batch(list(zip(self._registers, state, strict=True)))
        cause = None
        self._visited = []
        self._steps = case.steps
        try:
            uc.emu_start(case.pc, 0)
        except self._error as error:
            if error.errno != self._nothing_there:  # of what a jump went to, and that is enough
                cause = error.errno
        *state, fcsr = uc.reg_read_batch(self._registers)
        x, f = (0, *state[:30]), state[30:]
        if (single := _single_written(case)) is not None:
            f[single] |= BOX
        memory = bytes(uc.mem_read(case.memory_at, MEMORY))
        uc.mem_write(case.pc, C_NOP * (len(case.code) // 2))
        if RV64GC.decode(int.from_bytes(case.code[-4:], "little")).insn.kind in JUMPS:
            uc.ctl_flush_tb()  # or the nops that it went to would be remembered there
        pc = self._visited[case.steps] if len(self._visited) > case.steps else uc.reg_read(self._pc)
        return Outcome(x, tuple(f), fcsr, memory, pc, cause)

    def _visit(self, uc, address, size, _) -> None:
        """Stop before the instruction after the last. (Unicorn's own count runs past jumps.)"""
        self._visited.append(address)
        if len(self._visited) > self._steps:
            uc.emu_stop()


def _single_written(case: Case) -> int | None:
    """The f register that a case computes a single into: Unicorn leaves its upper half zero."""
    decoded = RV64GC.decode(int.from_bytes(case.code[-4:], "little"))
    single = decoded.insn.extension == "F" or decoded.insn.name == "fcvt.s.d"
    return decoded.operands.get("fd") if single else None


def unicorn_knows(case: Case) -> bool:
    """Whether an instruction is Unicorn's to judge.

    It has no Zb*, takes an unboxed single for its low half, has the fmin and fmax of before
    version 2.2 of F, where a signalling NaN gave a NaN, and does not find infinity times zero
    invalid if a NaN is added.
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
    values = [value & (1 << fmt) - 1 for value in values]
    if insn.name.startswith(("fmin", "fmax")):
        return not any(is_signalling(fmt, value) for value in values)
    return not (insn.kind == "fp-fma" and is_nan(fmt, values[2]))
