"""Where the guest may look and where it may write."""

import errno
import os
import random

import pytest

from .calling import Caller

CWD, WRONLY, CREAT, EXCL, TRUNC, DIRECTORY = -100, 1, 0o100, 0o200, 0o1000, 0o200000
NOFOLLOW_AT, REMOVEDIR = 0x100, 0x200


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Directories to be in, to stay out of, and a sysroot.

    They lie below /tmp, which a guest may write in; so the tests move the writable /tmp away.
    """
    from rvperf.stack.kernel import paths

    class Elsewhere(paths.Paths):
        def __init__(self, sysroot, writable):
            super().__init__(sysroot, [root for root in writable if root != "/tmp"])

    monkeypatch.setattr("rvperf.stack.kernel.Paths", Elsewhere)
    for name in ("inside", "outside", "extra", "root/etc", "root/usr/bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "outside/secret").write_text("secret")
    (tmp_path / "root/etc/name").write_text("sysroot")
    return tmp_path


@pytest.fixture
def call(place):
    return Caller(place / "inside", str(place / "root"), [str(place / "extra")])


def open_(call, path, flags=0, mode=0o644):
    return call("openat", CWD, str(path), flags, mode)


def read(call, fd, count=100):
    at = call.room(count)
    x = call("read", fd, at, count)
    return call.memory.read(at, x) if x >= 0 else x


def test_cwd_tmp_and_what_is_named_can_be_written(call, place):
    for path in ("new", place / "inside/other", place / "extra/third", "../extra/fourth"):
        assert open_(call, path, WRONLY | CREAT) >= 3
    assert (place / "extra/fourth").exists()


def test_the_real_tmp_can_be_written(tmp_path):
    call = Caller(tmp_path)
    name = f"/tmp/rvperf-test-{os.getpid()}"
    assert open_(call, name, WRONLY | CREAT) >= 3
    assert call("unlinkat", CWD, name, 0) == 0


ESCAPES = [
    "../outside/new",
    "{base}/outside/new",
    "../inside/../outside/new",
    "link/new",
    "deep/link/new",
    "absolute/new",
    "/etc/new",
    "/proc/new",
    "/dev/new",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_nothing_is_created_elsewhere(call, place, path):
    (place / "inside/link").symlink_to("../outside")
    (place / "inside/deep").mkdir()
    (place / "inside/deep/link").symlink_to("../../outside")
    (place / "inside/absolute").symlink_to(place / "outside")
    path = path.format(base=place)
    assert open_(call, path, WRONLY | CREAT) in (-errno.EACCES, -errno.ENOENT)
    assert call("mkdirat", CWD, path, 0o755) in (-errno.EACCES, -errno.ENOENT, -errno.EEXIST)
    assert call("symlinkat", "x", CWD, path) in (-errno.EACCES, -errno.ENOENT, -errno.EEXIST)
    assert call("mknodat", CWD, path, 0o100644, 0) in (
        -errno.EACCES,
        -errno.ENOENT,
        -errno.EEXIST,
    )
    assert [path.name for path in (place / "outside").iterdir()] == ["secret"]


def test_what_lies_elsewhere_is_not_changed(call, place):
    (place / "inside/hard").write_text("mine")
    secret = place / "outside/secret"
    (place / "inside/link").symlink_to(secret)
    for path in (secret, "../outside/secret", "link"):
        path = str(path)
        assert open_(call, path, WRONLY) == -errno.EACCES
        assert open_(call, path, TRUNC) == -errno.EACCES
        assert open_(call, path, WRONLY | CREAT | TRUNC) == -errno.EACCES
        assert call("truncate", path, 0) == -errno.EACCES
        assert call("fchmodat", CWD, path, 0o777) == -errno.EACCES
        assert call("utimensat", CWD, path, 0, 0) == -errno.EACCES
        assert call("faccessat", CWD, path, 2) == -errno.EACCES
    path = str(secret)
    assert call("unlinkat", CWD, path, 0) == -errno.EACCES
    assert call("unlinkat", CWD, str(place / "outside"), REMOVEDIR) == -errno.EACCES
    assert call("renameat2", CWD, path, CWD, "mine", 0) == -errno.EACCES
    assert call("renameat2", CWD, "hard", CWD, path, 0) == -errno.EACCES
    assert call("renameat2", CWD, "hard", CWD, str(place / "outside/new"), 0) == -errno.EACCES
    assert secret.read_text() == "secret"


def test_a_hard_link_is_no_way_out(call, place):
    path = str(place / "outside/secret")
    assert call("linkat", CWD, path, CWD, "mine", 0) == -errno.EACCES
    (place / "inside/link").symlink_to(place / "outside/secret")
    assert call("linkat", CWD, "link", CWD, "mine", 0x400) == -errno.EACCES
    assert call("linkat", CWD, "link", CWD, "mine", 0) == 0  # the link itself
    assert os.path.islink(place / "inside/mine")
    assert open_(call, "mine", WRONLY) == -errno.EACCES


def test_a_link_that_the_guest_makes_is_not_followed_out(call, place):
    assert call("symlinkat", str(place / "outside"), CWD, "out") == 0
    assert call("symlinkat", "../outside/secret", CWD, "file") == 0
    assert open_(call, "file", WRONLY) == -errno.EACCES
    assert open_(call, "out/new", WRONLY | CREAT) == -errno.EACCES
    assert open_(call, "file", WRONLY | CREAT | EXCL) == -errno.EEXIST
    assert read(call, open_(call, "file")) == b"secret"


def test_a_descriptor_of_a_directory_is_no_way_out(call, place):
    fd = open_(call, "../outside", DIRECTORY)
    assert fd >= 3
    assert call("openat", fd, "new", WRONLY | CREAT, 0o644) == -errno.EACCES
    assert call("unlinkat", fd, "secret", 0) == -errno.EACCES
    assert call("fchdir", fd) == 0
    assert open_(call, "new", WRONLY | CREAT) == -errno.EACCES


def test_a_file_open_for_reading_is_not_changed_through_it(call, place):
    fd = open_(call, place / "outside/secret")
    assert call("write", fd, b"x", 1) == -errno.EBADF
    assert call("ftruncate", fd, 0) == -errno.EINVAL
    assert call("fchmod", fd, 0o777) == -errno.EACCES
    assert call("utimensat", fd, 0, 0, 0) == -errno.EACCES
    assert call("mmap", 0, 4096, 3, 1, fd, 0) == -errno.EACCES
    at = call("mmap", 0, 4096, 1, 1, fd, 0)
    assert call("mprotect", at, 4096, 3) == -errno.EACCES
    again = open_(call, f"/proc/self/fd/{fd}", WRONLY)
    assert again == -errno.EACCES


def test_the_writable_directory_itself_stays(call, place):
    assert call("renameat2", CWD, str(place / "extra"), CWD, "mine", 0) == -errno.EACCES
    assert call("unlinkat", CWD, str(place / "extra"), REMOVEDIR) == -errno.EACCES
    assert (place / "extra").is_dir()


def test_permission_bits_that_lend_rights_are_dropped(call, place):
    assert open_(call, "new", WRONLY | CREAT, 0o6755) >= 3
    assert call("fchmodat", CWD, "new", 0o6777) == 0
    assert (place / "inside/new").stat().st_mode & 0o7777 == 0o777


def test_absolute_paths_are_the_sysroots_first(call, place):
    assert read(call, open_(call, "/etc/name")) == b"sysroot"
    assert read(call, open_(call, place / "outside/secret")) == b"secret"


def test_links_in_the_sysroot_stay_there(call, place):
    (place / "root/etc/up").symlink_to("../../../../../../etc/name")
    (place / "root/etc/absolute").symlink_to("/etc/name")
    assert read(call, open_(call, "/etc/up")) == b"sysroot"
    assert read(call, open_(call, "/etc/absolute")) == b"sysroot"
    assert read(call, open_(call, f"{place}/root/etc/absolute")) == b"sysroot"
    assert read(call, open_(call, "/../../etc/name")) == b"sysroot"


def test_inside_the_sysroot_up_ends_at_its_root(call, place):
    assert call("chdir", "/etc") == 0
    at = call.room(100)
    n = call("getcwd", at, 100)
    assert call.memory.read(at, n) == b"/etc\0"
    assert call("chdir", "../../../..") == 0
    n = call("getcwd", at, 100)
    assert call.memory.read(at, n) == b"/\0"
    assert read(call, open_(call, "etc/name")) == b"sysroot"


def test_cwd_is_the_hosts_own(call, place):
    at = call.room(300)
    n = call("getcwd", at, 300)
    assert call.memory.read(at, n) == f"{place}/inside".encode() + b"\0"
    assert call("getcwd", at, 5) == -errno.ERANGE


def test_cwd_inside_the_sysroot_keeps_its_name(place):
    call = Caller(place / "root/etc", str(place / "root"))
    at = call.room(300)
    n = call("getcwd", at, 300)
    assert call.memory.read(at, n) == f"{place}/root/etc".encode() + b"\0"
    assert open_(call, "new", WRONLY | CREAT) >= 3
    assert (place / "root/etc/new").exists()


@pytest.mark.parametrize(
    "path, number",
    [
        ("", errno.ENOENT),
        ("x" * 300, errno.ENAMETOOLONG),
        ("program/x", errno.ENOTDIR),
        ("program/", errno.ENOTDIR),
        ("loop", errno.ELOOP),
        ("nothing/x", errno.ENOENT),
        ("broken", errno.ENOENT),
    ],
)
def test_lookup_errors_are_linux_s(call, place, path, number):
    (place / "inside/loop").symlink_to("loop")
    (place / "inside/broken").symlink_to("nowhere")
    assert open_(call, path) == -number
    assert call("newfstatat", CWD, path, call.room(128), 0) == -number


def test_host_devices_and_pipes_are_not_opened(call, place):
    os.mkfifo(place / "inside/fifo")
    assert open_(call, "fifo") == -errno.ENXIO
    assert open_(call, "/dev/mem") == -errno.ENOENT
    assert open_(call, "/dev/../proc/1/mem") == -errno.ENOENT
    assert open_(call, "/proc/1/environ") == -errno.ENOENT
    assert open_(call, "/sys/kernel/notes") == -errno.ENOENT


def test_links_to_proc_lead_to_ours(call, place):
    (place / "inside/p").symlink_to("/proc/version")
    up = "../" * 40
    (place / "inside/q").symlink_to(f"{up}proc/version")
    for name in ("p", "q"):
        assert b"rvperf" in read(call, open_(call, name))


def test_proc_self_exe_is_the_program(call, place):
    at = call.room(300)
    n = call("readlinkat", CWD, "/proc/self/exe", at, 300)
    assert call.memory.read(at, n) == f"{place}/inside/program".encode()
    assert read(call, open_(call, "/proc/self/exe"), 4) == b"\x7fELF"


def test_directories_list_in_order(call, place):
    for name in ("c", "a", "b"):
        (place / "inside" / name).touch()
    fd = open_(call, ".", DIRECTORY)
    at = call.room(1000)
    n = call("getdents64", fd, at, 1000)
    raw, names = call.memory.read(at, n), []
    while raw:
        length = int.from_bytes(raw[16:18], "little")
        names.append(raw[19:length].split(b"\0")[0].decode())
        raw = raw[length:]
    assert names == [".", "..", "a", "b", "c", "program"]
    assert call("getdents64", fd, at, 1000) == 0


NAMES = ("a", "b", "a/b", "b/a", ".", "..", "../outside", "../outside/secret", "a/../..", "b/../a")


def tree(root):
    """Everything below a directory: names, kinds, permissions, contents."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        data = os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        found[str(path)] = (status.st_mode, status.st_nlink, status.st_mtime_ns, data)
    return found, root.lstat().st_mode


