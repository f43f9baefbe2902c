//! What is said of builds that do not work.

use e2e::{Outcome, Tare};

use super::Project;

pub(crate) trait FailsWith {
    fn fails_with(&self, words: &str) -> &Self;
}

impl FailsWith for Outcome {
    /// Exit code 1, these words in the last sentence, and no panic.
    #[track_caller]
    fn fails_with(&self, words: &str) -> &Self {
        self.exits(1);
        let stderr = self.stderr();
        let last = stderr.lines().rev().find(|line| line.starts_with("tare: ")).unwrap_or_default();
        assert!(last.contains(words), "no {words:?} in the last sentence of {self}");
        assert!(!stderr.contains("panicked"), "a panic in {self}");
        self
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_failed_step_shows_its_last_lines_its_code_and_its_place() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\n\nRUN for n in $(seq 40); do echo line $n; done; \\\n    exit 42\nRUN true\n",
    );
    let outcome = project.build(&["-t", "never"]);
    outcome.exits(1);
    let stderr = outcome.stderr();
    let shown = "------\n line 21\n";
    assert!(stderr.contains(shown) && stderr.contains("\n line 40\n------\n"), "{stderr}");
    assert!(stderr.contains("   3 | >>> RUN for n in") && stderr.contains("   4 | >>>     exit 42\n"), "{stderr}");
    assert!(stderr.trim_end().ends_with("did not complete successfully: exit code: 42"), "{stderr}");
    assert!(stderr.contains("tare: Dockerfile:3:1: process"), "{stderr}");
    tare.tare(["inspect", "never"]).exits(1);
    assert_eq!(e2e::unfinished(&tare.root()), [""; 0]);
    assert_eq!(e2e::names(&tare.run_dir().join("containers")), [""; 0]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_wrong_is_said_before_anything_runs() {
    let tare = Tare::new();
    let build = |dockerfile: &str| Project::new(&tare, dockerfile).build(&[]);
    build("FROM busybox\nRUN touch /x\n  COPPY a b\n")
        .fails_with("Dockerfile:3:3: unknown instruction: COPPY (did you mean COPY?)");
    build("RUN true\n").fails_with("Dockerfile:1:1");
    build("").fails_with("file with no instructions");
    build("FROM $NOTHING\n").fails_with("should not be blank");
    build("FROM host\n").fails_with("cannot be built upon");
    build("FROM busybox\nEXPOSE nope\n").fails_with("invalid containerPort: nope");
    build("FROM busybox\nSTOPSIGNAL SIGNOPE\n").fails_with("invalid signal");
    build("FROM busybox\nENV A=\"${B:?must be set}\"\n").fails_with("B: must be set");
    build("FROM busybox\nRUN [\"/no/such/program\"]\n").fails_with("/no/such/program");
    build("FROM busybox\nUSER nobody-here\nRUN true\n").fails_with("unable to find user nobody-here");
    tare.tare(["build", "/no/such/directory"]).fails(1, "cannot use build context");
    tare.tare(["build", "-f", "/no/such/file", "/tmp"]).fails(1, "cannot read Dockerfile");
    tare.tare(["build", "https://example.org/x.git"]).fails(1, "not supported yet");
    tare.tare(["build"]).fails(1, "needs PATH");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn checks_warn_and_check_alone_builds_nothing() {
    let tare = Tare::new();
    let project = Project::new(&tare, "FROM busybox\nMAINTAINER me\nCMD echo hi\n");
    let outcome = project.build(&["-t", "warned"]);
    assert!(outcome.exits(0).stderr().contains("WARNING: MaintainerDeprecated"), "{outcome}");
    let outcome = project.build(&["--check"]);
    outcome.exits(1);
    assert!(outcome.stdout().starts_with("Check complete, 2 warnings have been found!"), "{outcome}");
    assert!(outcome.stdout().contains(">>> CMD echo hi"), "{outcome}");
    Project::new(&tare, "FROM no/such\nCMD [\"x\"]\n").build(&["--check"]).prints("Check complete, no warnings found.");
    assert_eq!(super::Image::new(&tare, "warned").json["Author"], "me");
}
