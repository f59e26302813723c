# Installs packages as a layer over a finished root: run as host root in mount and process namespaces of its own,
# in the directory that holds `run/` (the finished root), `build/` (receives the layer), `work/` and `merged/` (empty).
# $1: file of apt options; $2: file of package names; $3: `finish.sh`; $4: the package sources as the host reaches them.
# Exit status 41: no overlay is possible here.
set -eu
umask 022
mount -t overlay overlay -o lowerdir=run,upperdir=build,workdir=work,redirect_dir=off,metacopy=off,index=off merged || exit 41
mount -t proc proc merged/proc
mount -t tmpfs -o mode=0755 tmpfs merged/dev
for device in null zero full random urandom tty; do
    : >"merged/dev/$device"
    mount --bind "/dev/$device" "merged/dev/$device"
done
ln -s /proc/self/fd merged/dev/fd
mount -t tmpfs -o mode=1777 tmpfs merged/tmp
mount -t tmpfs -o mode=0755 tmpfs merged/run
mount --bind /etc/resolv.conf merged/etc/resolv.conf
mount --bind "$4" merged/etc/apt/sources.list.d/debian.sources
cp "$1" merged/tmp/apt.conf
printf '#!/bin/sh\nexit 101\n' >merged/tmp/policy
chmod 0755 merged/tmp/policy
: >merged/usr/sbin/policy-rc.d
mount --bind merged/tmp/policy merged/usr/sbin/policy-rc.d

export APT_CONFIG=/tmp/apt.conf DEBIAN_FRONTEND=noninteractive
chroot merged apt-get update
# shellcheck disable=SC2046 # one word a package
chroot merged apt-get --yes --no-install-recommends install $(cat "$2")

umount -R merged/usr/sbin/policy-rc.d merged/etc/resolv.conf merged/etc/apt/sources.list.d/debian.sources merged/tmp merged/dev
cp "$3" merged/run/finish.sh
chroot merged sh /run/finish.sh