@pytest.mark.parametrize("seed", range(8))
def test_no_sequence_of_calls_changes_what_lies_elsewhere(place, seed):
    choose = random.Random(seed)
    call = Caller(place / "inside", str(place / "root"))
    before = (tree(place / "outside"), tree(place / "root"), tree(place / "extra"))
    roots = (
        *NAMES,
        "/etc/name",
        "/etc",
        "/",
        *(f"{place}/{name}" for name in ("outside", "inside")),
    )
    changed = 0
    for _ in range(400):
        one, two = choose.choice(roots), choose.choice(roots)
        if choose.random() < 0.3:
            one = f"{one}/{choose.choice(NAMES)}"
        directory = choose.choice((CWD, CWD, *call.task.descriptors.open))
        operations = (
            ("symlinkat", two, directory, one),
            ("mkdirat", directory, one, 0o777),
            ("renameat2", directory, one, CWD, two, 0),
            ("linkat", directory, one, CWD, two, choose.choice((0, 0x400))),
            ("unlinkat", directory, one, choose.choice((0, REMOVEDIR))),
            ("fchmodat", directory, one, choose.choice((0o777, 0o700))),
            ("truncate", one, 3),
            ("utimensat", directory, one, 0, choose.choice((0, NOFOLLOW_AT))),
            ("mknodat", directory, one, 0o100666, 0),
            ("chdir", one),
            ("openat", directory, one, choose.choice((0, DIRECTORY)), 0),
            ("openat", directory, one, choose.choice((TRUNC, WRONLY | CREAT)), 0o666),
        )
        changed += call(*choose.choice(operations)) >= 0
        for number in [number for number in call.task.descriptors.open if number > 20]:
            call("close", number)
    assert changed > 5
    assert before == (tree(place / "outside"), tree(place / "root"), tree(place / "extra"))
