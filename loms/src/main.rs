//! The program `loms`.

use std::process::ExitCode;

fn main() -> ExitCode {
    platform::cli::main::<loms::app::Loms>()
}
