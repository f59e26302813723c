# Runs inside a variant's root (chroot, as its root) after its packages and the files of `files/` are in place.
# Must give the same result when run again: the build variant runs it over a finished run variant.
set -eu
umask 022

# Accounts: `heroku` owns what tools make by name; dynos get a user of their own in the group `dyno`.
getent group dyno >/dev/null || groupadd --gid 2000 dyno
getent passwd heroku >/dev/null || useradd --uid 1000 --user-group --home-dir /app --no-create-home --shell /bin/bash heroku

# Everything a read-only root must already have: mount points and the files that are laid over.
mkdir -p /app /tmp /var/tmp /proc /sys /dev/shm /dev/pts /dev/mqueue /run /etc/heroku /var/log
chmod 0755 /app && chown heroku:heroku /app
chmod 1777 /tmp /var/tmp /dev/shm
for file in /etc/resolv.conf /etc/hosts /etc/hostname /etc/pip.conf /etc/npmrc /etc/gitconfig /etc/apt/apt.conf.d/90host; do
    [ -e "$file" ] || : >"$file"
    chmod 0644 "$file"
done
ln -snf /usr/share/zoneinfo/Etc/UTC /etc/localtime

[ -e /usr/lib/locale/C.utf8 ] && localedef --list-archive 2>/dev/null | grep -q '^en_US.utf8$' || locale-gen
update-ca-certificates >/dev/null

# Python programs of the platform's apps live in their own environments; pip may install for them as asked.
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED

# No program may gain rights, and no device node is needed: a dyno gets its own /dev.
find / -xdev -type f -perm /6000 -exec chmod u-s,g-s {} +
find /dev -xdev ! -type d ! -type l -delete

# Leftovers of the package tools.
rm -f /etc/apt/apt.conf.d/99mmdebstrap /usr/sbin/policy-rc.d /etc/machine-id /var/lib/dbus/machine-id
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/cache/ldconfig/* /var/cache/debconf/*-old
rm -rf /var/log/*.log /var/log/apt/* /root/.[!.]* /tmp/* /tmp/.[!.]*
mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial
dpkg-query --show --showformat '${Package} ${Version}\n' >/usr/share/stack.packages
