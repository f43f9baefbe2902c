#!/bin/sh
# The first process of the machine without systemd: the mounts that it would have made, then the tests.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
/vm/run
