//! The program `notifications`.

use std::process::ExitCode;

fn main() -> ExitCode {
    platform::cli::main::<notifications::app::Notifications>()
}
