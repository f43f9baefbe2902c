#!/bin/sh
# crun's command line, as its tests use it, becomes that of runc: the cgroup manager is chosen by another option, and the
# configuration is always the bundle's config.json. PROGRAM is the runtime.
config=
for argument; do
    shift
    case $previous in
        --cgroup-manager)
            [ "$argument" = systemd ] && set -- "$@" --systemd-cgroup
            previous=
            continue
            ;;
        --config)
            config=$argument
            previous=
            continue
            ;;
    esac
    case $argument in
        --cgroup-manager | --config) previous=$argument ;;
        *) set -- "$@" "$argument" ;;
    esac
done
# A configuration elsewhere: runc finds it by one name only.
if [ -n "$config" ] && [ "$config" != config.json ]; then
    ln -sf "$config" config.json
fi
exec "$PROGRAM" "$@"
