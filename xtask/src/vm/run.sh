#!/bin/sh
# Runs the tests on the console and turns the machine off. The last line is what the host waits for.
# Not a tmpfs: older kernels cannot map the owners of its files.
export TMPDIR=/var/tmp HOME=/root TARE_BIN=/vm/tare TARE_FIXTURES=/vm/fixtures RUST_BACKTRACE=0
. /vm/environment
echo "vm: $(uname -r), cgroup v2, $(cat /proc/1/comm) as first process, up for $(cut -d' ' -f1 /proc/uptime) s"
# shellcheck disable=SC2046 # a list of words
/vm/e2e --include-ignored --color=never --test-threads=3 $(cat /vm/arguments) 2>&1
echo "vm: exit code $?"
sync
echo o >/proc/sysrq-trigger
sleep 60
