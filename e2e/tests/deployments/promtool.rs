//! Checks the configuration of Prometheus with promtool.

use std::{ffi::OsStr, process::Command};

use crate::files;

#[test]
fn the_configuration_and_the_rules_are_valid() {
    let report = promtool([
        OsStr::new("check"),
        OsStr::new("config"),
        files::path("deployments/config/prometheus/prometheus.yml").as_os_str(),
    ]);
    for path in files::prometheus("rules") {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(report.contains(name), "{name} is not among the rules that the configuration names: {report}");
    }
}

#[test]
fn the_rules_do_what_their_tests_say() {
    let tests = files::prometheus("tests");
    promtool(["test", "rules"].map(OsStr::new).into_iter().chain(tests.iter().map(|path| path.as_os_str())));
}

/// Fails if promtool finds a fault. Returns its report.
fn promtool<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> String {
    let tools = stack::prometheus::tools().unwrap();
    let output = Command::new(tools.promtool).args(arguments).output().unwrap();
    let report = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success(), "{report}");
    report
}
