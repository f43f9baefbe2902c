//! Several stages.

use std::time::{Duration, Instant};

use e2e::Tare;

use super::errors::FailsWith;
use super::{Project, made};

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn only_what_the_target_needs_is_made() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "ARG BASE=busybox\nFROM $BASE AS one\nRUN echo 1 > /one\nFROM one AS two\nRUN echo 2 > /two\n\
         FROM no-such-image AS never\nRUN false\nFROM busybox AS last\nCOPY --from=two /one /two /from/\nCOPY --from=0 /one /by-number\n",
    );
    let outcome = project.build(&["-t", "last"]);
    outcome.exits(0);
    assert!(!outcome.stderr().contains("never"), "{outcome}");
    let image = super::Image::new(&tare, "last");
    assert_eq!((image.text("/from/one"), image.text("/from/two")), ("1\n".into(), "2\n".into()));
    assert_eq!(image.text("/by-number"), "1\n");
    let one = project.image(&["--target", "ONE"]);
    assert!(one.has("/one") && !one.has("/two"));
    project.build(&["--target", "none"]).fails(1, "target stage \"none\" could not be found");
    project.build(&["--target", "never"]).fails_with("no-such-image");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn stages_that_need_nothing_of_each_other_are_made_side_by_side() {
    let tare = Tare::new();
    // Each waits until the other has begun: one after the other, they would wait in vain.
    let meet = |own: &str, other: &str| {
        format!(
            "FROM busybox AS {own}\nRUN --mount=type=cache,target=/meet touch /meet/{own}; n=0; \
             until [ -e /meet/{other} ]; do n=$((n+1)); [ $n -lt 600 ] || exit 1; sleep 0.05; done; echo {own} > /{own}\n"
        )
    };
    let dockerfile = format!(
        "{}{}FROM scratch\nCOPY --from=left /left /\nCOPY --from=right /right /\n",
        meet("left", "right"),
        meet("right", "left")
    );
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return;
    }
    let image = Project::new(&tare, &dockerfile).image(&[]);
    assert!(image.has("/left") && image.has("/right"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_stage_that_fails_ends_the_build_and_says_why_once() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox AS bad\nRUN exit 7\nFROM bad AS worse\nRUN true\nFROM busybox\nCOPY --from=worse /x /\n",
    );
    let outcome = project.build(&[]);
    outcome.exits(1);
    assert_eq!(outcome.stderr().matches("exit code: 7").count(), 1, "{outcome}");
    assert!(outcome.stderr().contains("Dockerfile:2:1"), "{outcome}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_failure_ends_the_steps_beside_it() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox AS slow\nRUN --mount=type=cache,target=/m touch /m/slow; sleep 1000\n\
         FROM busybox AS fast\nRUN --mount=type=cache,target=/m until [ -e /m/slow ]; do sleep 0.05; done; exit 3\n\
         FROM scratch\nCOPY --from=slow /a /\nCOPY --from=fast /b /\n",
    );
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return;
    }
    let began = Instant::now();
    project.build(&[]).fails_with("exit code: 3");
    assert!(began.elapsed() < Duration::from_secs(60));
    e2e::until("no step runs", || tare.processes().is_empty());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn arguments_are_seen_where_they_are_declared_and_in_stages_upon() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "ARG V=1\nFROM busybox AS a\nRUN echo \"[$V]\" > /before\nARG V\nARG W=w\nRUN echo \"[$V][$W]\" > /after\n\
         FROM a AS b\nRUN echo \"[$V][$W]\" > /inherited\nENV V=env\nRUN echo \"[$V]\" > /env\n\
         FROM busybox\nCOPY --from=b /before /after /inherited /env /\nRUN echo \"[$W]\" > /other\n",
    );
    let image = project.image(&["--build-arg", "V=2"]);
    let texts = ["/before", "/after", "/inherited", "/env", "/other"].map(|path| image.text(path).trim().to_owned());
    assert_eq!(texts, ["[]", "[2][w]", "[2][w]", "[env]", "[]"]);
    let image = project.image(&[]);
    assert_eq!(image.text("/after").trim(), "[1][w]");
    // Proxies reach programs without being declared, and are no part of any key.
    let project = Project::new(&tare, "FROM busybox\nRUN echo $http_proxy > /proxy\n");
    let image = project.image(&["--build-arg", "http_proxy=one"]);
    assert_eq!(image.text("/proxy").trim(), "one");
    assert_eq!(project.image(&["--build-arg", "http_proxy=two"]).id, image.id);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_deep_dockerfile_is_nothing_special() {
    let tare = Tare::new();
    let steps: String = (0..600).map(|n| format!("COPY a /{n}\n")).collect();
    let project = Project::new(&tare, &format!("FROM busybox\n{steps}RUN ls / | wc -l > /count\n")).with("a", "a");
    let began = Instant::now();
    let image = project.image(&["-t", "deep"]);
    assert!(began.elapsed() < Duration::from_secs(120));
    assert_eq!(image.layers(), 602);
    tare.run(["deep", "sh", "-c", "ls -d /[0-9]* | wc -l"]).prints("600");
    assert_eq!(made(&project.build(&["-t", "deep"])), 0);
    tare.tare(["system", "check"]).prints("everything is well");
}
