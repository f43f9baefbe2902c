#!/bin/bash
# life.sh ENGINE RUNTIME IMAGE_TAR: one engine's life of a container, each step a line of the Test Anything Protocol. To be run
# in namespaces of its own, with a private /run.
engine=$1 runtime=$2 image=$3
work=$PWD
memory="cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
count=0
# Functions are called, programs get a limit of time.
limited() { case $(type -t "$1") in function) "$@" ;; *) timeout 20 "$@" ;; esac; }
# step NAME WANTED COMMAND…: the command ends with 0 and what it prints contains WANTED.
step() {
    local name=$1 wanted=$2 said code
    shift 2
    count=$((count + 1))
    said=$(limited "$@" 2>&1 </dev/null); code=$?
    case "$code:$said" in
        0:*"$wanted"*) echo "ok $count $name" ;;
        *) echo "not ok $count $name"; echo "# exit $code: ${said:0:250}" | tr '\n' ' '; echo ;;
    esac
}
# fails NAME CODE COMMAND…: the command ends with that code.
fails() {
    local name=$1 wanted=$2 said code
    shift 2
    count=$((count + 1))
    said=$(limited "$@" 2>&1 </dev/null); code=$?
    if [ "$code" = "$wanted" ]; then echo "ok $count $name"; return; fi
    echo "not ok $count $name"
    echo "# exit $code, not $wanted: ${said:0:250}" | tr '\n' ' '; echo
}
until_there() { for _ in $(seq 200); do [ -S "$1" ] && return; sleep 0.05; done; }

life() { # of the engines that have Docker's words: the words before the command are the arguments
    step "load the image" "" "$@" import -c 'CMD ["sh"]' "$image" box
    step "run" "hello" "$@" run --rm box echo hello
    fails "run: the program's exit code" 7 "$@" run --rm box sh -c 'exit 7'
    fails "run: no such program" 127 "$@" run --rm box /no/such/program
    step "run on a terminal" "/dev/pts/0" "$@" run --rm -t box tty
    step "run as a user" "1:1" "$@" run --rm -u 1:1 box sh -c 'echo $(id -u):$(id -g)'
    step "run with limits" "268435456" "$@" run --rm -m 256m --pids-limit 50 box sh -c "$memory 2>/dev/null; true"
    step "run read-only with a tmpfs" "written" "$@" run --rm --read-only --tmpfs /tmp box sh -c 'echo written >/tmp/x; cat /tmp/x'
    step "run detached" "" "$@" run -d --name box1 box sh -c 'trap "exit 5" TERM; echo started; while :; do sleep 0.1; done'
    step "logs" "started" sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; "$@" logs box1; done' sh "$@"
    step "exec" "inside" "$@" exec box1 echo inside
    fails "exec: the program's exit code" 3 "$@" exec box1 sh -c 'exit 3'
    step "exec on a terminal" "/dev/pts" "$@" exec -t box1 tty
    step "exec as a user in a directory" "1 /tmp" "$@" exec -u 1 -w /tmp box1 sh -c 'echo $(id -u) $PWD'
    step "top" "sleep" "$@" top box1
    step "pause" "" "$@" pause box1
    step "paused is shown" "paused" "$@" inspect -f '{{.State.Status}}' box1
    step "unpause" "" "$@" unpause box1
    step "update" "" update "$@"
    step "the limit has changed" "134217728" "$@" exec box1 sh -c "$memory 2>/dev/null; true"
    step "kill" "" "$@" kill -s TERM box1
    step "wait" "5" "$@" wait box1
    step "start again" "" "$@" start box1
    step "stop" "" "$@" stop -t 5 box1
    step "remove" "" "$@" rm box1
    step "remove what runs" "" sh -c '"$@" run -d --name box2 box sleep 1000 && "$@" rm -f box2' sh "$@"
}

