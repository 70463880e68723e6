"""The rows of the table are the manual's: no overlaps, nothing missing, nothing extra."""

from __future__ import annotations

from itertools import combinations, product
from random import Random

import capstone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isa.assembly import assemble, constant, disassemble, program
from isa.ext import EXTENSIONS, RV64GC
from isa.num import Num, number
from isa.spec import Table, parse_row
from tests.isa.conftest import normal

NAMES = [insn.name for insn in RV64GC.insns]


def words_of(name: str, count: int) -> list[int]:
    """Words that are this instruction, with random operands, the same on every run."""
    random, insn, words = Random(name), RV64GC[name], []
    while len(words) < count:
        word = insn.match | random.getrandbits(8 * insn.length) & ~insn.mask
        decoded = RV64GC.decode(word)
        if decoded and decoded.spelled is insn:
            words.append(word)
    return words


# One that is part of another is meant: it is tried first, since its row fixes more bits.
PART_OF = {
    "pause": "fence",
    "prefetch.i": "ori",
    "prefetch.r": "ori",
    "prefetch.w": "ori",
    "c.nop": "c.addi",
    "c.addi16sp": "c.lui",
    "c.jr": "c.mv",
    "c.jalr": "c.add",
    "c.ebreak": ("c.add", "c.jalr"),
}


def test_encodings_overlap_only_where_one_is_meant_to_be_part_of_the_other():
    overlapping = set()
    for a, b in combinations(RV64GC.insns, 2):
        if a.length == b.length and not a.mask & b.mask & (a.match ^ b.match):
            smaller, larger = (a, b) if a.mask.bit_count() > b.mask.bit_count() else (b, a)
            assert smaller.mask & larger.mask == larger.mask, f"{a.name} and {b.name} overlap"
            overlapping.add((smaller.name, larger.name))
    meant = {
        (smaller, larger)
        for smaller, many in PART_OF.items()
        for larger in ([many] if isinstance(many, str) else many)
    }
    assert overlapping == meant


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


def test_bodies_ask_only_for_what_their_row_has():
    for insn in RV64GC.insns:
        for name in insn.parameters:
            assert name in ("m", "pc", "next_pc") or name.removesuffix("_n") in insn.fields


def test_compressed_instructions_bind_all_operands_of_what_they_expand_to():
    for insn in RV64GC.insns:
        if insn.expands:
            assert set(insn.operands) == set(RV64GC[insn.expands].fields), insn.name
            assert {value for value in insn.operands.values() if isinstance(value, str)} == set(
                insn.fields
            ), insn.name


def test_every_instruction_that_is_not_short_says_what_it_does():
    for insn in RV64GC.insns:
        assert insn.expands or (insn.doc and insn.kind), insn.name


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda extension: extension.name)
def test_an_extension_can_be_left_out(extension):
    needed = {"I", extension.name}
    rest = Table(other for other in EXTENSIONS if other is not extension)
    for insn in extension.insns:
        assert insn.name not in rest.by_name
    for insn in rest.insns:
        if insn.extension not in needed and not insn.expands:
            word = insn.match
            assert (RV64GC.decode(word) is None) == (rest.decode(word) is None)


@pytest.mark.parametrize(
    "row, problem",
    [
        ("0000000 rs2 rs1 000 rd 011001", "31 bits"),
        ("0000000 RS2 rs1 000 rd 0110011", "can't read 'RS2'"),
    ],
)
def test_a_bad_row_is_named(row, problem):
    with pytest.raises(ValueError, match=problem):
        parse_row(row)


@settings(derandomize=True, deadline=None, max_examples=2000)
@given(st.sampled_from(RV64GC.insns), st.integers(0, (1 << 32) - 1))
def test_what_is_decoded_encodes_to_the_same_word(insn, bits):
    word = (insn.match | bits & ~insn.mask) & (1 << 8 * insn.length) - 1
    decoded = RV64GC.decode(word)
    if decoded:
        spelled = decoded.spelled
        values = {name: field.decode(word) for name, field in spelled.fields.items()}
        assert spelled.encode(**values) == word


@settings(derandomize=True, deadline=None, max_examples=1000)
@given(st.integers(0, (1 << 32) - 1))
def test_any_word_is_decoded_to_what_encodes_to_it_or_to_nothing(word):
    decoded = RV64GC.decode(word)
    if decoded:
        spelled = decoded.spelled
        values = {name: field.decode(word) for name, field in spelled.fields.items()}
        assert spelled.encode(**values) == word & (1 << 8 * decoded.length) - 1


@pytest.mark.parametrize("name", NAMES)
def test_what_is_disassembled_assembles_to_the_same_word(name):
    for word in words_of(name, 8):
        text = disassemble(word, 0x10000)
        if name in ("fence", "fence.i"):  # text leaves out what they ignore
            word = RV64GC[name].match | word & (0x0FF00000 if name == "fence" else 0)
            text = disassemble(word)
        assert assemble(text, 0x10000) == word, text


