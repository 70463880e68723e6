"""Real programs to run: a sysroot of Debian 13's riscv64 packages, fetched once with apt.

apt works in a root of its own here, so the machine's package state is neither used nor touched,
and no privilege is needed. The mirror is the one that the machine's own apt is set up with.

    python -m tests.oracles.debian      prints where the sysroot is, after making it if need be
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.oracles import CACHE

SUITE = "trixie"
PACKAGES = (
    "base-files busybox-static coreutils dash bash lua5.4 sqlite3 gzip bzip2 xz-utils zstd gawk jq"
    " perl-base bc m4 python3.13-minimal"
).split()
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Missing(Exception):
    """Why there is no sysroot."""


def sysroot() -> Path:
    """The sysroot, made now if there is none yet. Raises Missing when it can't be made."""
    wanted = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    root = CACHE / f"sysroot-{wanted}"
    if root.exists():
        return root
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "sysroot.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                unpack(fetch(Path(scratch) / "apt"), Path(scratch) / "root")
                (Path(scratch) / "root").rename(root)
    return root


def missing() -> str | None:
    """Why there is no sysroot, or None when there is one."""
    try:
        sysroot()
    except Missing as why:
        return str(why)
    return None


def mirror() -> str:
    """The Debian archive that this machine's apt uses."""
    lines = called(
        "apt-get",
        "indextargets",
        "--format",
        "$(ORIGIN) $(LABEL) $(REPO_URI)",
        "Created-By: Packages",
    ).splitlines()
    labelled = [line.split()[-1] for line in lines if line.startswith("Debian Debian ")]
    # Without package lists there are no labels to go by.
    uris = re.findall(r"^'(\S+)/dists/", called("apt-get", "update", "--print-uris"), re.MULTILINE)
    named = [uri for uri in uris if uri.endswith("/debian")]
    if not labelled + named:
        raise Missing("this machine's apt has no Debian archive among its sources")
    return (labelled + named)[0]


def fetch(apt: Path) -> list[Path]:
    """Download the packages and what they depend on, into an apt root of our own."""
    if not KEYRING.exists():
        raise Missing(f"{KEYRING} isn't there (package debian-archive-keyring)")
    archive = mirror()
    for directory in ("lists/partial", "cache/archives/partial", "sources", "log"):
        (apt / directory).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources/debian.sources").write_text(
        f"Types: deb\nURIs: {archive}\nSuites: {SUITE}\nComponents: main\n"
        f"Architectures: riscv64\nSigned-By: {KEYRING}\n"
    )
    settings = {
        "APT::Architecture": "riscv64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",  # no other user could read this directory
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",  # the locks are root's, and nobody else is here
        "Dir::Cache": apt / "cache",
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": apt / "sources",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::Log": apt / "log",
        "Dir::State": apt,
        "Dir::State::Lists": apt / "lists",
        "Dir::State::Status": apt / "status",
    }
    conf = apt / "apt.conf"
    conf.write_text(
        'APT::Architectures { "riscv64"; };\n'
        + "".join(f'{name} "{value}";\n' for name, value in settings.items())
    )
    called("apt-get", "-q", "update", APT_CONFIG=str(conf))
    called("apt-get", "-q", "-y", "--download-only", "install", *PACKAGES, APT_CONFIG=str(conf))
    return sorted((apt / "cache/archives").glob("*.deb"))


def unpack(packages: list[Path], root: Path) -> None:
    """Unpack, without running the packages' scripts, below a merged /usr."""
    for directory in ("bin", "sbin", "lib"):
        (root / "usr" / directory).mkdir(parents=True)
        (root / directory).symlink_to(f"usr/{directory}")
    for directory in ("etc", "tmp", "root"):
        (root / directory).mkdir()
    for package in packages:
        called("dpkg", "-x", str(package), str(root))
    (root / "etc/ld.so.cache").touch()  # or qemu-riscv64 -L would show the guest the host's
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\n")


def called(*command: str, **env: str) -> str:
    """What a command prints; Missing if it isn't there or fails."""
    if not shutil.which(command[0]):
        raise Missing(f"{command[0]} isn't installed")
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Missing(f"{' '.join(command[:4])} failed: {last}")
    return done.stdout


if __name__ == "__main__":
    print(sysroot())
