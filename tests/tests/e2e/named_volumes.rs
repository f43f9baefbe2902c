//! Volumes: data that outlives containers and is in no image.

use std::fs;
use std::os::unix::fs::MetadataExt;

use e2e::{Archive, Tare, names};

fn volumes(tare: &Tare) -> Vec<String> {
    tare.tare(["volume", "ls", "-q"]).ok().lines().map(str::to_owned).collect()
}

fn data(tare: &Tare, name: &str) -> std::path::PathBuf {
    tare.root().join("volumes").join(name).join("_data")
}

/// An image that has a directory with owners, modes and links, and asks for a volume there.
fn with_content(tare: &Tare, change: &str) {
    let container = ["run", "--name=maker", "--network=none", "busybox", "sh", "-c"];
    let script = "mkdir -p /data/sub; echo one > /data/one; ln /data/one /data/two; ln -s one /data/link; \
                  chown 12:34 /data/sub; chmod 1770 /data/sub; chown 7:8 /data; chmod 750 /data";
    tare.tare(container.iter().chain(&[script])).ok();
    tare.tare(["commit", "-c", change, "maker", "content"]).ok();
    tare.tare(["rm", "maker"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_named_volume_outlives_its_containers() {
    let tare = Tare::new();
    tare.sh(&["-v", "store:/data"], "echo kept > /data/file").ok();
    tare.sh(&["--mount", "type=volume,source=store,target=/other"], "cat /other/file").prints("kept");
    tare.sh(&["-v", "store:/data:ro"], "echo no > /data/file").fails(1, "Read-only");
    assert_eq!(volumes(&tare), ["store"]);
    assert_eq!(fs::read_to_string(data(&tare, "store").join("file")).unwrap(), "kept\n");
    let document = tare.tare(["volume", "inspect", "store"]).ok();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document[0]["Mountpoint"].as_str().unwrap(), data(&tare, "store").to_str().unwrap());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_anonymous_volume_goes_with_its_container() {
    let tare = Tare::new();
    tare.sh(&["-v", "/data"], "echo x > /data/file").ok();
    assert_eq!(volumes(&tare), [""; 0]);
    let run = |name: &str| {
        tare.tare(["run", "-d", "--network=none", "--name", name, "-v", "/data", "busybox", "sleep", "1000"]).ok();
        volumes(&tare)
    };
    let first = run("box");
    assert_eq!((first.len(), first[0].len()), (1, 64));
    let mount = tare.inspect("box")["Mounts"][0].clone();
    assert_eq!(
        (&mount["Type"], &mount["Name"], &mount["RW"]),
        (&"volume".into(), &first[0].as_str().into(), &true.into())
    );
    tare.tare(["rm", "-f", "-v", "box"]).ok();
    assert_eq!(volumes(&tare), [""; 0]);
    // Without -v it stays, until it is pruned.
    run("box");
    tare.tare(["rm", "-f", "box"]).ok();
    assert_eq!(volumes(&tare).len(), 1);
    let line = |text: &str| text.lines().find(|line| line.starts_with("Local Volumes")).unwrap().to_owned();
    let numbers = line(&tare.tare(["system", "df"]).ok());
    assert_eq!(numbers.split_whitespace().skip(2).take(2).collect::<Vec<_>>(), ["1", "0"]);
    tare.tare(["system", "prune", "-f"]).ok();
    assert_eq!(volumes(&tare).len(), 1);
    tare.tare(["system", "prune", "-f", "--volumes"]).says("Deleted Volumes");
    assert_eq!(volumes(&tare), [""; 0]);
    run("box");
    tare.tare(["rm", "-f", "box"]).ok();
    tare.tare(["volume", "create", "named"]).prints("named");
    tare.tare(["volume", "prune", "-f"]).ok();
    assert_eq!(volumes(&tare), ["named"]);
    tare.tare(["volume", "prune", "-a", "-f"]).says("named");
    assert_eq!(volumes(&tare), [""; 0]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_committed_image_has_the_mount_point_and_not_the_data() {
    let tare = Tare::new();
    tare.tare([
        "run",
        "--name=box",
        "--network=none",
        "-v",
        "/test",
        "busybox",
        "sh",
        "-c",
        "echo secret > /test/file",
    ])
    .ok();
    tare.tare(["commit", "box", "after"]).ok();
    tare.run(["after", "sh", "-c", "test -d /test && ls -A /test | wc -l"]).prints("0");
    tare.tare(["rm", "-v", "box"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_empty_volume_is_filled_from_the_image() {
    let tare = Tare::new();
    with_content(&tare, "VOLUME /data");
    let look = "cd /data && cat one && readlink link && stat -c '%u:%g %a' . sub && test one -ef two && echo same";
    let expected = "one\none\n7:8 750\n12:34 1770\nsame";
    tare.run(["content", "sh", "-c", look]).prints(expected);
    assert_eq!(volumes(&tare), [""; 0], "that of VOLUME is anonymous");
    tare.run(["-v", "filled:/data", "content", "sh", "-c", look]).prints(expected);
    assert_eq!(fs::metadata(data(&tare, "filled")).unwrap().uid(), 7);
    // Once there is something in it, it stays as it is.
    tare.run(["-v", "filled:/data", "content", "sh", "-c", "rm -r /data/* && echo mine > /data/mine"]).ok();
    tare.run(["-v", "filled:/data", "content", "ls", "/data"]).prints("mine");
    tare.run(["-v", "empty:/data:nocopy", "content", "sh", "-c", "ls -A /data | wc -l"]).prints("0");
    let dir = tare.dir("bound");
    tare.run(["-v", &format!("{}:/data", dir.display()), "content", "sh", "-c", "ls -A /data | wc -l"]).prints("0");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_copy_that_was_killed_is_made_again_or_completed() {
    let tare = Tare::new();
    let script = "mkdir /data && cd /data && for i in $(seq 2000); do echo $i > f$i; done";
    tare.tare(["run", "--name=maker", "--network=none", "busybox", "sh", "-c", script]).ok();
    tare.tare(["commit", "maker", "content"]).ok();
    tare.tare(["rm", "maker"]).ok();
    for round in 0..12 {
        let mut create = tare.command(["create", "--name=killed", "-v", "store:/data", "--network=none", "content"]);
        let mut child = create.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(8 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        tare.run(["-v", "store:/data", "content", "sh", "-c", "cat /data/* | wc -l"]).prints("2000");
        tare.tare(["rm", "-f", "killed"]).ok();
        tare.tare(["volume", "rm", "store"]).ok();
    }
    // What was interrupted while it was moved in is completed, over nothing.
    tare.tare(["volume", "create", "store"]).ok();
    let filled = tare.root().join("volumes/store/filled");
    fs::create_dir(&filled).unwrap();
    for (dir, content) in [(filled.clone(), "image"), (data(&tare, "store"), "mine")] {
        fs::write(dir.join("both"), content).unwrap();
    }
    fs::write(filled.join("rest"), "image").unwrap();
    tare.run(["-v", "store:/data", "content", "sh", "-c", "cat /data/both /data/rest"]).prints("mineimage");
    assert!(!filled.exists());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn filling_removes_nothing_of_anybodys() {
    let tare = Tare::new();
    with_content(&tare, "VOLUME /data");
    // A copy that was broken off, and then the volume was used.
    tare.tare(["volume", "create", "used"]).ok();
    for leftover in ["filling", "filled"] {
        fs::create_dir(tare.root().join("volumes/used").join(leftover)).unwrap();
    }
    fs::write(data(&tare, "used").join("precious"), "x").unwrap();
    tare.run(["-v", "used:/data", "content", "cat", "/data/precious"]).prints("x");
    // A directory of somebody else's, even an empty one, is not filled.
    let dir = tare.dir("bound");
    let device = format!("device={}", dir.display());
    tare.tare(["volume", "create", "-o", "type=none", "-o", &device, "-o", "o=bind", "bound"]).ok();
    tare.run(["-v", "bound:/data", "content", "sh", "-c", "ls -A /data | wc -l; echo x > /data/file"]).prints("0");
    tare.run(["-v", "bound:/data", "content", "ls", "/data"]).prints("file");
    assert_eq!(names(&dir), ["file"]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_volume_in_use_stays() {
    let tare = Tare::new();
    let id = tare.tare(["create", "--name=box", "-v", "store:/data", "--network=none", "busybox"]).ok();
    tare.tare(["volume", "rm", "store"]).fails(1, id.trim());
    tare.tare(["volume", "prune", "-a", "-f"]).prints("");
    tare.tare(["volume", "ls", "-q", "-f", "dangling=false"]).prints("store");
    tare.tare(["rm", "box"]).ok();
    tare.tare(["volume", "rm", "store"]).prints("store");
    tare.tare(["volume", "rm", "store"]).fails(1, "no such volume");
    tare.tare(["volume", "rm", "-f", "store"]).ok();
    tare.tare(["volume", "create", "../evil"]).fails(1, "invalid volume name");
    tare.tare(["run", "-v", "no/good:/data", "busybox"]).fails(125, "invalid volume name");
    assert!(names(&tare.root().join("volumes")).iter().all(|name| name.starts_with('.')));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn volumes_come_from_other_containers() {
    let tare = Tare::new();
    let dir = tare.dir("bound");
    fs::write(dir.join("hello"), "hello").unwrap();
    let bind = format!("{}:/bound", dir.display());
    let create =
        ["create", "--name=source", "--network=none", "-v", "/data", "-v", "store:/store", "-v", &bind, "busybox"];
    tare.tare(create).ok();
    tare.sh(&["--volumes-from=source"], "cat /bound/hello; echo x > /data/x; echo y > /store/y").prints("hello");
    tare.sh(&["--volumes-from=source:ro"], "cat /data/x /store/y; touch /data/z").fails(1, "Read-only");
    // The one that was removed did not take them along.
    assert_eq!(volumes(&tare).len(), 2);
    tare.tare(["rm", "-v", "source"]).ok();
    assert_eq!(volumes(&tare), ["store"]);
    tare.run(["--volumes-from=nobody", "busybox", "true"]).fails(125, "no such container");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_local_driver_mounts_what_it_is_told() {
    let tare = Tare::new();
    let dir = tare.dir("bound");
    fs::write(dir.join("hello"), "hello").unwrap();
    let device = format!("device={}", dir.display());
    tare.tare(["volume", "create", "-o", "type=none", "-o", &device, "-o", "o=bind", "bound"]).ok();
    tare.sh(&["-v", "bound:/data"], "cat /data/hello").prints("hello");
    let tmpfs = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=700"];
    tare.tare(["volume", "create"].iter().chain(&tmpfs).chain(&["--label", "kind=fast", "quick"])).ok();
    tare.sh(&["-v", "quick:/data"], "stat -f -c %T /data; stat -c %a /data; df -k /data | awk 'NR==2{print $2}'")
        .prints("tmpfs\n700\n1024");
    tare.tare(["volume", "ls", "-q", "--filter", "label=kind=fast"]).prints("quick");
    tare.tare(["volume", "create", "-o", "type=ext4", "quick"]).fails(1, "");
    tare.tare(["volume", "create", "-o", "size=1g", "quota"]).fails(1, "quota");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn with_a_user_namespace_the_volumes_owner_is_who_it_seems() {
    let tare = Tare::new();
    with_content(&tare, "VOLUME /data");
    tare.run([
        "--userns=auto",
        "-v",
        "store:/data",
        "content",
        "sh",
        "-c",
        "stat -c %u:%g /data /data/sub; touch /data/new",
    ])
    .prints("7:8\n12:34");
    assert_eq!(fs::metadata(data(&tare, "store").join("new")).unwrap().uid(), 0);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_an_image_has_there_cannot_lead_outside() {
    let tare = Tare::empty();
    let outside = tare.dir("outside");
    fs::write(outside.join("secret"), "secret").unwrap();
    let image = tare.file("image.tar", Archive::new().symlink("data", outside.to_str().unwrap()).finish());
    tare.tare(["import", "-c", "CMD [\"/nothing\"]", &image, "evil"]).ok();
    tare.tare(["create", "--network=none", "-v", "store:/data", "evil"]).ok();
    assert!(names(&data(&tare, "store")).is_empty());
}
