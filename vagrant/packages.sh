#!/bin/sh
# Installs what machines by Vagrant on libvirt need on Debian, and says what it does.
#
# No service is started by it: where systemd does not run, splitbrain starts libvirt's daemons
# itself, in a place of their own; where it does, they are enabled as Debian does it.
set -eu
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

missing=""
want() { has "$1" || missing="$missing $2"; }
want vagrant vagrant
want virsh libvirt-clients
want libvirtd "libvirt-daemon-system libvirt-daemon-driver-qemu"
want qemu-system-x86_64 qemu-system-x86
want qemu-img qemu-utils
want dnsmasq dnsmasq-base
want dbus-daemon dbus
want debootstrap debootstrap
want mkfs.ext4 e2fsprogs
want ssh openssh-client
[ -n "$(find /usr/share/rubygems-integration -name 'vagrant-libvirt-*.gemspec' 2>/dev/null)" ] ||
    missing="$missing vagrant-libvirt"

if [ -z "$missing" ]; then
    echo "machine packages: all there"
    exit 0
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "machine packages: not installed, for want of root or sudo:$missing" >&2
        exit 1
    }
    as_root=sudo
fi
command -v apt-get >/dev/null 2>&1 || {
    echo "machine packages: this is no Debian; install what provides:$missing" >&2
    exit 1
}
began=$(date +%s)
echo "machine packages: apt-get installs$missing"

# Without systemd nothing could stop what a package starts; ours says no and is taken away again.
policy=/usr/sbin/policy-rc.d
ours=""
if [ ! -d /run/systemd/system ] && [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
    ours=yes
fi
log=$(mktemp)
restore() {
    [ -z "$ours" ] || $as_root rm -f $policy
    rm -f "$log"
}
trap restore EXIT
install() {
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $missing >"$log" 2>&1
}
if ! install; then
    $as_root apt-get update >>"$log" 2>&1 || true
    if ! install; then
        echo "machine packages: apt-get failed:" >&2
        tail -n 5 "$log" >&2
        exit 1
    fi
fi
echo "machine packages: done in $(($(date +%s) - began)) s"
