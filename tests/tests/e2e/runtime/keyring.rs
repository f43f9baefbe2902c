//! Whose keys a container's processes possess.

use e2e::Tare;

use super::Bundle;

/// A bundle that shows its keys.
fn bundle(tare: &Tare) -> Bundle<'_> {
    let bundle = Bundle::new(tare, "exec sleep 1000");
    bundle.change(|config| config["linux"]["maskedPaths"] = serde_json::json!([]));
    bundle
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_has_a_keyring_of_its_own_and_exec_joins_it() {
    let tare = Tare::empty();
    let bundle = bundle(&tare);
    bundle.start();
    let own = format!("_ses.{}: empty", bundle.id);
    let serial = || {
        let keys = bundle.ok(&["exec", &bundle.id, "cat", "/proc/keys"]);
        let line = keys.lines().find(|line| line.ends_with(&own)).unwrap_or_else(|| panic!("no {own:?} in {keys}"));
        line.split(' ').next().unwrap().to_owned()
    };
    assert_eq!(serial(), serial());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_callers_keyring_can_be_kept() {
    let tare = Tare::empty();
    let bundle = bundle(&tare);
    bundle.create_with(&["--no-new-keyring"]);
    bundle.ok(&["start", &bundle.id]);
    let keys = bundle.ok(&["exec", &bundle.id, "cat", "/proc/keys"]);
    assert!(!keys.contains(&format!("_ses.{}", bundle.id)), "{keys}");
}
