"""`rvperf run --bios`: how a bare-metal program begins, prints and ends."""

import pytest

from rvperf.cli import main
from tests.cli.bare import BASE, FROMHOST, TOHOST, bare

PASS = "li t6, 1"
HANG = "hang: jal x0, hang"


@pytest.fixture(params=["native", "reference"])
def run(request, tmp_path, capfd):
    """Run a program from assembly: its exit status, and what it printed on both streams."""

    def go(text, *options, **fields):
        path = bare(tmp_path / "program", text, **fields)
        status = main(["run", "--engine", request.param, *options, "--bios", path])
        out, err = capfd.readouterr()
        return status, out, err.replace(path, "FILE")

    return go


# How it ends.


@pytest.mark.parametrize(
    "word, status, said",
    [
        (1, 0, ""),
        (7, 3, "FILE: failed: test 3\n"),
        (511, 255, "FILE: failed: test 255\n"),
        (513, 255, "FILE: failed: test 256\n"),  # which 256 as a byte would hide
    ],
)
def test_ends_by_tohost(run, word, status, said):
    assert run(f"li t6, {word}") == (status, "", said)


@pytest.mark.parametrize(
    "text, status, said",
    [
        ("li a7, 0x53525354\n li a6, 0\n li a0, 0\n li a1, 0\n ecall", 0, ""),
        ("li a7, 0x53525354\n li a6, 0\n li a0, 0\n li a1, 1\n ecall", 1, "FILE: failed: 1\n"),
        ("li a7, 8\n ecall", 0, ""),
    ],
)
def test_ends_by_a_shutdown_of_sbi(run, text, status, said):
    assert run(f"{text}\n{HANG}") == (status, "", said)


def test_other_calls_of_m_mode_go_to_its_own_handler(run):
    text = """
        la t0, handler
        csrw mtvec, t0
        li a7, 8
        ecall
        jal x0, end_too
        .dword 0
        handler: csrr t0, mcause      # 11, a call from M-mode
        slli t6, t0, 1
        addi t6, t6, 1
        jal x0, end
    """
    assert run(text)[0] == 11


def test_starts_in_m_mode_with_the_harts_number_and_no_device_tree(run):
    # mhartid is for M-mode alone; a0 and a1 are 0.
    text = "csrr t6, mhartid\n or t6, t6, a0\n or t6, t6, a1\n slli t6, t6, 1\n addi t6, t6, 1"
    assert run(text)[0] == 0


# What it prints.


WRITE = """
    la sp, request
    sd sp, 0(t5)
    wait: ld t0, 8(t5)
    beq t0, x0, wait
    ld t6, 0(sp)        # how much was written
    slli t6, t6, 1
    addi t6, t6, 1
    jal x0, end
    text: .dword 0x0A6F6C6C6568
    request: .dword 64, {descriptor}, {address}, {length}, 0, 0, 0, 0
"""  # fmt: skip


@pytest.mark.parametrize("descriptor, printed", [(1, ("hello\n", "")), (2, ("", "hello\n"))])
def test_prints_by_the_system_call_write(run, descriptor, printed):
    status, out, err = run(WRITE.format(descriptor=descriptor, address="text", length=6))
    assert (out, err.replace("FILE: failed: test 6\n", "")) == printed
    assert status == 6


@pytest.mark.parametrize(
    "descriptor, address, length, status",
    [(3, "text", 6, -9), (1, 0, 6, -9), (1, "text", 1 << 40, -9)],  # EBADF
)
def test_refuses_to_print_what_it_can_not(run, descriptor, address, length, status):
    text = WRITE.format(descriptor=descriptor, address=address, length=length)
    text = text.replace("slli t6, t6, 1", "sub t6, x0, t6\n slli t6, t6, 1")
    assert run(text)[:2] == (-status, "")


def test_prints_on_the_terminal(run):
    text = """
        li t0, 0x0101000000000041
        sd t0, 0(t5)
        wait: ld t1, 0(t5)
        bne t1, x0, wait
        li t0, 0x010100000000000A
        sd t0, 0(t5)
        again: ld t1, 0(t5)
        bne t1, x0, again
        li t6, 1
    """
    assert run(text) == (0, "A\n", "")


