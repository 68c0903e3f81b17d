#!/bin/sh
# copy.sh FOLDER FILES SCRIPT ARG…: run "sh SCRIPT ARG…" in /tmp of a copy of this system, where the
# files of the folder FILES are. FOLDER is empty, and holds the copy in memory. To be run in namespaces
# of its own (mounts, processes, network): nothing stays.
set -eu
folder=$1 files=$2
shift 2
mount -t tmpfs -o size=2g tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
mount -t proc proc "$folder/root/proc"
mount --bind /dev "$folder/root/dev"
mkdir -p "$folder/root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$folder/root/dev/pts"
mount -t tmpfs tmpfs "$folder/root/tmp"
mount -t tmpfs tmpfs "$folder/root/run"
rm -f "$folder/root/var/lib/man-db/auto-update" # building its index takes longer than all the rest
cp -R "$files/." "$folder/root/tmp"
ip link set lo up
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
	chroot "$folder/root" sh -c 'cd /tmp; exec sh "$@"' sh "$@"
