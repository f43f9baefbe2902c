#!/bin/busybox sh
# The first process: loads the modules, mounts the two disks and hands over to the program that "init=" names.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
until [ -b /dev/vda ] && [ -b /dev/vdb ]; do sleep 0.05; done
mount -t ext4 -o noatime /dev/vda /root
mount -t ext4 -o ro /dev/vdb /root/vm
init=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^init=//p')
for dir in dev sys proc; do mount --move "/$dir" "/root/$dir"; done
exec switch_root /root "$init"
