// The floor: the system calls that running one container cannot avoid, and nothing else.
//
//     floor SCRATCH LOWER[:LOWER…] [COMMAND [ARG…]]
//
// It asks the kernel for what `tare run --rm --network=none IMAGE COMMAND` must ask for: a cgroup in every hierarchy,
// seven namespaces, an overlay of LOWER with a writable layer in SCRATCH, the mounts of a container, fewer capabilities,
// a system call filter, the program; and removes all of it again. No image is looked up, no state is written, nothing
// is parsed but the mount table. Exits with the program's code, or with 125 and a sentence when it cannot do its work.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAIL 125
#define CGROUPS_MAX 16
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

// <sys/mount.h>, where this belongs, and <linux/mount.h> exclude each other in some C libraries.
#define MNT_DETACH 2
#define SAFE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

struct cgroup {
    char dir[256];        // this container's, on the host
    char name[32];        // the mount point's last component
    const char *option;   // "devices", "cpuset", …; NULL for cgroup v2
};

static struct cgroup cgroups[CGROUPS_MAX];
static size_t cgroup_count;
static char mount_table[1 << 16];
static char scratch[512];

static long must(long result, const char *what, const char *noun)
{
    if (result < 0) {
        dprintf(2, "floor: cannot %s \"%s\": %s\n", what, noun, strerror(errno));
        _exit(FAIL);
    }
    return result;
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = must(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644), "open", path);
    must(write(fd, text, strlen(text)), "write", path);
    close(fd);
}

static void read_file(const char *path, char *text, size_t size)
{
    int fd = must(open(path, O_RDONLY | O_CLOEXEC), "open", path);
    size_t used = 0;
    for (ssize_t got; used < size - 1 && (got = must(read(fd, text + used, size - 1 - used), "read", path)) > 0;)
        used += got;
    text[used] = 0;
    close(fd);
}

// ---- cgroups -------------------------------------------------------------------------------------------------------

// A task may join a cpuset only when these two are filled: they are the parent's.
static void fill_cpuset(const char *dir)
{
    static const char *const names[] = {"cpuset.cpus", "cpuset.mems"};
    for (size_t i = 0; i < LENGTH(names); i++) {
        char path[600], text[256];
        snprintf(path, sizeof path, "%s/../%s", dir, names[i]);
        read_file(path, text, sizeof text);
        write_file(dir, names[i], text);
    }
}

// The device rules that every container gets.
static void allow_devices(const char *dir)
{
    static const char *const rules[] = {"c *:* m",   "b *:* m",   "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm",  "c 1:8 rwm",
                                        "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm"};
    write_file(dir, "devices.deny", "a");
    for (size_t i = 0; i < LENGTH(rules); i++)
        write_file(dir, "devices.allow", rules[i]);
}

// Whether a hierarchy is to be used: one that controls something, at the first place where it is mounted.
static int is_wanted(const char *option)
{
    if (option && strncmp(option, "name=", 5) == 0)
        return 0;
    for (size_t i = 0; i < cgroup_count; i++) {
        const char *other = cgroups[i].option;
        if (option ? other && strcmp(option, other) == 0 : !other)
            return 0;
    }
    return 1;
}

// Finds every hierarchy in the mount table and makes a cgroup in it.
static void make_cgroups(void)
{
    read_file("/proc/self/mountinfo", mount_table, sizeof mount_table);
    char *rest = mount_table;
    for (char *line; (line = strsep(&rest, "\n")) && cgroup_count < CGROUPS_MAX;) {
        char point[200], *tail = strstr(line, " - cgroup");
        if (!tail || sscanf(line, "%*s %*s %*s %*s %199s", point) != 1)
            continue;
        const char *option = strncmp(tail, " - cgroup ", 10) == 0 ? strrchr(tail, ',') + 1 : NULL;
        if (!is_wanted(option))
            continue;
        struct cgroup *cgroup = &cgroups[cgroup_count++];
        cgroup->option = option;
        snprintf(cgroup->name, sizeof cgroup->name, "%s", strrchr(point, '/') + 1);
        snprintf(cgroup->dir, sizeof cgroup->dir, "%s/floor-%d", point, getpid());
        must(mkdir(cgroup->dir, 0755), "make", cgroup->dir);
        if (option && strcmp(option, "cpuset") == 0)
            fill_cpuset(cgroup->dir);
        if (option && strcmp(option, "devices") == 0)
            allow_devices(cgroup->dir);
    }
}