@pytest.mark.parametrize(
    "word, said",
    [
        (0x0500_0000_0000_0000, "FILE: tohost has 0x500000000000000, device 5, which there isn't"),
        (0x1000, "FILE: tohost has 0x1000, neither an exit nor an address in RAM"),
    ],
)
def test_requests_that_make_no_sense(run, word, said):
    assert run(f"li t6, {word}") == (255, "", said + "\n")


# Interrupts and time.


def test_an_interrupt_is_taken_right_after_it_is_enabled(run):
    text = """
        la t0, handler
        csrw mtvec, t0
        csrrsi x0, mie, 2
        csrrsi x0, mip, 2
        li t6, 0
        csrrsi x0, mstatus, 8
        addi t6, t6, 2
        addi t6, t6, 2
        handler: addi t6, t6, 1
    """
    assert run(text) == (0, "", "")


def test_wfi_waits_for_the_timer(run):
    text = """
        la t0, handler
        csrw mtvec, t0
        li t0, 0x8000000000000000
        csrw menvcfg, t0
        csrr s0, time
        li t0, 1000000
        add s0, s0, t0
        csrw stimecmp, s0
        li t0, 32
        csrw mie, t0
        wfi
        csrr s1, time
        li t6, 1
        bgeu s1, s0, end
        li t6, 3
        jal x0, end
        .dword 0
        handler: li t6, 5
    """
    assert run(text) == (0, "", "")


def test_a_wait_for_what_can_not_come_is_over_at_once(run):
    assert run(f"wfi\n{PASS}") == (0, "", "")


def test_hangs_only_until_the_timeout(run):
    status, out, err = run(HANG, "--timeout", "0.0001")
    assert (status, out) == (124, "")
    assert err == f"FILE: still running at {BASE + 12:#x} after 0.0001 s of emulated time\n"


def test_wfi_does_not_outlast_the_timeout(run):
    text = """
        li t0, 0x8000000000000000
        csrw menvcfg, t0
        li t0, 0x100000000000
        csrw stimecmp, t0
        li t0, 32
        csrw mie, t0
        wfi
        hang: jal x0, hang
    """
    assert run(text, "--timeout", "0.5")[0] == 124


def test_traps_for_ever(run):
    status, out, err = run("ebreak")
    assert (status, out) == (255, "")
    assert err == "FILE: traps for ever at 0x0: cause 1, tval 0x0\n"


# Modes do not share compiled code.


def test_u_mode_may_not_execute_the_supervisors_hot_code(run):
    """A loop that S-mode has made hot, in a page that is not the user's."""
    text = f"""
        la s0, table
        srli t0, s0, 12
        li t1, 0x8000000000000000
        or t0, t0, t1
        li t2, 0x200000CF                # a page of 1 GiB: A D X W R V
        sd t2, 16(s0)
        csrw satp, t0
        li t0, -1
        csrw pmpaddr0, t0
        li t0, 0x1F                      # RWX of all memory
        csrw pmpcfg0, t0
        la t0, failed
        csrw mtvec, t0
        li t0, 0x800                     # MPP: S
        csrw mstatus, t0
        la t0, loop
        csrw mepc, t0
        li s1, 2000
        mret
        loop: addi s1, s1, -1
        bne s1, x0, loop
        ecall
        failed: csrr t0, mcause
        li t1, 9                         # a call from S: now the same in U
        bne t0, t1, second
        csrw mstatus, x0
        la t0, loop
        csrw mepc, t0
        li s1, 2000
        mret
        second: slli t6, t0, 1
        addi t6, t6, 1
        jal x0, end
        .zero {0x1000 - 0xC0}
        .zero 0x1000
        table: .zero 24
    """
    text = text.replace("la s0, table", f"li s0, {BASE + 0x8000}")
    assert run(text)[0] == 12  # instruction page fault


