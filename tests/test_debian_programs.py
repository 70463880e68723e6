"""Real Debian programs print, end and count under rvperf as they do under qemu-riscv64."""

import json
import os
import random
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.oracles import debian, need, qemu
from tests.subject import counted, rvperf

# The guest's whole environment, under both: its length shows in the counts. HOME and
# XDG_CACHE_HOME are there because rvperf itself needs to know where its cache is.
ENV = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "TZ": "UTC",
    "TERM": "dumb",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PERL_HASH_SEED": "0",
} | {name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME") if name in os.environ}


@dataclass(frozen=True)
class Case:
    """A command line, split as a shell would, with a file of the test's own for stdin."""

    id: str
    command: str
    stdin: str | None = None
    varies: str | None = None
    """Why its instruction count differs further from QEMU's, if it does."""

    @property
    def argv(self) -> list[str]:
        return shlex.split(self.command)


# Where Linux 6.12 and QEMU 7.2 differ in every program with Debian 13's glibc, by how many
# instructions a call: its choice of a memcpy reads an answer of riscv_hwprobe (ld bltz ld li and
# beq), and it notes that set_robust_list has worked (three instructions).
HWPROBE, ROBUST = 6, 3

# Where they differ because of what a program asks for.
ADDRESSES = "it hashes or compares addresses"
MEMORY_MAP = "it reads its own /proc/self/maps"
FREE_MEMORY = "it looks how much memory is free, which under QEMU is the host's and changes"
PROBE = "libcrypto asks riscv_hwprobe by itself"
PROCESSES = "it writes its parent's process number in decimal"
PROCESSORS = "it asks how many processors there are"
PROC = "it reads /proc/filesystems, which is the host's under QEMU"
RANDOM = "it seeds its hashes at random"

CASES = [
    Case("busybox-echo", "busybox echo hello world"),
    Case("busybox-sha", "busybox sha256sum text.txt table.csv"),
    Case("busybox-sort", "busybox sort -t, -k3,3n table.csv"),
    Case("busybox-sed", "busybox sed -n s/the/THE/gp text.txt"),
    Case(
        "busybox-sh",
        "busybox sh -c 'i=0; while [ $i -lt 500 ]; do i=$((i+1)); done; echo $i'",
        varies=PROCESSES,
    ),
    Case("busybox-missing-file", "busybox cat no-such-file"),
    Case("ls", "ls -1 .", varies=PROC),
    # Without -S it would ask how much memory is free, which under QEMU is the host's.
    Case("sort", "sort --parallel=1 -S 4M -t, -k3,3n table.csv", varies=FREE_MEMORY),
    Case("sha256sum", "sha256sum text.txt table.csv data.json", varies=PROBE),
    Case("md5sum-stdin", "md5sum", "text.txt", varies=PROBE),
    Case("wc", "wc text.txt table.csv"),
    Case("cut", "cut -d, -f2,4 table.csv"),
    Case("tr", "tr a-z A-Z", "text.txt"),
    Case("base64", "base64 table.csv"),
    Case("factor", "factor 1234567890123456789 998244353 1000000007"),
    Case("seq", "seq 1 0.5 400"),
    Case("od", "od -A x -t x1z data.json"),
    Case("uniq", "uniq -c", "text.txt"),
    Case("expr-status", "expr 1 = 2"),
    Case("cat-missing-file", "cat no-such-file"),
    Case(
        "dash",
        "dash -c 'i=0; s=0; while [ $i -lt 3000 ]; do s=$((s+i)); i=$((i+1)); done;"
        " echo $s; exit 7'",
        varies=PROCESSES,
    ),
    Case(
        "bash",
        "bash -c 'declare -A m; while read -r w _; do ((m[x$w]++)); done < text.txt;"
        " echo ${#m[@]}; [[ abc123 =~ ([0-9]+) ]] && echo ${BASH_REMATCH[1]}; printf %05d 42'",
        varies=PROCESSES,
    ),
    Case("lua", "lua5.4 fib.lua", varies=ADDRESSES),
    Case("sqlite", "sqlite3 :memory:", "query.sql"),
    Case("gzip", "gzip -9nc text.txt"),
    Case("bzip2", "bzip2 -c text.txt"),
    Case("xz", "xz -1c --threads=1 text.txt", varies=PROCESSORS),
    Case("zstd", "zstd -3 -c --single-thread --no-progress -q text.txt", varies=ADDRESSES),
    Case(
        "gawk",
        "gawk '{ for (i = 1; i <= NF; i++) n[$i]++ } END { m = asorti(n, k);"
        ' for (i = 1; i <= m; i++) printf "%s %d %.3f\\n", k[i], n[k[i]], log(n[k[i]]) }\''
        " text.txt",
        varies=ADDRESSES,
    ),
    Case(
        "jq",
        "jq -c 'group_by(.tag) | map({tag: .[0].tag, n: length, sum: (map(.value) | add)})'"
        " data.json",
        varies=RANDOM,
    ),
    Case(
        "perl",
        'perl -ne \'$c{lc $1}++ while /(\\w+)/g; END { print map { "$_ $c{$_}\\n" }'
        " sort { $c{$b} <=> $c{$a} || $a cmp $b } keys %c }' text.txt",
        varies=RANDOM,
    ),
    Case("bc", "bc -lq pi.bc"),
    Case("m4", "m4 loop.m4", varies=MEMORY_MAP),
    Case("python-hello", "python3.13 -s -S -c 'print(\"hello\")'", varies=ADDRESSES),
    Case("python-sieve", "python3.13 -s -S sieve.py", varies=ADDRESSES),
    Case("python-status", "python3.13 -s -S -c 'import sys; sys.exit(3)'", varies=ADDRESSES),
]


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """A directory of files that are the same on every run."""
    there = tmp_path_factory.mktemp("inputs")
    rng = random.Random(2)
    words = ["the", "of", "a", "to"] + [
        "".join(rng.choices("abcdefghilmnoprstuvw", k=rng.randint(2, 9))) for _ in range(400)
    ]
    lines = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(6000)]
    (there / "text.txt").write_text("\n".join(lines) + "\n")
    (there / "table.csv").write_text(
        "".join(
            f"{i},{rng.choice(words)},{rng.randint(-(10**6), 10**6)},{rng.random():.6f}\n"
            for i in range(8000)
        )
    )
    (there / "data.json").write_text(
        json.dumps(
            [
                {
                    "id": i,
                    "tag": rng.choice(words[:20]),
                    "value": round(rng.uniform(-9, 9), 4),
                    "nested": {"list": rng.choices(range(100), k=4), "text": rng.choice(lines)},
                }
                for i in range(1200)
            ]
        )
    )
    (there / "fib.lua").write_text(
        "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end\n"
        "print(fib(20), 2^0.5, math.pi, ('x'):rep(3), 7 // 2, 1e15)\n"
        "print(pcall(error, 'caught'))\n"
        "local t = {} for i = 1, 2000 do t[i] = (i * 7919) % 2003 end table.sort(t)\n"
        "print(t[1], t[1000], t[2000], select('#', table.unpack(t, 1, 50)))\n"
    )
    (there / "query.sql").write_text(
        "create table t(id integer primary key, tag text, x real);\n"
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)\n"
        "insert into t select i, 'tag' || (i * 31 % 17), sqrt(i) * 1.5 from n;\n"
        "select tag, count(*), round(avg(x), 6), max(x) from t group by tag order by tag;\n"
        "select hex(id), printf('%.10f', x) from t where id % 997 = 0;\n"
    )
    (there / "pi.bc").write_text("scale=80\n4*a(1)\ne(1)\n2^200\nsqrt(2)\n")
    (there / "loop.m4").write_text(
        "define(`count', `ifelse($1, 0, , `$1 count(decr($1))')')dnl\n"
        "count(200)\neval(2 ** 20) len(`abcdef') substr(`abcdef', 2, 3)\n"
    )
    (there / "sieve.py").write_text(
        "import re\n"
        "n = 20000\nflags = bytearray([1]) * n\n"
        "for i in range(2, 142):\n"
        "    if flags[i]:\n"
        "        flags[i * i::i] = bytes(len(range(i * i, n, i)))\n"
        "print(sum(flags) - 2, 3 ** 300 % 10 ** 40, 0.1 + 0.2, hash('a') & 1)\n"
        "print(sorted(re.findall(r'[a-z]+', open('text.txt').read()[:20000]))[:10])\n"
        "print(sorted({str(x * 7919 % 1009) for x in range(2000)})[:5])\n"
    )
    return there


