//! Compiles the `.proto` files in pure Rust, so that no `protoc` is needed, and makes of them what nobody should have
//! to write a second time: the table of reasons and the OpenAPI documents.

#![allow(clippy::print_stdout, reason = "Cargo reads it")]

mod errors;
mod facts;
mod openapi;
mod reasons;
mod schemas;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use protox::Compiler;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=.");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let write = |name: &str, content: &[u8]| fs::write(out.join(name), content).context(name.to_owned());

    let mut compiler = Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(files(Path::new("."))?)?;
    let documented = compiler.file_descriptor_set();
    let pool = compiler.descriptor_pool();
    // Who reads descriptors at run time wants the options, which the types of prost do not know, and no comments.
    write("descriptors.bin", &compiler.include_source_info(false).encode_file_descriptor_set())?;
    write("reasons.rs", reasons::table(&pool)?.as_bytes())?;
    for service in openapi::services(&pool)? {
        let document =
            openapi::document(&service, &env::var("CARGO_PKG_VERSION")?).context(service.full_name().to_owned())?;
        write(&format!("{}.openapi.json", service.package_name()), document.to_string().as_bytes())?;
    }
    tonic_prost_build::configure().compile_fds(documented)?;
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_proto = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "proto");
    let mut files: Vec<_> = entries.into_iter().filter(is_proto).collect();
    files.sort();
    Ok(files)
}
