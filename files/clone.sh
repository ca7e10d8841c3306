# Makes a clone a node of its own. operations/clone.py puts this script on the clone, after lines that set the paths
# which it uses, and runs its parts: `stage`, then `switch` (which no session's end interrupts), then `confirm`.

fail() {
    echo "$*" >&2
    exit 1
}

uptime_seconds() {
    cut -d. -f1 /proc/uptime
}

has_addresses() { # ADDRESS...: does this machine have all of them?
    for address; do
        ip -o addr show | grep -qwF "$address" || return 1
    done
}

# Write all new files to a folder of their own, beside a copy of those that they replace. The services stay stopped until
# the deploy has put this node's files there: until then they would speak in the name of the clone's source.
stage() { # HOSTNAME EDITS HARDWARE: the name, a sed script for the network's files, what identifies the hardware
    if [ -e "$folder/unconfirmed" ] || [ -e "$folder/undoing" ]; then
        systemctl --quiet is-active "$unit" && fail "another run is changing this machine; try again in a minute"
        install_files old
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

# Install the files of one of the two folders. At any time each of them is a whole file.
install_files() { # old|new
    (cd "$folder/$1" && find . -type f | sed 's/^\.//') | while read -r file; do
        cp -a "$folder/$1$file" "$file.$unit" && mv -fT "$file.$unit" "$file"
    done
    sync
}

apply_identity() {
    hostname "$(cat /etc/hostname)"
    systemctl try-restart sshd # open sessions go on
}

start_reboot() { # by systemd itself: logind would let an inhibitor stop it
    systemctl --no-block --job-mode=replace-irreversibly start reboot.target
}

restart_network() { # FILE...: the files of the connections to restart
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
switch() { # SECONDS FILES ADDRESSES: the time for `confirm`, the network's files that change, the old addresses
    sleep 3 # so that the session still hears that this has begun
    : >"$folder/unconfirmed"
    install_files new
    apply_identity
    restart_network $2
    end=$(($(uptime_seconds) + $1))
    while [ -e "$folder/unconfirmed" ] && [ "$(uptime_seconds)" -lt "$end" ]; do
        sleep 1
    done
    # A file can be renamed only once: either this does it, or `confirm`.
    if mv "$folder/unconfirmed" "$folder/undoing" 2>/dev/null; then
        install_files old
        restart_network $2
        apply_identity
        rm "$folder/undoing"
        has_addresses $3 || start_reboot # it starts with the old files
    else
        finish
    fi
}

confirm() { # ADDRESS...: those that it must have now
    if [ -e "$folder/unconfirmed" ]; then
        while [ -e "$folder/unconfirmed" ] && ! has_addresses "$@"; do
            sleep 1
        done
        mv "$folder/unconfirmed" "$folder/confirmed" || fail "not confirmed in time: it goes back to its old address"
    fi
    # The unit does the rest, unless a loss of power has ended it.
    if [ -e "$folder/confirmed" ] && ! systemctl --quiet is-active "$unit"; then
        systemd-run --unit="$unit" /bin/sh "$folder/run" finish
    fi
}

# Remove what else is the source's: Logstash's node id, the events in its queues, and the secret from which NetworkManager
# derives IPv6 addresses. Then reboot: running programs keep the machine-id and the host name that they have read.
finish() {
    : >"$reboot"
    rm -f /var/lib/logstash/uuid /var/lib/NetworkManager/secret_key
    for queue in queue dead_letter_queue; do
        find "/var/lib/logstash/$queue" -mindepth 1 -delete 2>/dev/null
    done
    cp "$folder/hardware" "$hardware"
    rm -rf "$folder"
    sync
    start_reboot
}

"$@"