// A v2 group is entered by being cloned into it.
static int open_v2_cgroup(void)
{
    for (size_t i = 0; i < cgroup_count; i++)
        if (!cgroups[i].option)
            return must(open(cgroups[i].dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", cgroups[i].dir);
    return -1;
}

// A v1 group is entered by the thread itself: moving another process waits for a grace period of the whole kernel.
static void enter_v1_cgroups(void)
{
    for (size_t i = 0; i < cgroup_count; i++)
        if (cgroups[i].option)
            write_file(cgroups[i].dir, "tasks", "0");
}

static void remove_cgroups(void)
{
    for (size_t i = 0; i < cgroup_count; i++) {
        // A hierarchy may need a moment after its last task has gone.
        for (int attempt = 0; rmdir(cgroups[i].dir) < 0 && errno == EBUSY && attempt < 100; attempt++)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

// ---- the layers ----------------------------------------------------------------------------------------------------

static const char *const scratch_dirs[] = {"upper", "work", "init", "init/dev", "init/proc", "init/sys", "init/etc"};
static const char *const scratch_files[] = {"init/etc/hosts", "init/etc/hostname", "init/etc/resolv.conf"};

// The writable layer, and the init layer with this container's mount points and files.
static void make_scratch(const char *parent)
{
    char path[600];
    snprintf(scratch, sizeof scratch, "%.400s/floor-%d", parent, getpid());
    must(mkdir(scratch, 0700), "make", scratch);
    for (size_t i = 0; i < LENGTH(scratch_dirs); i++) {
        snprintf(path, sizeof path, "%s/%s", scratch, scratch_dirs[i]);
        must(mkdir(path, 0755), "make", path);
    }
    for (size_t i = 0; i < LENGTH(scratch_files); i++)
        write_file(scratch, scratch_files[i], "127.0.0.1 localhost\n");
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return must(remove(path), "remove", path);
}

// ---- mounts --------------------------------------------------------------------------------------------------------

static int fs_open(const char *type)
{
    return must(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC), "open file system", type);
}

static void fs_set(int fs, const char *key, const char *value)
{
    int command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
    must(syscall(SYS_fsconfig, fs, command, key, value, 0), "set mount option", key);
}

static int fs_mount(int fs, const char *noun, unsigned attributes)
{
    must(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), "make file system", noun);
    int mount = must(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes), "mount", noun);
    close(fs);
    return mount;
}

static void attach(int mount, const char *target)
{
    must(syscall(SYS_move_mount, mount, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), "mount on", target);
    close(mount);
}

// Mounts a new file system; `options` is a list of key, value pairs that ends with a NULL key.
static void mount_new(const char *type, const char *target, unsigned attributes, const char *const *options)
{
    int fs = fs_open(type);
    for (; options && options[0]; options += 2)
        fs_set(fs, options[0], options[1]);
    attach(fs_mount(fs, type, attributes), target);
}

static int clone_mount(const char *path)
{
    return syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

static void set_readonly(int fd, const char *path, unsigned flags)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    must(syscall(SYS_mount_setattr, fd, path, flags, &attributes, sizeof attributes), "make read-only", path);
}

static void enter_root(char *lowers)
{
    char path[600];
    must(syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "make private", "/");
    int fs = fs_open("overlay");
    snprintf(path, sizeof path, "%s/init", scratch);
    fs_set(fs, "lowerdir+", path);
    for (char *lower; (lower = strsep(&lowers, ":"));)
        fs_set(fs, "lowerdir+", lower);
    snprintf(path, sizeof path, "%s/upper", scratch);
    fs_set(fs, "upperdir", path);
    snprintf(path, sizeof path, "%s/work", scratch);
    fs_set(fs, "workdir", path);
    fs_set(fs, "volatile", NULL);
    attach(fs_mount(fs, "overlay", 0), scratch);
    must(chdir(scratch), "enter", scratch);
    must(syscall(SYS_pivot_root, ".", "."), "pivot into", scratch);
    must(syscall(SYS_umount2, ".", MNT_DETACH), "leave", "the old root");
    must(chdir("/"), "enter", "/");
}

static void make_devices(void)
{
    static const struct {
        const char *path;
        unsigned char major, minor;
    } nodes[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
                 {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"},
                                           {"/proc/kcore", "/dev/core"},
                                           {"pts/ptmx", "/dev/ptmx"}};
    static const char *const dirs[] = {"/dev/pts", "/dev/shm", "/dev/mqueue"};
    for (size_t i = 0; i < LENGTH(nodes); i++)
        must(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), "make", nodes[i].path);
    for (size_t i = 0; i < LENGTH(links); i++)
        must(symlink(links[i][0], links[i][1]), "make", links[i][1]);
    for (size_t i = 0; i < LENGTH(dirs); i++)
        must(mkdir(dirs[i], 0755), "make", dirs[i]);
}

static void mount_cgroups(void)
{
    mount_new("tmpfs", "/sys/fs/cgroup", SAFE, (const char *const[]){"mode", "0755", NULL});
    for (size_t i = 0; i < cgroup_count; i++) {
        char target[64];
        const char *option = cgroups[i].option;
        snprintf(target, sizeof target, "/sys/fs/cgroup/%s", cgroups[i].name);
        must(mkdir(target, 0755), "make", target);
        int named = option && strncmp(option, "name=", 5) == 0;
        const char *const options[] = {named ? "name" : option, named ? option + 5 : NULL, NULL};
        mount_new(option ? "cgroup" : "cgroup2", target, SAFE | MOUNT_ATTR_RDONLY, options);
    }
    set_readonly(AT_FDCWD, "/sys/fs/cgroup", 0);
}

// Hides kernel interfaces that say or change too much, and makes others read-only, by the lists of every engine.
static void cover_kernel_files(void)
{
    static const char *const masked[] = {"/proc/asound",      "/proc/acpi",       "/proc/kcore",
                                         "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
                                         "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                                         "/sys/firmware",     "/sys/devices/virtual/powercap"};
    static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
    for (size_t i = 0; i < LENGTH(masked); i++) {
        struct stat stat;
        if (lstat(masked[i], &stat) < 0)
            continue;
        if (S_ISDIR(stat.st_mode))
            mount_new("tmpfs", masked[i], MOUNT_ATTR_RDONLY, NULL);
        else
            attach(must(clone_mount("/dev/null"), "clone", "/dev/null"), masked[i]);
    }
    for (size_t i = 0; i < LENGTH(readonly); i++) {
        int mount = clone_mount(readonly[i]);
        if (mount < 0)
            continue;
        set_readonly(mount, "", AT_EMPTY_PATH | AT_RECURSIVE);
        attach(mount, readonly[i]);
    }
}

static void make_mounts(void)
{
    mount_new("proc", "/proc", SAFE, NULL);
    mount_new("tmpfs", "/dev", MOUNT_ATTR_NOSUID, (const char *const[]){"mode", "0755", "size", "64k", NULL});
    make_devices();
    mount_new("devpts", "/dev/pts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
              (const char *const[]){"newinstance", NULL, "ptmxmode", "0666", "mode", "0620", "gid", "5", NULL});
    mount_new("tmpfs", "/dev/shm", SAFE, (const char *const[]){"mode", "1777", "size", "64m", NULL});
    mount_new("mqueue", "/dev/mqueue", SAFE, NULL);
    mount_new("sysfs", "/sys", SAFE | MOUNT_ATTR_RDONLY, NULL);
    mount_cgroups();
    cover_kernel_files();
}

// ---- the process ---------------------------------------------------------------------------------------------------

static void loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "make", "socket");
    must(ioctl(fd, SIOCSIFFLAGS, &request), "raise", "lo");
    close(fd);
}