@pytest.fixture(scope="session")
def sysroot():
    """The sysroot of Debian's packages; its tests are skipped without one."""
    need(qemu.missing())
    need(debian.missing())
    return debian.sysroot()


def argv_of(case: Case, sysroot: Path) -> list[str]:
    """The command line with the program's whole path: QEMU, too, puts that path on its stack."""
    return [qemu.located(case.argv[0], sysroot), *case.argv[1:]]


def stdin_of(case: Case, inputs: Path) -> bytes:
    return (inputs / case.stdin).read_bytes() if case.stdin else b""


def test_the_oracle_runs_every_command_line(sysroot, inputs):
    """A command line that prints nothing, or that QEMU can't run, would prove nothing."""
    for case in CASES:
        run = qemu.run(
            argv_of(case, sysroot),
            sysroot=sysroot,
            cwd=inputs,
            env=ENV,
            stdin=stdin_of(case, inputs),
        )
        assert run.exit in (0, 1, 3, 7), (case.id, run)
        assert run.stdout or run.exit, (case.id, run)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_prints_ends_and_counts_as_under_qemu(case, sysroot, inputs, tmp_path):
    need(qemu.cannot_count())
    argv = argv_of(case, sysroot)
    expected = qemu.count(
        argv, classes=False, sysroot=sysroot, cwd=inputs, env=ENV, stdin=stdin_of(case, inputs)
    )
    done = rvperf(
        "stat",
        "-x,",
        "-e",
        "instructions:u",
        "-o",
        tmp_path / "counts",
        "--sysroot",
        sysroot,
        "--",
        *argv,
        cwd=inputs,
        env=ENV,
        input=stdin_of(case, inputs),
    )
    assert done.stderr == expected.stderr
    assert done.stdout == expected.stdout
    assert done.returncode == expected.exit
    count = counted((tmp_path / "counts").read_text())["instructions:u"]
    if not case.varies:
        if not expected.unprobed:
            need("this QEMU answers riscv_hwprobe, as another hart than ours")
        differ = HWPROBE * expected.unprobed + ROBUST * expected.unrobust
        assert count == expected.instructions + differ
