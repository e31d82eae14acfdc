#!/bin/sh
# The first process of an embedded host, in fresh network, mount, UTS, IPC and PID namespaces.
#
# arguments: NAME ADDRESS/LENGTH STATE [OPTIONS]
# STATE is the host's folder: root (a mount point), top (its own /, where the root is no overlay),
# stores (the upper and work folder of each overlay), files (sshd_config, hostkey, authorized_keys,
# hosts, reboot), and tree, which says what the root is put together from: lines of
# KIND PLACE STORE SOURCE, see embedded_root.py. Where there is a disk.img, the stores are on it, and
# what is in kept is shown from memory. OPTIONS are further ones of the overlays.
#
# Talks to its launcher: writes "plug PID" when a network interface may be given to it, reads a line
# when that is done, writes "up" when it is. End of input means that the launcher is dead.
set -e
umask 022
name=$1 address=$2 state=$3 options=${4:+$4,}
root=$state/root

# /proc is still the machine's: the id by which the launcher knows this process.
read -r pid _ < /proc/self/stat

hostname "$name"
stores=$state/stores
if [ -f "$state/disk.img" ]; then
    # Nothing but fsync makes what is written last: not a rename, nor the passing of seconds.
    mount -o loop,noatime,noauto_da_alloc,commit=300 "$state/disk.img" "$state/disk"
    [ -d "$state/disk/stores" ] || cp -a "$state/stores" "$state/disk/"
    stores=$state/disk/stores
fi
overlay() { # PLACE STORE SOURCE
    mount -t overlay overlay \
        -o "${options}lowerdir=$3,upperdir=$stores/$2/upper,workdir=$stores/$2/work" "$root$1"
}
[ -d "$state/top" ] && mount --bind "$state/top" "$root"
while read -r kind place store source; do
    case $kind in
        folder | copy) mkdir -p "$root$place" ;;
        link) ln -sfn "$source" "$root$place" ;;
        overlay)
            [ "$place" = / ] || mkdir -p "$root$place"
            overlay "$place" "$store" "$source"
            ;;
        part) overlay "$place" "$store" "$source" 2>/dev/null ||
            mount --bind -o ro "$source" "$root$place" ;;
        bind)
            [ -e "$root$place" ] || : > "$root$place"
            mount --bind -o ro "$source" "$root$place"
            ;;
    esac
done < "$state/tree"
for place in $(cd "$state/kept" 2>/dev/null && find . -type d -links 2); do
    mkdir -p "$root/$place"
    mount --bind "$state/kept/$place" "$root/$place"
done

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o nosuid,nodev,noexec,ro sysfs "$root/sys"
mount -t tmpfs -o nosuid,mode=755 tmpfs "$root/dev"
mkdir "$root/dev/net"
for node in null zero full random urandom tty fuse net/tun; do
    [ -e "/dev/$node" ] || continue
    : > "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o nosuid,mode=755 tmpfs "$root/run"
mount -t tmpfs -o nosuid,mode=1777 tmpfs "$root/tmp"
# The operator's homes are not to be seen; root's own home outlives a reboot.
home=$state/root-home
if [ -f "$state/disk.img" ]; then
    mkdir -p -m 700 "$state/disk/root-home"
    home=$state/disk/root-home
fi
mount --bind "$home" "$root/root"
[ -d "$root/home" ] && mount -t tmpfs -o mode=755 tmpfs "$root/home"
for place in /mnt /media; do
    [ -d "$root$place" ] && mount -t tmpfs -o mode=755 tmpfs "$root$place"
done
mkdir -p "$root/run/sshd" "$root/run/lock" "$root/etc/splitbrain" "$root/var/log"

files=$state/files
cp "$files/sshd_config" "$files/hostkey" "$files/authorized_keys" "$root/etc/splitbrain/"
chmod 600 "$root/etc/splitbrain/hostkey"
cp "$files/hosts" "$root/etc/hosts"
chmod 644 "$root/etc/hosts"
echo "$name" > "$root/etc/hostname"
mkdir -p "$root/usr/local/sbin"
for shim in reboot shutdown poweroff halt; do
    cp "$files/reboot" "$root/usr/local/sbin/$shim"
    chmod 755 "$root/usr/local/sbin/$shim"
done
# A plain shell for root, and an account that is not locked: keys alone open it.
sed -i 's#^\(root:[^:]*:0:[^:]*:[^:]*\):.*#\1:/root:/bin/sh#' "$root/etc/passwd"
grep -q '^sshd:' "$root/etc/passwd" ||
    echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin' >> "$root/etc/passwd"
[ -f "$root/etc/shadow" ] && sed -i 's/^root:[^:]*:/root:*:/' "$root/etc/shadow"
rm -f "$root/etc/nologin"

# The network's faults go by IPv4 address: nothing may slip by over link-local IPv6.
switch=/proc/sys/net/ipv6/conf/default/disable_ipv6
[ -w "$switch" ] && echo 1 > "$switch"
echo "plug $pid"
read -r _
ip link set lo up
ip addr add "$address" dev eth0
ip link set eth0 up
exec 3>&1 >/dev/null 4>>"$state/sshd.log"

cd "$root"
mkdir -p .old
pivot_root . .old
exec chroot . /bin/sh -c '
    umount -l /.old && rmdir /.old
    trap "exit 42" USR1
    echo up >&3
    exec 3>&-
    while :; do
        /usr/sbin/sshd -D -e -f /etc/splitbrain/sshd_config </dev/null >&4 2>&1 &
        wait $!
        sleep 0.05
    done' splitbrain-host </dev/null