def test_an_operand_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="2048 does not fit imm"):
        RV64GC["addi"].encode(rd=1, rs1=1, imm=2048)
    with pytest.raises(ValueError, match="addi needs imm"):
        RV64GC["addi"].encode(rd=1, rs1=1)
    with pytest.raises(ValueError, match="c.lui: imm 0 is reserved"):
        RV64GC["c.lui"].encode(rd=1, imm=0)


# Where GNU's disassembler (2.40) and the table differ, and who has it how.
NEWER = ("czero.eqz", "czero.nez", "sctrclr")  # too new for it
# The manual has implementations ignore the operands that fences leave for the future.
FENCES = ("fence", "fence.i", "fence.tso", "pause")
EXACT = ("fcvt.d.s", "fcvt.d.w", "fcvt.d.wu")  # it knows rm 0 only; the manual any valid one
PRIVILEGED = {  # what it has in its base set, and this hart has not
    "uret", "hret", "dret", "sfence.vm", "mnret",
}  # fmt: skip


def name_of(text: str) -> str | None:
    """The mnemonic of a disassembler's text without ordering; None if it is data."""
    name = text.split()[0]
    if name.startswith(".") or name == "c.unimp" or text.endswith(",unknown"):  # rounding mode
        return None
    for suffix in (".aqrl", ".aq", ".rl"):
        name = name.removesuffix(suffix)
    return name


def differs(word: int, ours: str | None, theirs: str) -> bool:
    """Whether the mnemonics differ, exceptions aside."""
    name = name_of(theirs) or ""
    reserved = name == "c.addi16sp" and normal(theirs) == "c.addi16sp sp,0"  # by the manual
    if name in PRIVILEGED or reserved:
        return ours is not None and ours not in NEWER  # one in the place of an old one
    if name == "unimp":  # what it calls a write of the read-only cycle
        name = "csrrw"
    if name.endswith("64"):  # a shift by 0, a HINT
        name = name.removesuffix("64")
    if ours == "fence" and name == "fence.tso":
        return False
    if ours in NEWER or ours in FENCES or ours in EXACT:
        return name not in (ours, "")
    if ours == "c.nop" and name == "c.addi":  # a HINT, by the name of what it is a hint of
        return False
    return (ours or "") != name


def test_all_compressed_words_are_what_binutils_says(binutils):
    words = [word for word in range(0x10000) if word & 3 != 3]
    table = Table(EXTENSIONS)
    wrong = []
    for word, text in zip(words, binutils.disassemble(words), strict=True):
        decoded = table.decode(word)
        if differs(word, decoded and decoded.spelled.name, text):
            wrong.append(f"{word:#06x}: {decoded and decoded.spelled.name}, not {text}")
    assert not wrong, "\n".join(wrong[:50])


# Opcodes whose meaning depends on the bits above rs1; of the others three rs2 are enough.
DENSE = {0x0F, 0x13, 0x1B, 0x2F, 0x33, 0x3B, 0x53, 0x73}


def some_words():
    """Words with every opcode, funct3 and funct7, and every rs2 where that says something."""
    for opcode, funct3, funct7 in product(range(3, 128, 4), range(8), range(128)):
        for rs2 in range(32) if opcode in DENSE else (0, 1, 31):
            if opcode & 0x1F == 0x1F:
                continue  # longer than 32 bits
            pairs = ((5, 6), (0, 0), (0, 6)) if opcode in (0x0F, 0x73) else ((5, 6),)
            if opcode == 0x13 and funct3 == 6:  # ori into x0 may be a prefetch
                pairs += ((0, 6),)
            for rd, rs1 in pairs:
                yield funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


def test_words_of_all_opcodes_are_what_binutils_says(binutils):
    words = list(some_words())
    table = Table(EXTENSIONS)
    wrong, seen = [], set()
    for word, text in zip(words, binutils.disassemble(words), strict=True):
        decoded = table.decode(word)
        ours = decoded and decoded.spelled.name
        seen.add(ours)
        if differs(word, ours, text):
            wrong.append(f"{word:#010x}: {ours}, not {text}")
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:50])
    missed = {insn.name for insn in RV64GC.insns if insn.length == 4} - seen
    assert not missed


def test_operands_are_what_binutils_says(binutils):
    words = [word for name in NAMES for word in words_of(name, 8)]
    wrong = []
    for n, (word, text) in enumerate(zip(words, binutils.disassemble(words), strict=True)):
        ours = disassemble(word, 8 * n)
        name = name_of(ours)
        if name in NEWER or name in FENCES or name in EXACT or name == "c.nop":
            continue
        ours, theirs = normal(ours), normal(text)
        if name.startswith("csr"):
            if any(one.split(",")[1].isdigit() for one in (ours, theirs)):
                continue  # a CSR that this hart, or binutils, has not
        if ours != theirs:
            wrong.append(f"{word:#010x}: {ours}, not {theirs}")
    assert not wrong, "\n".join(wrong[:50])


