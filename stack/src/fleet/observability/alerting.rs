//! Runs Alertmanager beside a local fleet, with the configuration of a deployment and the receivers of this fleet.

use std::{path::Path, process::Command};

use anyhow::Context as _;

use super::unpack;
use crate::{
    alertmanager::{self, Receivers},
    fleet::Addresses,
};

/// Writes the configuration, and returns the command that runs Alertmanager.
pub(super) fn prepare(
    program: &Path,
    addresses: &Addresses,
    receivers: &Receivers,
    directory: &Path,
) -> anyhow::Result<Command> {
    let listen = addresses.alertmanager.context("the fleet has no Alertmanager")?;
    let deployed = directory.join("config");
    unpack("alertmanager", &deployed)?;
    let file = alertmanager::configure(&deployed.join("configure.sh"), receivers, directory)?;
    Ok(alertmanager::command(program, &file, &directory.join("data"), listen))
}
