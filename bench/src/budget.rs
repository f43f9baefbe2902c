//! The budgets, in one table.

use crate::sample::Figure;

pub(crate) const RUN_LEAN: &str = "run --rm true, beside the floor";
pub(crate) const RUN_RUNTIMES: &str = "run --rm true, beside OCI runtimes";
pub(crate) const RUN_ENGINES: &str = "run --rm true, beside engines";
pub(crate) const DETACHED: &str = "detached start";
pub(crate) const MONITOR: &str = "memory (PSS) of a container's parent";
pub(crate) const STORM: &str = "100 detached starts, 4 at a time";

pub(crate) const OCI_RUN: &str = "OCI runtimes: run";
pub(crate) const OCI_STEPS: &str = "OCI runtimes: create, start, delete";

pub(crate) const PULL: &str = "pull of a large image, empty storage";
pub(crate) const PULL_MEMORY: &str = "peak memory of that pull";
pub(crate) const PUSH: &str = "push of the same, compressing it";
pub(crate) const COMMIT: &str = "commit of one changed file upon it";

pub(crate) const BUILD_COLD: &str = "build of 12 steps, none cached";
pub(crate) const BUILD_CACHED: &str = "the same, all cached";

pub(crate) const TARE: &str = "tare";
pub(crate) const FLOOR: &str = "floor";
pub(crate) const TARE_RUNTIME: &str = "tare runtime run";
pub(crate) const RUNC: &str = "runc run";
pub(crate) const CRUN: &str = "crun run";
pub(crate) const CRUN_IN_SHELL: &str = "crun run (in a shell)";
/// OCI runtimes by themselves.
pub const OCI_TARE: &str = "tare runtime";
/// The runtime of Docker and containerd.
pub const OCI_RUNC: &str = "runc";
/// The runtime of podman on most systems.
pub const OCI_CRUN: &str = "crun";
/// The other one in Rust.
pub const OCI_YOUKI: &str = "youki";
pub(crate) const PODMAN: &str = "podman";
pub(crate) const DOCKER: &str = "docker";

/// What our median may be.
enum Bound {
    /// No more than this, in the figure's unit.
    AtMost(f64),
    /// No more than this many times the other's.
    TimesAtMost(&'static str, f64),
    /// The other's is at least this many times larger.
    LessBy(&'static str, f64),
    /// At least this many times the other's.
    MoreBy(&'static str, f64),
}

/// What is measured, of whom, and the bound.
const BUDGETS: &[(&str, &str, Bound)] = &[
    (RUN_LEAN, TARE, Bound::TimesAtMost(FLOOR, 2.0)),
    (RUN_RUNTIMES, TARE_RUNTIME, Bound::TimesAtMost(RUNC, 0.8)),
    (RUN_RUNTIMES, TARE_RUNTIME, Bound::TimesAtMost(CRUN, 0.8)),
    (RUN_RUNTIMES, TARE_RUNTIME, Bound::TimesAtMost(CRUN_IN_SHELL, 0.8)),
    (OCI_RUN, OCI_TARE, Bound::TimesAtMost(OCI_RUNC, 0.8)),
    (OCI_RUN, OCI_TARE, Bound::TimesAtMost(OCI_CRUN, 0.8)),
    (OCI_RUN, OCI_TARE, Bound::TimesAtMost(OCI_YOUKI, 0.8)),
    (OCI_STEPS, OCI_TARE, Bound::TimesAtMost(OCI_RUNC, 0.8)),
    (OCI_STEPS, OCI_TARE, Bound::TimesAtMost(OCI_CRUN, 0.8)),
    (OCI_STEPS, OCI_TARE, Bound::TimesAtMost(OCI_YOUKI, 0.8)),
    (RUN_ENGINES, TARE, Bound::LessBy(PODMAN, 10.0)),
    (RUN_ENGINES, TARE, Bound::LessBy(DOCKER, 15.0)),
    (DETACHED, TARE, Bound::AtMost(15.0)),
    (MONITOR, TARE, Bound::AtMost(250.0)),
    (STORM, TARE, Bound::MoreBy(PODMAN, 10.0)),
    (STORM, TARE, Bound::MoreBy(DOCKER, 10.0)),
    (PULL, TARE, Bound::TimesAtMost(PODMAN, 0.3)),
    (PULL, TARE, Bound::TimesAtMost(DOCKER, 0.3)),
    (PULL_MEMORY, TARE, Bound::AtMost(102_400.0)),
    (COMMIT, TARE, Bound::AtMost(30.0)),
    (BUILD_COLD, TARE, Bound::LessBy(PODMAN, 3.0)),
    (BUILD_COLD, TARE, Bound::LessBy(DOCKER, 3.0)),
    (BUILD_CACHED, TARE, Bound::AtMost(40.0)),
];

/// One line a budget; whether all that could be checked are kept.
pub(crate) fn print_verdicts(figures: &[Figure]) -> bool {
    println!("\n{:<40} {:<30} {:>9}  verdict", "budget", "bound", "seen");
    let mut kept = true;
    let is_measured = |(measurement, ..): &&(&str, &str, Bound)| figures.iter().any(|f| f.measurement == *measurement);
    for (measurement, ours, bound) in BUDGETS.iter().filter(is_measured) {
        let median = |who: &str| find(figures, measurement, who).map(Figure::median);
        let (words, verdict) = judge(bound, median(ours), median);
        let (seen, verdict) = match verdict {
            Some((seen, true)) => (format!("{seen:.2}"), "pass"),
            Some((seen, false)) => (format!("{seen:.2}"), "FAIL"),
            None => ("-".to_owned(), "not measured here"),
        };
        kept &= verdict != "FAIL";
        println!("{measurement:<40} {words:<30} {seen:>9}  {verdict}");
    }
    kept
}

fn find<'a>(figures: &'a [Figure], measurement: &str, who: &str) -> Option<&'a Figure> {
    figures.iter().find(|figure| figure.measurement == measurement && figure.who == who)
}

/// The bound in words, and the number held against it with whether it is kept, where there is one.
fn judge(bound: &Bound, ours: Option<f64>, median: impl Fn(&str) -> Option<f64>) -> (String, Option<(f64, bool)>) {
    let against = |who, ratio: fn(f64, f64) -> f64| Some(ratio(ours?, median(who)?));
    match bound {
        Bound::AtMost(most) => (format!("at most {most}"), ours.map(|seen| (seen, seen <= *most))),
        Bound::TimesAtMost(who, most) => {
            (format!("at most {most} x {who}"), against(who, |t, o| t / o).map(|r| (r, r <= *most)))
        }
        Bound::LessBy(who, least) => {
            (format!("{least} x less than {who}"), against(who, |t, o| o / t).map(|r| (r, r >= *least)))
        }
        Bound::MoreBy(who, least) => {
            (format!("{least} x more than {who}"), against(who, |t, o| t / o).map(|r| (r, r >= *least)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_compares_with_the_named_peer() {
        let peers = |who: &str| (who == PODMAN).then_some(100.0);
        assert_eq!(judge(&Bound::LessBy(PODMAN, 10.0), Some(5.0), peers).1, Some((20.0, true)));
        assert_eq!(judge(&Bound::TimesAtMost(PODMAN, 0.01), Some(5.0), peers).1, Some((0.05, false)));
        assert_eq!(judge(&Bound::LessBy(DOCKER, 10.0), Some(5.0), peers).1, None);
    }
}