static void drop_capabilities(void)
{
    static const char kept[] = {CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,     CAP_FOWNER,          CAP_MKNOD,
                                CAP_NET_RAW, CAP_SETGID,       CAP_SETUID,     CAP_SETFCAP,         CAP_SETPCAP,
                                CAP_KILL,    CAP_SYS_CHROOT,   CAP_AUDIT_WRITE, CAP_NET_BIND_SERVICE};
    unsigned long long mask = 0;
    for (size_t i = 0; i < sizeof kept; i++)
        mask |= 1ull << kept[i];
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
        if (!(mask >> cap & 1))
            must(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "drop", "capability");
    }
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int word = 0; word < 2; word++)
        data[word].effective = data[word].permitted = data[word].inheritable = (unsigned)(mask >> (32 * word));
    must(syscall(SYS_capset, &header, data), "set", "capabilities");
}

static struct sock_filter filter[2048];
static unsigned short filter_length;

static void emit(unsigned short code, unsigned k, unsigned char yes, unsigned char no)
{
    filter[filter_length++] = (struct sock_filter){code, yes, no, k};
}

// A balanced tree over the system calls LOW to HIGH that allows each: an engine's filter has about as many instructions.
static void emit_tree(unsigned low, unsigned high)
{
    if (high - low == 1) {
        emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
        return;
    }
    unsigned middle = (low + high) / 2;
    emit(BPF_JMP | BPF_JGE | BPF_K, middle, 0, 1);
    unsigned short jump = filter_length;
    emit(BPF_JMP | BPF_JA, 0, 0, 0);
    emit_tree(low, middle);
    filter[jump].k = filter_length - jump - 1;
    emit_tree(middle, high);
}

