"""Mutated ELF files: nothing that is asked about them crashes, hangs, or takes the memory.

python -m tests.symbols.fuzz FIRST COUNT FILE...
"""

import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

from rvperf.symbols import Symbols
from rvperf.symbols.unwind import unwind

SECONDS, MEMORY = 20, 2 << 30
ROOT = Path(__file__).parent.parent.parent


def mutant(whole: bytes, seed: int) -> bytes:
    """The file with something changed: headers, the contents of a section that is read, its end."""
    random = Random(f"elf {seed}")
    data = bytearray(whole)
    table = struct.unpack_from("<Q", whole, 40)[0]
    count = struct.unpack_from("<H", whole, 60)[0]
    sections = [struct.unpack_from("<IIQQQQ", whole, table + 64 * n) for n in range(count)]
    places = [(0, 64 + 56 * 8), (table, 64 * count)]
    places += [(at, size) for _, kind, _, _, at, size in sections if size and kind not in (0, 8)]
    start, size = random.choice(places)
    for _ in range(random.choice((1, 1, 2, 5, 40))):
        at = start + random.randrange(size)
        if at + 8 > len(data):
            continue
        kind = random.random()
        if kind < 0.4:
            data[at] ^= 1 << random.randrange(8)
        elif kind < 0.7:
            data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        else:
            wide = random.choice((2, 4, 8))
            value = random.getrandbits(8 * wide) >> random.randrange(8 * wide)
            data[at : at + wide] = value.to_bytes(wide, "little")
    if random.random() < 0.1:
        del data[random.randrange(len(data)) :]
    return bytes(data)


def ask(path: str, random: Random) -> None:
    """Everything that can be asked about a file."""
    dso = Symbols(buildid_dir="/nonexistent").dso(path)
    assert (dso.why is None) == (len(dso.table) > 0)
    addresses = [random.randrange(os.path.getsize(path) + 1) for _ in range(20)]
    addresses += [0, (1 << 64) - 1]
    dso.symbols_of(addresses)
    for symbol in dso.symbols[:50]:
        addresses.append(symbol.start)
    for address in addresses:
        symbol = dso.symbol(address)
        assert symbol is None or symbol.start <= address
        for line in dso.lines(address):
            assert line.line >= 0
        dso.disassemble(address, address + 40)
        dso.code(address, 16)
        dso.virtual_address(address)
        dso.objdump_address(address)
    for fde in dso.cfi.fdes[:30]:
        registers = [fde.start, *(random.getrandbits(random.choice((12, 64))) for _ in range(31))]
        ips = unwind(
            registers,
            lambda address, size: random.randbytes(size) if random.random() < 0.9 else None,
            lambda ip: (dso, 0, 0),
        )
        assert 1 <= len(ips) <= 127


def ask_mutants(first: int, count: int, files: list[str]) -> None:
    """Ask about mutants in this process, each one's seed on stdout before."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(first, first + count):
            print(seed, flush=True)
            signal.alarm(SECONDS)
            # A new name, as the kernel may still have pages of the last one mapped.
            path = Path(scratch, str(seed))
            path.write_bytes(mutant(Path(files[seed % len(files)]).read_bytes(), seed))
            ask(str(path), Random(f"questions {seed}"))
            path.unlink()
    signal.alarm(0)


def fuzz_elves(count: int, files: list[str], seed: int = 0) -> int:
    """Ask about `count` mutants in a process; AssertionError if it crashes or hangs."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.symbols.fuzz", str(seed), str(count), *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    last = (done.stdout.split() or ["none"])[-1]
    assert done.returncode == 0, f"mutant {last}: {done.returncode}\n{done.stderr[-3000:]}"
    return count


if __name__ == "__main__":
    ask_mutants(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
