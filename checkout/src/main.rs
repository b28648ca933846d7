//! The program `checkout`.

use std::process::ExitCode;

fn main() -> ExitCode {
    platform::cli::main::<checkout::app::Checkout>()
}
