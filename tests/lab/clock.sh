#!/bin/sh
# Makes this host's clock wrong for SSH sessions and some units, or right for all.
#
#   clock.sh OFFSET [UNIT...]      OFFSET as libfaketime has it, or 0
#
# libfaketime lies to each process alone; the machine's clock is nobody's to set here.
set -eu
offset=$1
shift
drop_in=90-lab-clock.conf

# A unit may stand for others: web-.service, in the name of a drop-in's directory, for all
# of web-*.service. systemctl knows them only as a pattern.
restart() {
    for unit; do
        systemctl try-restart "$(echo "$unit" | sed 's/\([-@]\)\.service$/\1*.service/')"
    done
}

cd /etc/systemd/system
rm -f /etc/environment
before=
for file in *.d/"$drop_in"; do
    [ -e "$file" ] || continue
    rm "$file"
    rmdir --ignore-fail-on-non-empty "${file%/*}"
    before="$before ${file%.d/*}"
done

# Monotonic clocks stay as they are: a wrong clock does not make timers wrong. So do the
# times of files, which libfaketime shifts for some programs and not for others.
if [ "$offset" != 0 ]; then
    fake="LD_PRELOAD=/usr/lib/$(uname -m)-linux-gnu/faketime/libfaketime.so.1
FAKETIME=$offset
FAKETIME_DONT_FAKE_MONOTONIC=1
NO_FAKE_STAT=1"
    echo "$fake" >/etc/environment
    for unit; do
        mkdir -p "$unit.d"
        {
            echo "[Service]"
            echo "$fake" | sed s/^/Environment=/
        } >"$unit.d/$drop_in"
    done
fi

systemctl daemon-reload
# shellcheck disable=SC2086 # a list of units, which have no spaces in their names
restart $before "$@"
