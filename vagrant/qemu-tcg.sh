#!/bin/sh
# What libvirt starts instead of QEMU where guests are emulated: one thread a processor, and a
# translation cache of 128 MB instead of 1 GB, without which three guests would not fit into 4 GB.
first=1
for argument in "$@"; do
    [ -z "$first" ] || set --
    first=""
    [ "$argument" != tcg ] || argument=tcg,thread=multi,tb-size=128
    set -- "$@" "$argument"
done
exec qemu-system-x86_64 "$@"
