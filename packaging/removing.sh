    if [ -d /run/systemd/system ]; then
        systemctl disable --now ormesh.service || true
    fi
    # Agents that users run are theirs to end; until then what they export can be reached.
    for process in /proc/[0-9]*; do
        if [ "$(readlink "$process/exe" || true)" = /usr/bin/ormesh ]; then
            echo "ormesh: process ${process#/proc/} still runs, until its session ends or someone ends it: kill ${process#/proc/}"
        fi
    done
