"""How the encodings are checked against tools that we did not write."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

AS, OBJCOPY, OBJDUMP = (f"riscv64-linux-gnu-{tool}" for tool in ("as", "objcopy", "objdump"))
ARCH = "rv64gch_zicsr_zifencei_zihintpause_zawrs_zicbom_zicbop_zicboz_zba_zbb_zbs_svinval"


class Binutils:
    """GNU's assembler and disassembler, for the extensions of the table (but Zicond: too new)."""

    def __init__(self, directory: Path):
        self._directory = directory

    def assemble(self, text: str) -> bytes:
        """The bytes of a program in assembly."""
        source, binary = self._object(text), self._directory / "binary"
        subprocess.run(
            [OBJCOPY, "-O", "binary", "-j", ".text", str(source), str(binary)], check=True
        )
        return binary.read_bytes()

    def disassemble(self, words: list[int]) -> list[str]:
        """Each word as an instruction, data if it is none. Mixed lengths: at address 0, 8, 16..."""
        lengths = {4 if word & 3 == 3 else 2 for word in words}
        step = lengths.pop() if len(lengths) == 1 else 8
        code = self._directory / "code"
        # Whatever lies between is an instruction, so that each word is read on its own.
        fill = b"\x01\0" * 3
        with code.open("wb") as out:
            for word in words:
                found = word.to_bytes(4 if word & 3 == 3 else 2, "little")
                out.write((found + fill)[:step])
        source = self._object(f'.incbin "{code}"\n')
        subprocess.run([OBJCOPY, "--strip-all", str(source)], check=True)  # of the mark "data"
        done = subprocess.run(
            [OBJDUMP, "-D", "-j", ".text", "-M", "no-aliases", "-z", str(source)],
            capture_output=True,
            text=True,
            check=True,
        )
        found = {}
        for line in done.stdout.splitlines():
            address, _, rest = line.partition(":\t")
            if rest:
                found[int(address, 16)] = " ".join(rest.split("\t")[1:])
        return [found[step * n] for n in range(len(words))]

    def _object(self, text: str) -> Path:
        path = self._directory / "object"
        subprocess.run(
            [AS, f"-march={ARCH}", "-o", str(path), "-"], input=text, text=True, check=True
        )
        return path


@pytest.fixture(scope="session")
def binutils(tmp_path_factory) -> Binutils:
    """GNU's assembler and disassembler."""
    missing = [tool for tool in (AS, OBJCOPY, OBJDUMP) if not shutil.which(tool)]
    if missing:
        reason = f"not installed: {', '.join(missing)}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return Binutils(tmp_path_factory.mktemp("binutils"))


def normal(text: str) -> str:
    """An instruction's text without spaces, its numbers in decimal, and what comments say."""
    text = re.sub(r"\s*[<#].*", "", text.strip())
    name, _, operands = text.partition(" ")
    operands = re.sub(r"\b0x([0-9a-f]+)\b", lambda found: str(int(found[1], 16)), operands)
    return f"{name} {''.join(operands.split())}".strip()
