"""Layers: Debian's base by debootstrap, and packages installed over it in an overlay."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUSYBOX = Path("/bin/busybox")
# What no container needs of a package, and what differs from one installation to the next.
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian",
            "usr/share/gnome", "usr/include", "var/lib/apt/lists", "var/cache/apt", "var/cache/debconf",
            "var/cache/ldconfig", "var/log/apt", "var/log/dpkg.log", "var/log/alternatives.log",
            "var/log/bootstrap.log", "etc/machine-id", "etc/hostname", "etc/resolv.conf", "usr/sbin/policy-rc.d",
            "var/lib/dpkg/status-old", "var/lib/dpkg/available-old", "etc/passwd-", "etc/group-",
            "etc/shadow-", "etc/gshadow-", "proc", "sys", "dev")
EMPTY = ("proc", "sys", "dev", "var/log/apt", "var/lib/apt/lists")


class Failed(Exception):
    """What was tried and how it ended."""


def run(words, log, **options):
    with open(log, "ab") as output:
        done = subprocess.run(list(map(str, words)), stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                              **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))[:200]}: exit code {done.returncode}; see {log}")


def is_left_out(name):
    return any(name == part or name.startswith(part + "/") for part in LEFT_OUT)


def tar_entry(name, status):
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    return entry


def add_path(tar, name, path, links):
    """One file, as it is; what overlayfs writes for a deleted one becomes a whiteout."""
    status = os.lstat(path)
    entry = tar_entry(name, status)
    if stat.S_ISCHR(status.st_mode):
        if status.st_rdev == 0:
            entry = tarfile.TarInfo(os.path.join(os.path.dirname(name), ".wh." + os.path.basename(name)))
            tar.addfile(entry)
        return
    if stat.S_ISLNK(status.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif stat.S_ISDIR(status.st_mode):
        entry.type = tarfile.DIRTYPE
    elif stat.S_ISREG(status.st_mode):
        first = links.setdefault((status.st_dev, status.st_ino), name)
        if first != name:
            entry.type, entry.linkname = tarfile.LNKTYPE, first
        else:
            entry.size = status.st_size
            with open(path, "rb") as file:
                tar.addfile(entry, file)
            return
    else:
        return  # a socket or a pipe: made anew by whoever needs it
    tar.addfile(entry)


def write_layer(folder, output):
    """The folder as a tar archive, by name, without times."""
    links = {}
    with tarfile.open(output, "w", format=tarfile.PAX_FORMAT) as tar:
        for here, folders, files in os.walk(folder):
            folders.sort()
            inside = os.path.relpath(here, folder)
            inside = "" if inside == "." else inside + "/"
            names = sorted(folders + files)
            for name in names:
                if not is_left_out(inside + name):
                    add_path(tar, inside + name, os.path.join(here, name), links)
            folders[:] = [name for name in folders if not is_left_out(inside + name)
                          and not os.path.islink(os.path.join(here, name))]
        for name in EMPTY:
            if os.path.isdir(os.path.join(folder, name)):
                tar.addfile(directory_entry(name))


def directory_entry(name):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


class Workshop:
    """The layers of one release of Debian, made when they are first asked for."""

    def __init__(self, folder, suite, mirror):
        self.folder, self.suite, self.mirror = folder, suite, mirror
        self.log = folder / "build.log"
        folder.mkdir(parents=True, exist_ok=True)

    def layers(self, name, definition):
        """The paths of its layers' archives, lowest first."""
        if definition.get("alone"):
            return [self.kept(f"{name}-{self.stamp(name, definition)}", self.busybox, definition)]
        layers = [self.base_layer()]
        if "packages" in definition:
            layers.append(self.kept(f"{name}-{self.stamp(name, definition)}", self.packages, name, definition))
        return layers

    def base_layer(self):
        return self.kept("base", lambda output: write_layer(self.base(), output))

    def stamp(self, name, definition):
        """Changes when what the layer is made of does."""
        made_of = hashlib.sha256(json.dumps({key: definition.get(key) for key in ("packages", "commands", "before")})
                                 .encode())
        for path in sorted((HERE / name).rglob("*")):
            if path.is_file():
                made_of.update(f"{path.relative_to(HERE)} {path.stat().st_mode:o}".encode() + path.read_bytes())
        return made_of.hexdigest()[:12]

    def kept(self, name, make, *arguments):
        """The archive of that name; made beside its place, so that half of one is never taken for it."""
        output = self.folder / f"{name}.tar"
        if not output.exists():
            half = self.folder / f"{name}.half"
            make(*arguments, half)
            half.rename(output)
        return output

    def base(self):
        """The root file system of Debian's smallest variant."""
        base = self.folder / "base"
        if not base.exists():
            half = self.folder / "base.half"
            shutil.rmtree(half, ignore_errors=True)
            if not shutil.which("debootstrap"):
                raise Failed("debootstrap is not installed: apt install debootstrap")
            print("debian: the base, by debootstrap (a minute)", flush=True)
            run(["debootstrap", "--variant=minbase", "--include=ca-certificates", self.suite, half, self.mirror],
                self.log)
            half.rename(base)
        return base

    def busybox(self, definition, output):
        del definition
        folder = self.folder / "busybox.work"
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin",
                     "sbin", "var/log", "var/www", "var/spool/cron/crontabs"):
            (folder / name).mkdir(parents=True)
        (folder / "tmp").chmod(0o1777)
        (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n"
                                           "www-data:x:33:33:www-data:/var/www:/bin/false\n"
                                           "nobody:x:65534:65534:nobody:/home:/bin/false\n")
        (folder / "etc/group").write_text("root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n")
        shutil.copy(BUSYBOX, folder / "bin/busybox")
        applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
        for applet in set(applets) - {"busybox"}:
            (folder / "bin" / applet).symlink_to("busybox")
        write_layer(folder, output)
        shutil.rmtree(folder)

    def packages(self, name, definition, output):
        print(f"{name}: {' '.join(definition['packages'])}", flush=True)
        work = self.folder / f"{name}.work"
        root, upper, shared = work / "root", work / "upper", self.folder / "apt"
        unmount(root)
        shutil.rmtree(work, ignore_errors=True)
        for folder in (root, upper, work / "work", shared / "lists/partial", shared / "archives/partial"):
            folder.mkdir(parents=True, exist_ok=True)
        run(["mount", "-t", "overlay", "overlay", "-o",
             f"lowerdir={self.base()},upperdir={upper},workdir={work / 'work'}", root], self.log)
        try:
            run(["mount", "-t", "proc", "proc", root / "proc"], self.log)
            for source, target in ((shared / "lists", "var/lib/apt/lists"), (shared / "archives", "var/cache/apt/archives"),
                                   ("/dev", "dev"), ("/etc/resolv.conf", "etc/resolv.conf")):
                if source == "/etc/resolv.conf":
                    (root / target).touch()
                run(["mount", "--bind", source, root / target], self.log)
            self.install(root, name, definition)
        finally:
            unmount(root)
        write_layer(upper, output)
        shutil.rmtree(work)

    def install(self, root, name, definition):
        policy = root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")  # no service is started by its installation
        policy.chmod(0o755)
        self.inside(root, "apt-get update -q")
        for command in definition.get("before", []):
            self.inside(root, command)
        self.inside(root, "apt-get install -q -y --no-install-recommends -o APT::Sandbox::User=root "
                    "-o APT::Keep-Downloaded-Packages=true " + " ".join(definition["packages"]))
        if (HERE / name).is_dir():
            subprocess.run(["cp", "-r", "--no-preserve=ownership,timestamps", f"{HERE / name}/.", f"{root}/"],
                           check=True)
        for command in definition.get("commands", []):
            self.inside(root, command)

    def inside(self, root, command):
        run(["chroot", root, "/bin/sh", "-ec", command], self.log,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8",
                 "SOURCE_DATE_EPOCH": "0"})


def unmount(root):
    """Whatever is mounted at or beneath the folder, the last first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount == str(root) or mount.startswith(f"{root}/"):
            subprocess.run(["umount", "-l", mount], check=True)
