# Unpacks an image and makes a variant of it: run as host root in mount and process namespaces of its own.
# $1: directory that receives the files. $2: the most bytes that one layer may hold unpacked. $3: file with certificate authorities of
# the host, possibly empty. The rest, lowest layer first: pairs of a program that decompresses and an archive.
#
# Nothing of the image is run, and nothing outside of it can be written: all is done in a root that has only programs of the host,
# read-only, and the directory. Wherever a link or a path in an archive leads, it ends there.
# Exit status 42: a layer is larger; 43: an archive cannot be read; 44: there is no bash in the image.
set -eu
umask 022
target=$1 max=$2 authorities=$3
shift 3
jail=tools/jail
mkdir -p "$jail"
mount -t tmpfs -o mode=0755 tmpfs "$jail"
for part in usr bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$part" ]; then
        cp -P "/$part" "$jail/$part"
    elif [ -d "/$part" ]; then
        mkdir "$jail/$part"
        mount --bind "/$part" "$jail/$part"
        mount -o remount,bind,ro "$jail/$part"
    fi
done
mkdir "$jail/dev" "$jail/image"
: >"$jail/dev/null"
mount --bind /dev/null "$jail/dev/null"
mount --bind "$target" "$jail/image"
# Device nodes of the image are no devices, and its programs gain no rights.
mount -o remount,bind,nodev,nosuid "$jail/image"
cat "$authorities" >"$jail/authorities"

# What a layer deletes of those below it (image specification, whiteouts).
cat >"$jail/whiteouts.sh" <<'SCRIPT'
"$1" -dc | tar -t -f - --quoting-style=literal 2>/dev/null | grep -E '(^|/)\.wh\.' | while IFS= read -r entry; do
    entry=${entry#./}
    dir=$(dirname "$entry") name=$(basename "$entry")
    if [ "$name" = .wh..wh..opq ]; then
        [ ! -d "/image/$dir" ] || find "/image/$dir" -mindepth 1 -delete
    else
        rm -rf "/image/$dir/${name#.wh.}"
    fi
done
:
SCRIPT
cat >"$jail/unpack.sh" <<'SCRIPT'
"$1" -dc | {
    head -c "$2"
    [ "$(head -c 1 | wc -c)" = 0 ] || exit 42
} | tar -x -p -f - -C /image --numeric-owner --xattrs --exclude='.wh.*' --warning=no-timestamp
status=("${PIPESTATUS[@]}")
[ "${status[1]}" != 42 ] || exit 42
[ "${status[2]}" = 0 ] || exit 43
SCRIPT
# As a variant that is built here ends: see finish.sh.
cat >"$jail/finish.sh" <<'SCRIPT'
set -eu
umask 022
cd /image
[ -e bin/bash ] || [ -e usr/bin/bash ] || exit 44
for dir in app tmp var/tmp proc sys dev dev/shm dev/pts dev/mqueue run etc/heroku etc/apt/apt.conf.d var/log mnt; do mkdir -p "$dir"; done
chmod 0755 app && chown 1000:1000 app
chmod 1777 tmp var/tmp dev/shm
for file in etc/resolv.conf etc/hosts etc/hostname etc/pip.conf etc/npmrc etc/gitconfig etc/apt/apt.conf.d/90host etc/passwd etc/group; do
    [ -f "$file" ] && [ ! -L "$file" ] || { rm -f "$file" && : >"$file"; }
    chmod 0644 "$file"
done
grep -q '^[^:]*:[^:]*:1000:' etc/passwd || echo 'heroku:x:1000:1000::/app:/bin/bash' >>etc/passwd
grep -q '^[^:]*:[^:]*:1000:' etc/group || echo 'heroku:x:1000:' >>etc/group
grep -q '^dyno:' etc/group || echo 'dyno:x:2000:' >>etc/group
if [ -s /authorities ] && [ -d etc/ssl/certs ]; then
    cat /authorities >>etc/ssl/certs/ca-certificates.crt
fi
# No program may gain rights, and no device node is needed: a dyno gets its own /dev.
find . -xdev -type f -perm /6000 -exec chmod u-s,g-s {} +
find . -xdev '(' -type b -o -type c -o -type p -o -type s ')' -delete
SCRIPT
# Written before the first layer, and nothing of it can be written from then on: a link in one layer that a path of the next leads
# through ends in the jail, which holds what is run.
mount -o remount,ro "$jail"

while [ $# -gt 0 ]; do
    chroot "$jail" sh /whiteouts.sh "$1" <"$2"
    chroot "$jail" bash /unpack.sh "$1" "$max" <"$2"
    shift 2
done
chroot "$jail" sh /finish.sh
umount -R "$jail/image"
sync -f "$target"
