"""What crun's tests use of the library of this name, which Debian has not built for Python: a mount table, read."""


class Mount:
    """One line of proc_pid_mountinfo(5)."""

    def __init__(self, line):
        before, after = line.rstrip("\n").split(" - ", 1)
        self.target = before.split(" ")[4]
        self.vfs_options = before.split(" ")[5]
        self.fs_options = after.split(" ")[2]


class Table:
    """A file of such lines."""

    def __init__(self, path):
        with open(path) as file:
            self.mounts = [Mount(line) for line in file if " - " in line]

    def find_target(self, target):
        """The last mount there, which is the one that is seen."""
        found = [mount for mount in self.mounts if mount.target == target]
        return found[-1] if found else None
