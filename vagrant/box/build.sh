#!/bin/sh
# Builds a small Debian box for vagrant-libvirt from packages alone: build.sh OUTPUT.box [WORK]
#
# Needs root (debootstrap makes devices), and the programs debootstrap, mkfs.ext4 and qemu-img. The
# packages come from the mirror that this machine's apt is configured with. The box starts its
# kernel directly, without a boot loader: an initrd of a few modules mounts the disk and asks DHCP
# for the address, so that nothing slow is left for systemd. That matters where QEMU has to emulate.
#
# SPLITBRAIN_BOX_SUITE: the Debian release [bookworm]. SPLITBRAIN_BOX_CACHE: keeps the packages, so
# that the next build is quicker.
set -eu

output=$1
suite=${SPLITBRAIN_BOX_SUITE:-bookworm}
here=$(cd "$(dirname "$0")" && pwd)
work=${2:-}
if [ -z "$work" ]; then
    work=$(mktemp -d "${TMPDIR:-/tmp}/splitbrain-box.XXXXXX")
    trap 'rm -rf "$work"' EXIT
fi
root=$work/root
image=$work/image
mkdir -p "$work" "$image"
PATH=$PATH:/usr/sbin:/sbin
export PATH LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

fail() { echo "box: $*" >&2; exit 1; }
began=$(date +%s)
say() { echo "box: $* ($(($(date +%s) - began)) s)"; }

[ "$(id -u)" = 0 ] || fail "building the box needs root: run it with sudo"
for program in debootstrap mkfs.ext4 qemu-img apt-get; do
    command -v $program >/dev/null 2>&1 ||
        fail "there is no program $program: apt-get install debootstrap e2fsprogs qemu-utils"
done

# The first mirror of apt that has this release; its host is written into nothing but the log of apt.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || fail "apt has no source for $suite: add one, or set SPLITBRAIN_BOX_SUITE"

bootstrap() {
    packages=systemd,systemd-sysv,systemd-timesyncd,openssh-server,sudo,python3,nftables,iptables,iproute2
    packages=$packages,kmod,procps,rsync,busybox-static,ca-certificates,iputils-ping
    set -- --variant=minbase "--include=$packages"
    if [ -n "${SPLITBRAIN_BOX_CACHE:-}" ]; then
        mkdir -p "$SPLITBRAIN_BOX_CACHE"
        set -- "$@" "--cache-dir=$SPLITBRAIN_BOX_CACHE"
    fi
    debootstrap "$@" "$suite" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 || {
        tail -n 3 "$work/debootstrap.log" >&2
        fail "debootstrap failed; see $work/debootstrap.log"
    }
}

# Debian's kernel for clouds: all of netfilter and the queueing disciplines, and few drivers.
add_kernel() {
    inside() { apt-get -o Dir="$root" -o Dir::State::status="$root/var/lib/dpkg/status" "$@"; }
    inside update -qq >"$work/apt.log" 2>&1 || fail "apt-get update failed; see $work/apt.log"
    name=$(apt-cache -o Dir="$root" -o Dir::State::status="$root/var/lib/dpkg/status" \
        depends linux-image-cloud-amd64 | awk '$1 == "Depends:" && /linux-image/ { print $2; exit }')
    [ -n "$name" ] || fail "$suite has no linux-image-cloud-amd64"
    (cd "$work" && inside download -qq "$name") >>"$work/apt.log" 2>&1 ||
        fail "the package $name could not be downloaded; see $work/apt.log"
    mkdir -p "$work/kernel"
    dpkg-deb -x "$work/$name"_*.deb "$work/kernel"
    version=${name#linux-image-}
    mkdir -p "$root/lib/modules"
    rm -rf "$root/lib/modules/$version"
    cp -a "$work/kernel/lib/modules/$version" "$root/lib/modules/"
    chroot "$root" depmod "$version"
    cp "$work/kernel/boot/vmlinuz-$version" "$image/vmlinuz"
}

add_user() {
    chroot "$root" id vagrant >/dev/null 2>&1 || chroot "$root" useradd -m -s /bin/bash vagrant
    # No password; one that is locked would lock its keys out as well, since sshd does without PAM.
    chroot "$root" usermod -p '*' vagrant
    echo 'vagrant ALL=(ALL) NOPASSWD:ALL' >"$root/etc/sudoers.d/vagrant"
    chmod 440 "$root/etc/sudoers.d/vagrant"
    public=$(find /usr/share /opt/vagrant -path '*/keys/vagrant.pub' 2>/dev/null | head -n 1)
    [ -n "$public" ] || fail "Vagrant's public key is not found: apt-get install vagrant"
    install -d -m 700 "$root/home/vagrant/.ssh"
    install -m 600 "$public" "$root/home/vagrant/.ssh/authorized_keys"
    chroot "$root" chown -R vagrant:vagrant /home/vagrant/.ssh
}

configure() {
    echo debian >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
    : >"$root/etc/machine-id"
    : >"$root/etc/fstab"
    rm -f "$root/etc/resolv.conf" && : >"$root/etc/resolv.conf"
    rm -f "$root"/etc/ssh/ssh_host_*
    chroot "$root" ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
    cp -R "$here/files/." "$root/"
    ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
    chroot "$root" systemctl enable ssh >/dev/null 2>&1
    sed 's/#.*//' "$here/masked-units" | while read -r unit; do
        [ -z "$unit" ] || ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
}

slim() {
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
        "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/*
    chroot "$root" python3 -m compileall -q /usr/lib/python3* >/dev/null 2>&1 || true
}

make_initrd() {
    tree=$root/tmp/initrd
    rm -rf "$tree"
    mkdir -p "$tree/bin" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/mnt" "$tree/drivers"
    cp "$root/bin/busybox" "$tree/bin/busybox"
    ln -s busybox "$tree/bin/sh"
    cp "$here/initrd/init" "$here/initrd/dhcp" "$here/initrd/modules" "$tree/"
    chmod 755 "$tree/init" "$tree/dhcp"
    while read -r module; do
        file=$(find "$root/lib/modules/$version/kernel" -name "$module.ko" | head -n 1)
        if [ -n "$file" ]; then cp "$file" "$tree/drivers/$module.ko"; fi
    done <"$here/initrd/modules"
    chroot "$root" sh -c 'cd /tmp/initrd && find . | busybox cpio -o -H newc 2>/dev/null' \
        >"$image/initrd.img"
    rm -rf "$tree"
}

make_disk() {
    rm -f "$work/disk.raw"
    truncate -s 4G "$work/disk.raw"
    mkfs.ext4 -q -F -L root -E lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 \
        -d "$root" "$work/disk.raw"
    qemu-img convert -O qcow2 -c "$work/disk.raw" "$image/box.img"
    rm -f "$work/disk.raw"
}

pack() {
    printf '{"provider": "libvirt", "format": "qcow2", "virtual_size": 4}\n' >"$image/metadata.json"
    cp "$here/Vagrantfile.box" "$image/Vagrantfile"
    tar -C "$image" -cf "$output.part" metadata.json Vagrantfile box.img vmlinuz initrd.img
    mv "$output.part" "$output"
}

if [ -d "$root" ] && [ -e "$work/bootstrapped" ]; then
    say "using the system in $root"
else
    rm -rf "$root"
    bootstrap
    touch "$work/bootstrapped"
    say "debootstrap has made a minimal $suite"
fi
add_kernel
say "kernel $version added"
add_user
configure
slim
make_initrd
make_disk
say "disk image made"
pack
say "$(du -h "$output" | cut -f1) in $output"
