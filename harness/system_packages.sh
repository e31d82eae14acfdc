#!/bin/sh
# Installs the few Debian packages that splitbrain needs, and says what it does.
#
#   for the virtual environment   python3-venv
#   for embedded hosts            openssh-server (one sshd a host), nftables (partitions),
#                                 iproute2 (links), util-linux (namespaces)
#   for clock skew                gcc, libc6-dev (a small preload library)
#
# As root: apt-get. Otherwise sudo, if it asks no password or there is a terminal to ask on. Without
# either, the packages are downloaded and unpacked into the user's cache, from where embedded hosts
# without root take them. No service is enabled or started: whatever sshd this machine ran or did not
# run before, it does so afterwards.
set -eu

has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

missing=""
want() { # COMMAND PACKAGE...
    probe=$1
    shift
    has "$probe" || missing="$missing $*"
}
want python3 python3
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"
want sshd openssh-server
want ssh-keygen openssh-client
want nft nftables
want ip iproute2
want unshare util-linux
want cc gcc
printf '#include <time.h>\nint main(void){return 0;}\n' |
    cc -x c -o /dev/null - >/dev/null 2>&1 || missing="$missing gcc libc6-dev"

if [ -z "$missing" ]; then
    echo "system packages: all there"
    exit 0
fi
# shellcheck disable=SC2086 # a list of words
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')

if ! command -v apt-get >/dev/null 2>&1; then
    echo "system packages: this is no Debian; install what provides: $missing" >&2
    exit 1
fi
began=$(date +%s)

# Unpacks what is missing, and what that needs, into the user's cache. Python is not for hosts: where
# it has no ensurepip, make_environment.sh finds pip by itself.
unpack() {
    packages=${XDG_CACHE_HOME:-$HOME/.cache}/splitbrain/packages
    wanted=""
    for package in $missing; do
        case $package in python3*) ;; *) wanted="$wanted $package" ;; esac
    done
    if [ -z "$wanted" ] || [ "$(cat "$packages/system/.complete" 2>/dev/null)" = "$wanted" ]; then
        echo "system packages: all there;${wanted:-" none"} unpacked in $packages/system"
        return
    fi
    echo "system packages: without root and sudo, unpacking$wanted into $packages/system"
    rm -rf "$packages/system" "$packages/making"
    mkdir -p "$packages/making/deb" "$packages/making/tree/usr"
    if ! fetch; then
        # Lists of our own, where the machine's are missing or too old.
        lists="$packages/making/apt"
        mkdir -p "$lists/lists/partial" "$lists/cache"
        options="-o Dir::State::Lists=$lists/lists -o Dir::Cache=$lists/cache"
        # shellcheck disable=SC2086 # a list of words
        apt-get $options update >"$packages/making/log" 2>&1 || true
        fetch
    fi || {
        echo "system packages: cannot get them:" >&2
        tail -n 5 "$packages/making/log" >&2
        echo "  (embedded hosts need them; checking histories does not)" >&2
        return
    }
    for file in "$packages"/making/deb/*.deb; do dpkg -x "$file" "$packages/making/tree"; done
    # Where /lib and the like are links into /usr, what packages put there belongs there.
    for folder in bin sbin lib lib64; do
        if [ -h "/$folder" ] && [ -d "$packages/making/tree/$folder" ]; then
            mkdir -p "$packages/making/tree/usr/$folder"
            cp -a "$packages/making/tree/$folder/." "$packages/making/tree/usr/$folder/"
        fi
    done
    mv "$packages/making/tree" "$packages/system"
    rm -rf "$packages/making"
    printf '%s\n' "$wanted" >"$packages/system/.complete"
    size=$(du -sh "$packages/system" | cut -f1)
    echo "system packages: done in $(($(date +%s) - began)) s, $size"
}
options=""
fetch() { # downloads $wanted and what it needs that is not installed
    # shellcheck disable=SC2086 # lists of words
    {
        names=$(apt-get $options install -s --no-install-recommends $wanted |
            sed -n 's/^Inst \([^ ]*\) .*/\1/p') &&
            [ -n "$names" ] &&
            (cd "$packages/making/deb" && apt-get $options download $names)
    } >>"$packages/making/log" 2>&1
}

as_root=""
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=sudo
        echo "system packages: sudo installs $missing"
    else
        unpack
        exit 0
    fi
fi

echo "system packages: apt-get installs $missing"
fresh_sshd=""
[ -x /usr/sbin/sshd ] || fresh_sshd=yes

# Packages ask this file whether they may start services; ours says no and is taken away again.
policy=/usr/sbin/policy-rc.d
ours=""
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
    ours=yes
fi
restore() { [ -z "$ours" ] || $as_root rm -f $policy; }
trap restore EXIT

log=$(mktemp)
install() {
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $missing >"$log" 2>&1
}
if ! install; then
    $as_root apt-get update >>"$log" 2>&1 || true
    if ! install; then
        echo "system packages: apt-get failed:" >&2
        tail -n 5 "$log" >&2
        rm -f "$log"
        exit 1
    fi
fi
if [ -n "$fresh_sshd" ] && command -v deb-systemd-helper >/dev/null 2>&1; then
    $as_root deb-systemd-helper disable ssh.service ssh.socket >/dev/null 2>&1 || true
fi
size=$(sed -n 's/^After this operation, \(.*\) of additional disk space will be used\.$/, \1/p' "$log" | tail -n 1)
rm -f "$log"
echo "system packages: done in $(($(date +%s) - began)) s$size"