CAPSTONE_KNOWS = ("I", "M", "A", "F", "D", "C", "Zicsr")


def test_what_capstone_says_assembles_to_the_same_word():
    decoder = capstone.Cs(
        capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC
    )
    wrong = []
    for name in NAMES:
        insn = RV64GC[name]
        if insn.extension not in CAPSTONE_KNOWS or name in FENCES or name == "c.nop":
            continue
        for word in words_of(name, 8):
            found = next(decoder.disasm(word.to_bytes(insn.length, "little"), 0), None)
            if found is None:
                if name not in EXACT and not is_hint(word):  # it has neither
                    wrong.append(f"{word:#010x}: {disassemble(word)}, but it knows none")
                continue
            text = f"{found.mnemonic} {found.op_str}"
            if assemble(text) != word:
                wrong.append(f"{word:#010x}: {disassemble(word)}, not {text}")
    assert not wrong, "\n".join(wrong[:50])


def is_hint(word: int) -> bool:
    """Whether a compressed word is a HINT: it writes x0, or shifts by 0."""
    operands = RV64GC.decode(word).operands
    return word & 3 != 3 and (operands.get("rd") == 0 or operands.get("shamt") == 0)


def test_assembly_is_what_binutils_makes_of_it(binutils):
    source = """
        start: addi a0, a1, -2048
        li t0, 5
        li t1, -1
        mv s0, sp
        not a0, a1
        neg a2, a3
        sext.w a4, a5
        seqz a0, a0
        snez a1, a1
        lui a0, 0xfffff
        auipc a1, 0x80000
        1: beqz a0, 1b
        bnez a1, end
        blez a2, start
        bgtz a3, start
        bgt a0, a1, end
        bleu a2, a3, end
        j end
        jal end
        jalr ra, 16(a0)
        jr a1
        ret
        lw a0, -4(sp)
        sd a1, 2040(gp)
        fld fa0, 8(a0)
        fsw ft11, -8(s11)
        lr.w a0, (a1)
        sc.d.rl a0, a1, (a2)
        amoadd.w.aqrl t0, t1, (t2)
        fadd.d fa0, fa1, fa2
        fmadd.s ft0, ft1, ft2, ft3, rtz
        fcvt.w.d a0, fa0, rtz
        fcvt.d.w fa0, a0
        fmv.d fa0, fa1
        fneg.s fa2, fa3
        csrr a0, mstatus
        csrw satp, a1
        csrrsi a2, sstatus, 2
        csrr a3, hpmcounter31
        rdcycle a0
        fence rw, w
        fence.tso
        fence.i
        pause
        sfence.vma
        sfence.vma a0, a1
        cbo.zero (a0)
        prefetch.w 32(a0)
        sh3add.uw a0, a1, a2
        rori a0, a1, 63
        bexti a0, a1, 12
        nop
        ecall
        ebreak
        mret
        sret
        wfi
        c.addi4spn a0, sp, 16
        c.lw a0, 4(a1)
        c.ldsp ra, 8(sp)
        c.addi16sp sp, -64
        c.lui a0, 0xfffff
        c.beqz a0, end
        c.jr ra
        c.nop
        end: c.ebreak
    """
    ours = program(source.replace("1:", "one:").replace("1b", "one"))
    theirs = binutils.assemble(".option norelax\n.option norvc\n" + compressed_allowed(source))
    assert ours.hex(" ", 2) == theirs.hex(" ", 2)


def compressed_allowed(source: str) -> str:
    """The source with `.option rvc` around what is written compressed."""
    lines = []
    for line in source.splitlines():
        short = "c." in line.partition(":")[2] or line.strip().startswith("c.")
        lines.append(f".option rvc\n{line}\n.option norvc" if short else line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "value", [0, 1, -1, 2047, 2048, -2048, -2049, 0x7FFFFFFF, 0x7FFFF800, -(1 << 31), 1 << 31,
              0xFFFFFFFF, 1 << 32, 1 << 63, (1 << 64) - 1, 0x1234_5678_9ABC_DEF0, 1 << 44]
)  # fmt: skip
def test_li_gives_any_constant(value):
    register = Num(0)
    for line in constant("a0", value):
        decoded = RV64GC.decode(assemble(line))
        operands = {
            name: Num(0) if name == "rs1" and decoded.operands[name] == 0 else register
            for name in decoded.insn.parameters
            if name == "rs1"
        }
        operands |= {
            name: Num(decoded.operands[name]) for name in decoded.insn.parameters if name != "rs1"
        }
        register = decoded.insn.body(**operands)
    assert number(register) == value % (1 << 64)
