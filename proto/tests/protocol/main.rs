//! The protocol itself: how it is written, that nothing of it is lost, and the documents that are made of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod documents;
#[path = "../../build/facts.rs"]
#[allow(dead_code, reason = "the build needs more of it")]
mod facts;
mod image;
mod lint;

use prost_reflect::{DescriptorPool, FileDescriptor};
use protox::Compiler;

/// The protos as they stand, with their comments.
fn pool() -> DescriptorPool {
    let directory = env!("CARGO_MANIFEST_DIR");
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|is| is == "proto")).collect();
    files.sort();
    let mut compiler = Compiler::new([directory]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_files(files).unwrap();
    compiler.descriptor_pool()
}

/// Those that are ours.
fn own_files(pool: &DescriptorPool) -> Vec<FileDescriptor> {
    pool.files().filter(|file| !file.name().starts_with("google/")).collect()
}
