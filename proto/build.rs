//! Compiles the `.proto` files in pure Rust, so that no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

use protox::Compiler;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=.");
    let entries = fs::read_dir(".")?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    let is_proto = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "proto");
    let mut files: Vec<_> = entries.into_iter().filter(is_proto).collect();
    files.sort();
    let mut compiler = Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    let documented = compiler.file_descriptor_set();
    // Who reads descriptors at run time wants the options, which the types of prost do not know, and no comments.
    let descriptors = compiler.include_source_info(false).encode_file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors)?;
    tonic_prost_build::configure().compile_fds(documented)?;
    Ok(())
}