static void load_filter(void)
{
    emit(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
#if defined(__x86_64__)
    emit(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
#else
    emit(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_AARCH64, 1, 0);
#endif
    emit(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    emit(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    emit_tree(0, 300);
    struct sock_fprog program = {.len = filter_length, .filter = filter};
    must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), "load", "filter");
}

static void child(char *lowers, char **command)
{
    static char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "die with", "the parent");
    enter_v1_cgroups();
    must(unshare(CLONE_NEWCGROUP), "unshare", "cgroup");
    must(setsid(), "start", "session");
    must(sethostname("floor", 5), "set", "host name");
    loopback_up();
    enter_root(lowers);
    make_mounts();
    load_filter();
    drop_capabilities();
    must(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC), "close", "files");
    execvpe(command[0], command, environment);
    must(-1, "run", command[0]);
}

int main(int argc, char **argv)
{
    static char *const default_command[] = {"true", NULL};
    if (argc < 3) {
        dprintf(2, "usage: floor SCRATCH LOWER[:LOWER…] [COMMAND [ARG…]]\n");
        return FAIL;
    }
    umask(0);
    make_cgroups();
    make_scratch(argv[1]);
    int v2_cgroup = open_v2_cgroup();
    struct clone_args clone = {.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC |
                                        CLONE_NEWTIME | (v2_cgroup < 0 ? 0 : CLONE_INTO_CGROUP),
                               .exit_signal = SIGCHLD,
                               .cgroup = v2_cgroup < 0 ? 0 : v2_cgroup};
    pid_t pid = must(syscall(SYS_clone3, &clone, sizeof clone), "clone", "container");
    if (pid == 0)
        child(argv[2], argc > 3 ? argv + 3 : (char **)default_command);
    int status;
    must(waitpid(pid, &status, 0), "wait for", "container");
    remove_cgroups();
    nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
