# A clone becomes a node of its own. operations/clone.py puts this there, with the names of the places it uses
# before it, and runs its parts: `stage`, then `switch` apart from any session, then `confirm`.

fail() {
    echo "$*" >&2
    exit 1
}

seconds() {
    cut -d. -f1 /proc/uptime
}

has() { # ADDRESS...: are these this machine's?
    for address; do
        ip -o addr show | grep -qwF "$address" || return 1
    done
}

# Make all that is new in a folder of its own, beside a copy of what it replaces. The deploy starts the services
# again, when their files are this node's; until then a clone must not be heard as its source.
stage() { # HOSTNAME EDITS HARDWARE: the name, a sed script for the network's files, what to note of the machine
    if [ -e "$folder/unconfirmed" ] || [ -e "$folder/undoing" ]; then
        systemctl --quiet is-active "$unit" && fail "another run is changing this machine; try again in a minute"
        place old
        rm -f "$folder/unconfirmed" "$folder/undoing"
        fail "an earlier run was cut off by a loss of power; what it changed is undone now, so run this again"
    fi
    set -e
    for service in keepalived logstash; do
        systemctl disable "$service" 2>/dev/null || continue
        timeout 90 systemctl stop "$service" || systemctl kill --signal=KILL "$service"
    done
    rm -rf "$folder/old" "$folder/new"
    mkdir "$folder/old"
    for file in /etc/hostname /etc/machine-id /var/lib/dbus/machine-id /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub \
        /etc/sysconfig/network-scripts/*-* /etc/NetworkManager/system-connections/*; do
        [ -f "$file" ] && [ ! -L "$file" ] || continue
        mkdir -p "$folder/old${file%/*}"
        cp -a "$file" "$folder/old$file"
    done
    cp -a "$folder/old" "$folder/new"
    cd "$folder/new"
    echo "$1" >etc/hostname
    id=$(tr -d - </proc/sys/kernel/random/uuid)
    for file in etc/machine-id var/lib/dbus/machine-id; do
        [ ! -f "$file" ] || echo "$id" >"$file"
    done
    for key in etc/ssh/ssh_host_*_key; do # of the same kinds, owners and modes
        kind=${key#etc/ssh/ssh_host_}
        ssh-keygen -q -t "${kind%_key}" -N '' -C "$1" -f "$folder/key"
        cat "$folder/key" >"$key"
        cat "$folder/key.pub" >"$key.pub"
        rm "$folder/key" "$folder/key.pub"
    done
    find etc/sysconfig etc/NetworkManager -type f -exec sed -i "$2" {} + 2>/dev/null || true
    find . -type f | while read -r file; do
        ! cmp -s "$file" "../old/$file" || rm "$file" "../old/$file"
    done
    echo "$3" >"$folder/hardware"
}

# Put one of the two folders' files in place. A name in place is a whole file, at any time.
place() { # old|new
    (cd "$folder/$1" && find . -type f | sed 's/^\.//') | while read -r file; do
        cp -a "$folder/$1$file" "$file.$unit" && mv -fT "$file.$unit" "$file"
    done
    sync
}

identity() {
    hostname "$(cat /etc/hostname)"
    systemctl try-restart sshd # sessions go on
}

restart() { # straight by systemd: logind would let an inhibitor stop it
    systemctl --no-block --job-mode=replace-irreversibly start reboot.target
}

network() { # FILE...: those whose connections are to be made anew
    if systemctl --quiet is-active network; then # EL 7
        timeout 25 systemctl restart network
        return
    fi
    nmcli connection reload
    for file; do
        id=$(nmcli -t -f UUID,FILENAME connection show | sed -n "s,:$file\$,,p")
        nmcli --wait 25 connection up uuid "$id"
    done
}

# shellcheck disable=SC2086
switch() { # SECONDS FILES ADDRESSES: to be confirmed in; the network's files that change; the old addresses
    sleep 3 # until the session has heard that this has begun
    : >"$folder/unconfirmed"
    place new
    identity
    network $2
    end=$(($(seconds) + $1))
    while [ -e "$folder/unconfirmed" ] && [ "$(seconds)" -lt "$end" ]; do
        sleep 1
    done
    # A name can be taken away only once: either this does it or `confirm`.
    if mv "$folder/unconfirmed" "$folder/undoing" 2>/dev/null; then
        place old
        network $2
        identity
        rm "$folder/undoing"
        has $3 || restart # it comes up with the old files
    else
        settle
    fi
}

confirm() { # ADDRESS...: those it must have now
    if [ -e "$folder/unconfirmed" ]; then
        while [ -e "$folder/unconfirmed" ] && ! has "$@"; do
            sleep 1
        done
        mv "$folder/unconfirmed" "$folder/confirmed" || fail "not confirmed in time: it goes back to its old address"
    fi
    # The unit does the rest, unless a loss of power ended it.
    if [ -e "$folder/confirmed" ] && ! systemctl --quiet is-active "$unit"; then
        systemd-run --unit="$unit" /bin/sh "$folder/run" settle
    fi
}

# Take away what else is the source's: Logstash's node id and the events in its queues, and what NetworkManager
# makes IPv6 addresses of. Then the reboot: programs keep the machine-id and the host name as long as they run.
settle() {
    : >"$reboot"
    rm -f /var/lib/logstash/uuid /var/lib/NetworkManager/secret_key
    for queue in queue dead_letter_queue; do
        find "/var/lib/logstash/$queue" -mindepth 1 -delete 2>/dev/null
    done
    cp "$folder/hardware" "$hardware"
    rm -rf "$folder"
    sync
    restart
}

"$@"