podman_life() {
    cat >containers.conf <<-END
	[containers]
	default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
	[engine]
	cgroup_manager = "cgroupfs"
	events_logger = "file"
	END
    echo '{"default":[{"type":"insecureAcceptAnything"}]}' >policy.json
    export CONTAINERS_CONF=$work/containers.conf
    # This podman cannot update: what it would call is called.
    update() { limited "$runtime" update --memory 128m --memory-swap -1 "$("$@" inspect -f '{{.Id}}' box1)"; }
    life podman --root "$work/root" --runroot /run/podman --runtime "$runtime" --storage-driver overlay
}

docker_life() {
    mkdir root exec
    cat >daemon.json <<-END
	{ "data-root": "$work/root", "exec-root": "/run/docker-exec", "pidfile": "/run/docker.pid", "hosts": ["unix:///run/d.sock"],
	  "storage-driver": "overlay2", "iptables": false, "bridge": "none",
	  "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 20000, "Soft": 20000}},
	  "runtimes": {"tested": {"path": "$runtime"}}, "default-runtime": "tested" }
	END
    dockerd --config-file daemon.json >dockerd.log 2>&1 &
    daemon=$!
    until_there /run/d.sock
    export DOCKER_API_VERSION=1.41
    update() { limited "$@" update -m 128m --memory-swap -1 box1; }
    life docker -H unix:///run/d.sock
    kill "$daemon"; wait "$daemon"
}
containerd_life() {
    mkdir rootfs && tar -C rootfs -xf "$image"
    cat >config.toml <<-END
	version = 2
	root = "$work/root"
	state = "/run/containerd"
	[grpc]
	address = "/run/c.sock"
	END
    containerd --config config.toml >containerd.log 2>&1 &
    daemon=$!
    until_there /run/c.sock
    ctr="ctr --address /run/c.sock"
    run="$ctr run --runtime io.containerd.runc.v2 --runc-binary $runtime --rootfs"
    tasks="$ctr tasks"
    step "run" "hello" $run --rm "$work/rootfs" one /bin/echo hello
    fails "run: the program's exit code" 7 $run --rm "$work/rootfs" one /bin/sh -c 'exit 7'
    fails "run: no such program" 1 $run --rm "$work/rootfs" one /no/such/program
    step "run on a terminal" "/dev/pts/0" script -qec "$run --rm -t $work/rootfs two /usr/bin/tty" /dev/null
    step "run detached" "" $run -d "$work/rootfs" box1 /bin/sh -c 'trap "exit 5" TERM; while :; do /bin/sleep 0.1; done'
    step "list" "RUNNING" $tasks ls
    step "exec" "inside" $tasks exec --exec-id e1 box1 /bin/echo inside
    fails "exec: the program's exit code" 3 $tasks exec --exec-id e2 box1 /bin/sh -c 'exit 3'
    step "exec in a directory" "/tmp" $tasks exec --exec-id e3 --cwd /tmp box1 /bin/pwd
    step "exec detached" "" $tasks exec -d --exec-id e4 box1 /bin/sleep 1000
    step "ps" "e4" $tasks ps box1
    step "pause" "" $tasks pause box1
    step "paused is shown" "PAUSED" $tasks ls
    step "resume" "" $tasks resume box1
    step "update" "" "$runtime" --root /run/containerd/runc/default update --memory 128m --memory-swap -1 box1
    step "metrics show the limit" "134217728" $tasks metrics --format json box1
    step "kill" "" $tasks kill -s TERM box1
    step "stopped is shown" "STOPPED" sh -c "sleep 1; $tasks ls"
    step "delete tells the exit code" "exit code 5" $tasks delete box1
    step "remove" "" $ctr containers rm box1
    step "kill and delete what runs" "" sh -c "$run -d $work/rootfs box2 /bin/sleep 1000 && $tasks delete -f box2; $ctr containers rm box2"
    kill "$daemon"; wait "$daemon"
}

"${engine}_life"
echo "1..$count"
