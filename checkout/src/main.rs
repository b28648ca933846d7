//! The checkout service: `serve`, `migrate`, `check-config`.

use std::process::ExitCode;

fn main() -> ExitCode {
    platform::cli::main::<checkout::app::Checkout>()
}
