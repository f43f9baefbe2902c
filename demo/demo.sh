#!/bin/sh
# Shows what a container is, on this machine: demo.sh TARE [BUSYBOX_TAR]
# Every command is printed before it runs. Nothing is left afterwards: the data root is temporary.
set -eu

tare=$1
data=$(mktemp -d /var/tmp/tare-demo-XXXXXX)
export TARE_ROOT="$data/root" TARE_RUN="$data/run"
image=host

bold='' blue='' plain=''
if [ -t 1 ]; then
    bold=$(printf '\033[1m') blue=$(printf '\033[36m') plain=$(printf '\033[0m')
fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
note() { printf '  %s\n' "$*"; }
# Prints a command as one would type it.
shown() {
    printf '%s  $' "$blue"
    for word in "$@"; do
        case $word in
        *[!-A-Za-z0-9_./:=,+%]* | '') printf " '%s'" "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '%s\n' "$plain"
}
# Runs a command with its output moved to the right; its failure ends the demo.
indented() {
    code=0
    "$@" >"$data/output" 2>&1 || code=$?
    sed 's/^/    /' "$data/output"
    return "$code"
}
show() { shown "$@" && indented "$@"; }
# The same for tare, written short and run by its path.
run() { shown tare "$@" && indented "$tare" "$@"; }

finish() {
    code=$?
    "$tare" ps -aq 2>/dev/null | while read -r id; do "$tare" rm -f "$id" >/dev/null 2>&1 || true; done
    rm -rf "$data"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP PIPE

# CPU time of a container so far, in microseconds.
cpu_time() {
    id=$1
    if [ -r "/sys/fs/cgroup/tare/$id/cpu.stat" ]; then
        sed -n 's/^usage_usec //p' "/sys/fs/cgroup/tare/$id/cpu.stat"
    else
        echo $(($(cat "$(ls -d /sys/fs/cgroup/*cpuacct*/tare/"$id" | head -n 1)/cpuacct.usage") / 1000))
    fi
}
now() { echo $(($(date +%s%N) / 1000)); }

printf '%s\n' "$("$tare" --version): a container is a process with a changed view, a budget, and a root made of layers."

say '1. An image: layers of files. Here one layer, imported from a tar.'
if [ -n "${2:-}" ]; then
    run import --change 'CMD ["sh"]' "$2" busybox
    image=busybox
fi
run images

say '2. A budget: 20 % of one CPU for a loop that would take all of it.'
loop='while :; do :; done'
run run -d --name=busy --cpu-period=100000 --cpu-quota=20000 --network=none "$image" /bin/sh -c "$loop"
busy=$("$tare" ps -q --no-trunc)
pid=$("$tare" inspect busy | sed -n 's/^ *"Pid": *\([0-9]*\),*$/\1/p' | head -n 1)
before=$(cpu_time "$busy") start=$(now)
sleep 3
after=$(cpu_time "$busy") end=$(now)
share=$(((after - before) * 1000 / (end - start)))
note "measured over 3 seconds from its cgroup: $((share / 10)).$((share % 10)) % of a CPU"

say '3. A changed view: inside, it is process 1 and alone; here it is one process among others.'
run run --rm --network=none "$image" sh -c 'echo "I am process $$ of:"; ps; echo alone'
note "the busy loop, seen from this machine:"
show grep -E '^(Name|Pid|PPid|NSpid)' "/proc/$pid/status"
note "its cgroups:"
show grep -E 'cpu|memory|pids|0::' "/proc/$pid/cgroup"

say '4. Its namespaces beside those of this shell: all differ but the user namespace.'
printf '    %-8s %-24s %s\n' kind here container
for kind in mnt pid net uts ipc cgroup time user; do
    printf '    %-8s %-24s %s\n' "$kind" "$(readlink /proc/$$/ns/$kind | tr -d a-z:)" \
        "$(readlink "/proc/$pid/ns/$kind" | tr -d a-z:)"
done

say '5. Its root: read-only layers below, an init layer, a writable layer above.'
note "the root mount of process $pid:"
sed -n 's/.* \/ \/ [^-]*- overlay [^ ]* //p' "/proc/$pid/mountinfo" | tr ',' '\n' | grep dir | sed "s|$data/||g; s/^/    /"
"$tare" rm -f busy >/dev/null

say '6. What it writes stays in its own layer: the image does not see it.'
run run --rm --network=none "$image" sh -c 'echo mine >/etc/mine; ls /etc/mine'
run run --rm --network=none "$image" sh -c 'ls /etc/mine || true'

say '7. Even its clock: time since boot starts at zero.'
show cut -d' ' -f1 /proc/uptime
run run --rm --network=none --time-offset boottime=zero "$image" cut -d' ' -f1 /proc/uptime

say '8. What a run costs: twenty, one after the other.'
start=$(now)
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    "$tare" run --rm --network=none "$image" true
done
end=$(now)
note "$(((end - start) / 20000)).$(((end - start) / 2000 % 10)) ms each"

say 'A shell of your own, with this machine'\''s files below and your changes above:'
printf '\n    %s run --rm -it --network=none host sh\n\n' "$tare"
