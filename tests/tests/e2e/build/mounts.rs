//! RUN --mount, here-documents, secrets.

use std::os::unix::net::UnixListener;

use e2e::Tare;

use super::errors::FailsWith;
use super::{Project, made};

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn binds_show_files_and_keep_nothing() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox AS src\nRUN mkdir /d && echo stage > /d/f\nFROM busybox\nWORKDIR /w\n\
         RUN --mount=target=ctx find ctx | sort > /list; touch ctx/x || echo ro > /ro\n\
         RUN --mount=type=bind,target=/m,rw echo more >> /m/a; cat /m/a > /both\n\
         RUN --mount=from=src,source=/d,target=/m cat /m/f > /stage\n\
         RUN --mount=source=a,target=/one cat /one > /one-file\n\
         RUN --mount=from=busybox,target=/bb /bb/bin/busybox echo image > /image\n",
    )
    .with("a", "a\n")
    .with("secret/s", "s")
    .with(".dockerignore", "secret\nDockerfile\n");
    let image = project.image(&[]);
    assert_eq!(image.text("/list"), "ctx\nctx/.dockerignore\nctx/a\n");
    assert_eq!((image.text("/ro"), image.text("/both")), ("ro\n".into(), "a\nmore\n".into()));
    assert_eq!((image.text("/stage"), image.text("/one-file")), ("stage\n".into(), "a\n".into()));
    assert_eq!(image.text("/image"), "image\n");
    assert!(!image.has("/w/ctx") && !image.has("/m") && !image.has("/one") && !image.has("/bb"));
    assert_eq!(std::fs::read_to_string(project.path().join("a")).unwrap(), "a\n");
    // The files are part of what the step follows from.
    assert_eq!(made(&project.build(&[])), 0);
    project.write("a", "b\n");
    assert!(made(&project.build(&[])) >= 3);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn caches_outlive_builds_and_are_shared_as_asked() {
    let tare = Tare::new();
    let count = |options: &str| {
        let dockerfile = format!(
            "FROM busybox\nARG N\nRUN --mount=type=cache,target=/c{options} echo $N >> /c/f; cat /c/f > /seen; ls -ld /c > /ls\n"
        );
        Project::new(&tare, &dockerfile)
    };
    let plain = count("");
    assert_eq!(plain.image(&["--build-arg", "N=1"]).text("/seen"), "1\n");
    assert_eq!(plain.image(&["--build-arg", "N=2"]).text("/seen"), "1\n2\n");
    let locked = count(",id=other,sharing=locked,mode=0700,uid=5,gid=6").image(&["--build-arg", "N=1"]);
    assert_eq!(locked.text("/seen"), "1\n");
    assert!(
        locked.text("/ls").starts_with("drwx------") && locked.text("/ls").contains(" 5 "),
        "{}",
        locked.text("/ls")
    );
    // Two at once with a private cache each.
    let private = count(",id=private,sharing=private");
    private.write("Dockerfile", "FROM busybox\nARG N\nRUN --mount=type=cache,target=/c,sharing=private,id=p echo $N >> /c/f; sleep 0.5; cat /c/f > /seen\n");
    let seen: Vec<String> = std::thread::scope(|scope| {
        let builds: Vec<_> = ["1", "2"]
            .map(|n| {
                let private = &private;
                scope.spawn(move || private.image(&["--build-arg", &format!("N={n}")]).text("/seen"))
            })
            .into();
        builds.into_iter().map(|build| build.join().unwrap()).collect()
    });
    assert_eq!(seen, ["1\n", "2\n"]);
    // A cache begins with what it is given.
    let seeded = Project::new(
        &tare,
        "FROM busybox\nRUN --mount=type=cache,target=/c,from=busybox,source=bin,id=s ls /c/busybox > /seen\n",
    );
    assert_eq!(seeded.image(&[]).text("/seen"), "/c/busybox\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn secrets_are_seen_by_their_step_alone() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\nRUN --mount=type=secret,id=file,mode=0440,uid=1,gid=2 ls -ln /run/secrets/file > /ls; wc -c < /run/secrets/file > /size\n\
         RUN --mount=type=secret,id=var,env=TOKEN echo ${#TOKEN} > /env; test ! -e /run/secrets/var\n\
         RUN --mount=type=secret,id=file,target=/etc/token cmp /etc/token /etc/token\n\
         RUN --mount=type=secret,id=missing ls /run/secrets > /missing 2>&1; true\n",
    )
    .with("token", "very-secret-value");
    let secret = format!("id=file,src={}", project.path().join("token").display());
    let mut command = tare.command(["build", "-q", "-t", "s", "--secret", &secret, "--secret", "id=var,env=THE_TOKEN"]);
    command.arg(project.path()).env("THE_TOKEN", "other-secret-value");
    e2e::Outcome::of(&mut command).exits(0);
    let image = super::Image::new(&tare, "s");
    assert!(image.text("/ls").starts_with("-r--r-----") && image.text("/ls").contains(" 1 "), "{}", image.text("/ls"));
    assert_eq!((image.text("/size"), image.text("/env")), ("17\n".into(), "18\n".into()));
    assert!(!image.has("/run/secrets") && !image.has("/etc/token"));
    for needle in ["very-secret-value", "other-secret-value"] {
        let found = std::process::Command::new("grep").args(["-r", "-l", needle]).arg(tare.root()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{needle} is on the disk");
    }
    // Another value is no other step.
    let other = format!("id=file,src={}", tare.file("other", "x"));
    assert_eq!(
        made(&project.build(&["--secret", &other, "--secret", &format!("id=var,src={}", tare.file("v", "y"))])),
        0
    );
    let required = "FROM busybox\nRUN --mount=type=secret,id=none,required=true true\n";
    Project::new(&tare, required).build(&[]).fails_with("secret none: not found");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_agent_is_reached_through_its_socket() {
    let tare = Tare::new();
    let socket = tare.dir("agent").join("sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let project = Project::new(
        &tare,
        "FROM busybox\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo yes > /ssh\nRUN echo \"[$SSH_AUTH_SOCK]\" > /after\n",
    );
    let image = project.image(&["--ssh", &format!("default={}", socket.display())]);
    assert_eq!((image.text("/ssh"), image.text("/after")), ("yes\n".into(), "[]\n".into()));
    Project::new(&tare, "FROM busybox\nRUN --mount=type=ssh,required=true true\n").build(&[]).fails_with("SSH agent");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn here_documents_are_scripts_and_files() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\nARG WHO=me\nENV A=1\nRUN <<END\nset -e\necho first > /first\necho $A > /second\nEND\n\
         RUN cat <<one >/cat1 && cat <<two >/cat2\none $A\none\n2\ntwo\n\
         COPY <<a <<\"b\" /files/\nhello $WHO\na\nraw $WHO\nb\nCOPY --chmod=755 <<-x /script\n\t#!/bin/sh\n\techo ran\nx\nRUN /script > /ran\n\
         ADD <<f /added\nadded\nf\n",
    );
    let image = project.image(&[]);
    assert_eq!((image.text("/first"), image.text("/second")), ("first\n".into(), "1\n".into()));
    assert_eq!((image.text("/cat1"), image.text("/cat2")), ("one 1\n".into(), "2\n".into()));
    assert_eq!((image.text("/files/a"), image.text("/files/b")), ("hello me\n".into(), "raw $WHO\n".into()));
    assert_eq!(
        (image.text("/ran"), image.text("/added"), image.mode("/script")),
        ("ran\n".into(), "added\n".into(), "755 0:0".into())
    );
    assert_eq!(image.mode("/files/a"), "644 0:0");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn memory_as_a_directory() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\nRUN --mount=type=tmpfs,target=/t,size=1m dd if=/dev/zero of=/t/f bs=1k count=2000 2>/dev/null || df -k /t | tail -1 > /df\n",
    );
    let image = project.image(&[]);
    assert!(image.text("/df").contains(" 1024 ") && !image.has("/t"), "{}", image.text("/df"));
}
