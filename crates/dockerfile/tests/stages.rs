//! Stages by name and by number, and the arguments that FROM sees.

use std::collections::BTreeMap;

use dockerfile::Dockerfile;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn stages_are_found_by_name_and_by_number() {
    let file = Dockerfile::parse("FROM a AS One\nFROM b\nFROM c AS one\n").unwrap();
    assert_eq!(file.stage("ONE"), Some(2));
    assert_eq!(file.stage_before("one", 2), Some(0));
    assert_eq!(file.stage_before("1", 2), Some(1));
    assert_eq!(file.stage_before("2", 2), None);
    assert_eq!(file.named_before("1", 2), None);
    assert_eq!(file.stage("3"), None);
    assert_eq!(file.stage("two"), None);
}

#[test]
fn global_arguments_reach_from() {
    let source = "ARG V=1\nARG W=$V-x N\nFROM --platform=$BUILDPLATFORM a:${W}\nFROM $N\nFROM b:${X:-y}\n";
    let file = Dockerfile::parse(source).unwrap();
    let args = file.global_args(&map(&[("V", "2"), ("X", "z")]), &map(&[("BUILDPLATFORM", "linux/amd64")])).unwrap();
    assert_eq!(file.base(&file.stages[0], &args).unwrap(), "a:2-x");
    assert_eq!(file.platform(&file.stages[0], &args).unwrap().as_deref(), Some("linux/amd64"));
    // X is given to the build and declared nowhere.
    assert_eq!(file.base(&file.stages[2], &args).unwrap(), "b:y");
    let error = file.base(&file.stages[1], &args).unwrap_err();
    assert_eq!(error.to_string(), "dockerfile line 4, column 1: base name ($N) should not be blank");
}

#[test]
fn proxy_arguments_need_no_declaration() {
    assert!(dockerfile::is_predefined_proxy_arg("HTTP_PROXY"));
    assert!(dockerfile::is_predefined_proxy_arg("no_proxy"));
    assert!(!dockerfile::is_predefined_proxy_arg("Http_Proxy"));
}
