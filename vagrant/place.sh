#!/bin/sh
# The first process of a private place for VMs: place.sh STATE
#
# Runs in network, mount and process namespaces of its own; starts libvirt's daemons, whose files
# and sockets all lie under STATE or in memory, and then only waits. When it is killed, the kernel
# ends everything in the place: daemons, VMs, bridges. Nothing of the machine's own is touched.
set -eu
state=$1
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

mount -t tmpfs -o mode=755 place /run
mkdir -p /run/dbus /run/lock /run/libvirt
for pair in etc:/etc/libvirt lib:/var/lib/libvirt log:/var/log/libvirt cache:/var/cache/libvirt; do
    target=${pair#*:}
    mkdir -p "$state/${pair%%:*}"
    [ -d "$target" ] || continue
    mount --bind "$state/${pair%%:*}" "$target"
done
ip link set lo up
{
    dbus-daemon --system --fork --nopidfile
    virtlogd --daemon
    libvirtd --daemon
} </dev/null >>"$state/daemons.log" 2>&1

turn=0
until virsh --connect qemu:///system version >/dev/null 2>&1; do
    turn=$((turn + 1))
    if [ $turn -ge 150 ]; then
        echo "libvirtd does not answer" >>"$state/daemons.log"
        echo failed >"$state/ready"
        exit 1
    fi
    sleep 0.2
done
echo ready >"$state/ready"

# The first process must take care of orphans: libvirt believes that a VM runs while its remains do.
while :; do
    sleep 3600 &
    wait $! || true
done