def test_protection_ends_hot_code(run):
    """A loop that S-mode has made hot, and may not execute any more; M-mode still may."""
    text = """
        la t0, trapped
        csrw mtvec, t0
        li t0, -1
        csrw pmpaddr0, t0
        li s2, 0x1F                      # RWX of all memory
        again: csrw pmpcfg0, s2
        li t0, 0x800                     # MPP: S
        csrw mstatus, t0
        la t0, loop
        csrw mepc, t0
        li s1, 2000
        mret
        loop: addi s1, s1, -1
        bne s1, x0, loop
        ecall
        trapped: csrr t0, mcause
        addi s2, s2, -4                  # without X
        li t1, 0x1B
        beq s2, t1, again
        slli t6, t0, 1
        addi t6, t6, 1
    """
    assert run(text)[0] == 1  # instruction access fault


def test_below_m_mode_nothing_is_allowed_until_pmp_allows_it(run):
    text = """
        la t0, trapped
        csrw mtvec, t0
        csrw mstatus, x0                 # MPP: U
        la t0, user
        csrw mepc, t0
        mret
        user: ecall
        trapped: csrr t0, mcause
        slli t6, t0, 1
        addi t6, t6, 1
    """
    assert run(text)[0] == 1  # instruction access fault


# Extensions.


@pytest.mark.parametrize(
    "isa, status", [((), 0), (("--isa", "rv64gch"), 0), (("--isa", "rv64gc"), 1)]
)
def test_the_isa_string_decides_which_extensions_there_are(run, isa, status):
    text = """
        la t0, absent
        csrw mtvec, t0
        li t6, 1
        csrr t0, hstatus
        jal x0, end
        .dword 0
        absent: li t6, 3
    """
    assert run(text, *isa)[0] == status


# What can't be run.


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"machine": 62}, "FILE: built for x86-64, not for riscv64\n"),
        ({"phnum": 0}, "FILE: no program headers\n"),
        ({"address": 0x1000}, "outside of RAM (0x80000000 to 0x280000000)\n"),
        ({"size": 1 << 40}, "outside of RAM (0x80000000 to 0x280000000)\n"),
        ({"size": 0}, "FILE: nothing to load\n"),
        ({"type": 1}, "FILE: an ELF file that is an object file, not a program\n"),
    ],
)
def test_what_can_not_be_run(tmp_path, capfd, fields, said):
    path = bare(tmp_path / "program", PASS, **fields)
    assert main(["run", "--bios", path]) == 255
    out, err = capfd.readouterr()
    assert out == "" and err.replace(path, "FILE").endswith(said) and err.count("\n") == 1


@pytest.mark.parametrize(
    "path, said", [("/dev/zero", "not a regular file"), ("/nowhere", "No such file or directory"),
                   ("/", "not a regular file"), ("a\0b", "embedded null byte")]
)  # fmt: skip
def test_what_is_no_file(capfd, path, said):
    assert main(["run", "--bios", path]) == 255
    assert capfd.readouterr().err == f"{path}: {said}\n"


@pytest.mark.parametrize(
    "words, status",
    [
        ([], 129),
        (["--bios", "x", "y"], 129),
        (["--bios", "x", "--timeout", "soon"], 129),
        (["--bios", "x", "--timeout", "-1"], 129),
        (["--bios", "x", "--engine", "steam"], 129),
        (["--bios", "x", "--isa", "rv32i"], 234),
    ],
)
def test_command_lines_that_can_not_be_followed(capfd, words, status):
    assert main(["run", *words]) == status
    out, err = capfd.readouterr()
    assert out == "" and err and "Traceback" not in err


def test_damaged_files_never_surprise(tmp_path, capfd):
    """With bytes of headers and symbols spoilt: one line at most, and no traceback."""
    path = bare(tmp_path / "program", PASS)
    data = bytearray((tmp_path / "program").read_bytes())
    behind = data.index(TOHOST.to_bytes(8, "little"), 0x1000)
    for at in [*range(0, 120, 3), *range(behind - 250, behind + 40, 7)]:
        spoilt = bytearray(data)
        spoilt[at] ^= 0xFF
        (tmp_path / "program").write_bytes(spoilt)
        status = main(["run", "--engine", "reference", "--timeout", "1e-5", "--bios", path])
        assert status in (0, 124, 255), at
        assert capfd.readouterr().err.count("\n") <= 1, at
    assert FROMHOST == TOHOST + 8
